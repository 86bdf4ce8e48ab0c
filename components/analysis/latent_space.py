"""The space of codes: drawing from it, walking between images, and along each of its dimensions."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from components.analysis.likelihood import divergences, posteriors
from components.analysis.view import Picture, Subject, View, table
from components.common import seeds
from components.common.ranking import first_to_last
from components.metrics.distances import Estimate
from components.records.evaluation import MetricResult, Metrics
from components.sampling import generate, sheets

GAUSSIANS = (1, 3, 10, 30)  # in the mixture, of which validation chooses
FEW = 4  # codes for each number of a Gaussian's mean, at least, and so many for one whose numbers are apart
SHEET = 40  # images shown of each way to draw
STEPS, PAIRS = 10, 4  # of a walk between two images, and how many walks
TRAVERSED, POSITIONS, REACH = 64, 9, 3.0  # dimensions, images along each, standard deviations either way
COLUMNS = {"kid": "KID", "precision": "precision", "recall": "recall"}


# Drawing


def draws(subject: Subject) -> View | None:
    """Evaluate images of codes from N(0, I) and of codes from a mixture fitted to training codes."""
    if subject.judge is None:
        return None
    n = subject.count("test")
    labels = classes(subject, n)
    mixture = fitted_mixture(subject)
    codes = {
        "codes from N(0, I)": subject.random.standard_normal((n, subject.latent)),
        f"codes from {called(mixture)} fitted to training codes": drawn_from(mixture, n, subject.seed),
    }
    images = {name: subject.decode(z, labels) for name, z in codes.items()}
    metrics = {name: subject.judge(x, labels) for name, x in images.items()}
    first = next(iter(metrics.values()))
    columns = metric_labels(first)
    rows = [(name, [estimate(of[key]) for key in columns]) for name, of in metrics.items()]
    baseline = ", ".join(f"{label} {first[key].real_baseline or 0.0:.3g}" for key, label in columns.items())
    doubts = "".join(f" {label}: {first[key].note}." for key, label in columns.items() if first[key].note)
    return View(
        "draws",
        "Images from codes that are drawn",
        "A decoder makes good images of the codes that it was trained on. Where those do not lie as N(0, I) "
        "does, codes drawn from that mean nothing; a mixture fitted to them is closer.",
        [
            table(
                [(label, None if first[key].note else first[key].better) for key, label in columns.items()],
                rows,
                note=f"{n} images each, against {n} test images. Real training images: {baseline}. How many "
                "Gaussians, and of which kind, is chosen by validation codes." + doubts,
            )
        ],
        pictures=[
            Picture(x[:SHEET], STEPS, name[0].upper() + name[1:], f"The first {len(x[:SHEET])} images.")
            for name, x in images.items()
        ],
    )


def fitted_mixture(subject: Subject) -> GaussianMixture:
    """A mixture of Gaussians fitted to the training codes, of the kind that validation codes like best.

    Ghosh et al. 2020, From Variational to Deterministic Autoencoders, Sec. 4,
    https://arxiv.org/abs/1903.12436.
    """
    codes, likes = subject.codes["train"], subject.codes["validation"]
    room = {"full": len(codes) // (FEW * subject.latent), "diag": len(codes) // FEW}  # Gaussians, at most
    kinds = [(kind, k) for kind, most in room.items() for k in GAUSSIANS if k <= most]
    fitted = []
    for kind, k in kinds or [("diag", 1)]:
        mixture = GaussianMixture(k, covariance_type=kind, random_state=subject.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly there is good enough to be chosen
            fitted.append(mixture.fit(codes))
    return max(fitted, key=lambda mixture: float(mixture.score(likes)))


def called(mixture: GaussianMixture) -> str:
    """Return the number of Gaussians and their kind, in words."""
    kind = "" if mixture.covariance_type == "full" else "diagonal "
    return f"{mixture.n_components} {kind}Gaussian{'s' if mixture.n_components > 1 else ''}"


def drawn_from(mixture: GaussianMixture, n: int, seed: int) -> np.ndarray:
    """Codes (n, Z), code i a function of (seed, i)."""
    return np.stack([one_of(mixture, np.random.default_rng(seeds.seed_of(seed, i))) for i in range(n)])


def one_of(mixture: GaussianMixture, random: np.random.Generator) -> np.ndarray:
    """A code (Z,)."""
    c = random.choice(mixture.n_components, p=mixture.weights_)
    mean, covariance = mixture.means_[c], mixture.covariances_[c]  # (Z,); (Z, Z), or its diagonal (Z,)
    if mixture.covariance_type == "diag":
        return mean + np.sqrt(covariance) * random.standard_normal(len(mean))
    return random.multivariate_normal(mean, covariance, method="cholesky")


def classes(subject: Subject, n: int) -> np.ndarray | None:
    """Classes as frequent as in training, where the generator is told them."""
    labels = subject.labels("train")
    if not subject.conditional or labels is None:
        return None
    counts = np.bincount(labels, minlength=subject.card.num_classes).tolist()
    return generate.labels_for(np.arange(n), counts, subject.seed)


def metric_labels(metrics: Metrics) -> dict[str, str]:
    """The labels of the metrics that are shown, by name: the one that ranks first, doubtful ones marked."""
    frechet = {"fid": "FID"} if "fid" in metrics else {"frechet_distance": "Fréchet distance"}
    labels = frechet | COLUMNS
    order = first_to_last({key: metrics[key] for key in labels if key in metrics})
    return {key: labels[key] + " *" * bool(metrics[key].note) for key in order}


def estimate(metric: MetricResult) -> Estimate:
    """A metric's value with its interval."""
    return Estimate(metric.value, metric.low, metric.high)


# Walking


def interpolation(subject: Subject) -> View | None:
    """Between test images, along a line and along an arc."""
    rows = sheets.grid_rows(subject.splits["test"], 2 * PAIRS * sheets.SHEET_COLUMNS)[: 2 * PAIRS]
    if len(rows) < 2 * PAIRS:
        return None
    rows = rows[np.argsort(np.arange(2 * PAIRS) % 2, kind="stable")]  # first all beginnings, then all ends
    labels = subject.splits["test"].labels
    classes_of = None if labels is None else np.asarray(labels[rows])
    codes = subject.encode(subject.splits["test"].images[rows], classes_of)
    times, images = np.linspace(0, 1, STEPS), []
    for i in range(PAIRS):
        for path in (linear, spherical):
            between = np.stack([path(codes[i], codes[PAIRS + i], t) for t in times])
            label = (
                None if classes_of is None else np.where(times < 0.5, classes_of[i], classes_of[PAIRS + i])
            )
            images.append(subject.decode(between, label))
    picture = Picture(
        np.concatenate(images),
        STEPS,
        "Between test images",
        "Each pair of images twice: along a straight line, and along an arc."
        + (
            " The class that is told is the beginning's for half of the way, then the end's."
            * subject.conditional
        ),
    )
    return View(
        "interpolation",
        "Interpolation",
        "Images of codes between those of two test images; a smooth space has no breaks on the way.",
        pictures=[picture],
    )


def linear(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) a + t b."""
    return (1 - t) * a + t * b


def spherical(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """sin((1 - t) w) / sin w a + sin(t w) / sin w b, w the angle between them; Shoemake 1985.

    Codes from N(0, I) all have about the same length, which a straight line cuts short: White 2016,
    https://arxiv.org/abs/1609.04468.
    """
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:
        return linear(a, b, t)
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def traversals(subject: Subject) -> View:
    """One test image, with one dimension of its code changed at a time."""
    codes = subject.codes["train"]
    if hasattr(subject.generator, "posterior"):
        mean, spread, of = np.zeros(subject.latent), np.ones(subject.latent), "the prior"
    else:
        mean, spread, of = codes.mean(0), codes.std(0), "training codes"
    order, by = ranked(subject)
    chosen = order[:TRAVERSED]
    left = f" {len(order) - len(chosen)} others are left out." if len(chosen) < len(order) else ""
    start = subject.codes["test"][0]
    walks = np.repeat(start[None], len(chosen) * POSITIONS, axis=0).reshape(len(chosen), POSITIONS, -1)
    for row, j in enumerate(chosen):
        walks[row, :, j] = mean[j] + spread[j] * np.linspace(-REACH, REACH, POSITIONS)
    labels = subject.labels("test")
    repeated = None if labels is None else np.full(walks.shape[0] * POSITIONS, labels[0])
    picture = Picture(
        subject.decode(walks.reshape(-1, codes.shape[1]), repeated),
        POSITIONS,
        "Along each dimension",
        f"A row a dimension, from -{REACH:g} to {REACH:g} standard deviations of {of}; {by} come "
        f"first.{left}",
    )
    return View(
        "traversals",
        "Traversals",
        "The first test image, with one number of its code changed at a time.",
        pictures=[picture],
    )


def ranked(subject: Subject) -> tuple[np.ndarray, str]:
    """The dimensions of codes, those that say most of an image first, and in words which ones these are."""
    if hasattr(subject.generator, "posterior"):
        kl = divergences(*posteriors(subject)).mean(0)
        return np.argsort(-kl, kind="stable"), "those with the most divergence from the prior"
    return np.argsort(-subject.codes["train"].std(0), kind="stable"), "those whose codes vary most"
