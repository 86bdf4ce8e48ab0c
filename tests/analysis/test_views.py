"""What codes are measured to be good for, on generators of which that is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import MultivariateNormal

from components.analysis import anomaly, latent_space, likelihood, probing, reconstruction
from components.analysis.view import Judge, flat, plot, table
from components.analysis.views import VIEWS, Subject, View, make_view
from components.data.dataset import ShardedArray, Split, to_uint8
from components.metrics.distances import Estimate
from components.metrics.image_pairs import psnr_values
from components.records import analysis as records
from components.records.evaluation import MetricResult, Metrics
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

CARD = DataSpec(1, 8, 3)
Z = 5


def images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs whose place is their class, with some noise."""
    random = np.random.RandomState(seed)
    labels = np.arange(n) % 3
    x = random.normal(60, 25, (n, 1, 8, 8)) + random.normal(0, 20, (n, 1, 1, 1))
    for i, c in enumerate(labels):
        x[i, 0, 2 * c : 2 * c + 3, 2 * c : 2 * c + 3] += 120
    return x.clip(0, 255).round().astype(np.uint8), labels


def splits() -> dict[str, Split]:
    sizes = {"train": 240, "validation": 60, "test": 90}
    made = {name: images(n, seed) for seed, (name, n) in enumerate(sizes.items())}
    return {name: Split(ShardedArray([x]), labels) for name, (x, labels) in made.items()}


class Linear(Generator):
    """Codes are some principal components of images."""

    def __init__(self, fitted: PCA):
        super().__init__()
        self.latent, self.pca = fitted.n_components_, fitted

    def code(self, batch: Batch) -> Tensor:
        assert batch.image is not None
        x = (batch.image.flatten(1).double() + 1) / 2
        return torch.from_numpy(self.pca.transform(x.numpy())).float()

    def picture(self, z: Tensor, batch: Batch) -> Tensor:
        x = torch.from_numpy(self.pca.inverse_transform(z.double().numpy())).float()
        return (2 * x - 1).view(len(z), *CARD.shape).clamp(-1, 1)


def subject(classes: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Subject:
    """Of a generator that was fitted to some classes."""
    data = splits()
    own = {"generator": generator(classes), "card": CARD, "splits": data, "names": ["a", "b", "c"]}
    return Subject(**{**own, **changes})


def generator(classes: tuple[int, ...] = (0, 1, 2)) -> Linear:
    train = splits()["train"]
    assert train.labels is not None
    chosen = np.isin(train.labels, classes)
    return Linear(PCA(Z, random_state=0).fit(flat(train.images[:][chosen])))


def rows(view: View | None, table: int = 0) -> dict[str, list[Any]]:
    """The texts and the cells with numbers of a table."""
    assert view is not None
    return {row.name: [cell.text or cell for cell in row.cells] for row in view.tables[table].rows}


def value(cell: Any) -> float:
    return float(cell.value)


# Compression and denoising


def test_principal_components_compress_like_principal_components() -> None:
    result = rows(reconstruction.compression(subject()))
    ours, reference = result["8-bit codes"], result[f"PCA, {Z} components in 8 bits"]
    assert value(ours[0]) == value(reference[0]) == Z and ours[1] == "12.8 : 1"
    assert value(ours[2]) == pytest.approx(value(reference[2]), abs=0.01)
    assert value(result["codes in float32"][2]) >= value(ours[2]) - 0.05


def test_components_of_large_images_are_close_to_exact() -> None:
    random = np.random.RandomState(0)
    factors = random.normal(0, 20, (40, Z)) * np.arange(Z, 0, -1)
    wide = (128 + factors @ random.normal(0, 0.1, (Z, 3 * 64 * 64))).clip(0, 255).astype(np.uint8)
    x = wide.reshape(40, 3, 64, 64)

    class Short(Linear):
        def code(self, batch: Batch) -> Tensor:
            return torch.zeros(len(batch), Z)

    all_alike = dict.fromkeys(("train", "validation", "test"), Split(ShardedArray([x])))
    inputs = Subject(Short(generator().pca), DataSpec(3, 64), all_alike)
    left = np.linalg.svd(flat(x) - flat(x).mean(0), compute_uv=False)[Z:]
    error = np.square(flat(x) - inputs.pca.inverse_transform(inputs.pca.transform(flat(x)))).sum()
    assert error == pytest.approx(np.square(left).sum(), rel=0.02)


def test_quantised_values_are_within_half_a_step() -> None:
    values = np.random.RandomState(0).normal(size=(50, 3))
    few = reconstruction.quantised(values, values)
    step = (values.max(0) - values.min(0)) / 255
    assert (np.abs(few - values) <= step / 2 + 1e-9).all()
    assert all(len(np.unique(column)) <= 256 for column in few.T)
    far = reconstruction.quantised(values, values + 100)
    np.testing.assert_allclose(far, np.broadcast_to(values.max(0), far.shape))


def test_jpeg_takes_the_best_quality_that_fits() -> None:
    x, _ = images(20, 0)
    quality, scan, whole, back = reconstruction.jpeg(x, 40.0)
    assert scan <= 40 < whole and back.shape == x.shape
    finer = reconstruction.through_jpeg(x, 95)
    assert finer[0] > quality and finer[1] > scan
    assert psnr_values(x, finer[3]).mean() > psnr_values(x, back).mean()
    assert reconstruction.jpeg(x, 0.0)[0] == reconstruction.QUALITIES[0]


def test_bytes_of_a_jpeg_are_its_pixels() -> None:
    """A flat block is two Huffman codes, of a difference of 0 and of its end: a byte, without any marker."""
    flat_image = np.full((1, 1, 8, 8), 128, np.uint8)
    assert reconstruction.through_jpeg(flat_image, 50)[1] == 1.0


def test_what_changes_nothing_removes_no_noise() -> None:
    class Identity(Linear):
        def code(self, batch: Batch) -> Tensor:
            assert batch.image is not None
            return batch.image.flatten(1)

        def picture(self, z: Tensor, batch: Batch) -> Tensor:
            return z.view(len(z), *CARD.shape)

    result = rows(reconstruction.denoising(subject(generator=Identity(generator().pca))))
    assert all(value(cells[2]) == pytest.approx(0, abs=1e-9) for cells in result.values())


def test_principal_components_remove_noise_alike() -> None:
    result = rows(reconstruction.denoising(subject()))
    assert result.keys() == {f"noise {level:g}" for level in reconstruction.LEVELS}
    for cells in result.values():
        assert value(cells[2]) == pytest.approx(value(cells[3]), abs=0.05)
    assert value(result["noise 0.5"][2]) > 3


# Anomalies


def test_a_class_that_was_never_seen_is_found() -> None:
    detectors: dict[str, Generator] = {"a": generator((1, 2)), "c": generator((0, 1))}
    result = rows(anomaly.anomaly(subject(detectors=detectors)))
    assert result.keys() == {"without a", "without c", "mean"}
    area, precision, base, unknown, ordinary = map(value, result["without a"])
    assert area > 0.95 and precision > 0.9 and base == pytest.approx(1 / 3)
    assert unknown > 80 and ordinary < 20
    assert value(result["mean"][0]) == pytest.approx((area + value(result["without c"][0])) / 2)


def test_precisions_and_means_have_intervals() -> None:
    detectors: dict[str, Generator] = {"a": generator(), "b": generator()}
    result = rows(anomaly.anomaly(subject(detectors=detectors)))
    for name in ("without a", "without b"):
        precision = result[name][1]
        assert precision.low < precision.value < precision.high
    mean = result["mean"]
    assert all(cell.low <= cell.value <= cell.high for i, cell in enumerate(mean) if i != 2)
    assert value(mean[2]) == pytest.approx(1 / 3) and mean[2].low is None
    wide = result["without a"][0]
    assert mean[0].high - mean[0].low < wide.high - wide.low, "of two classes it is known better than of one"


def test_drawing_within_classes_keeps_their_shares() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2])
    rows_ = anomaly.within_classes(labels, np.random.RandomState(0))
    assert labels[rows_].tolist() == labels.tolist() and len(set(rows_.tolist())) < 6


def test_a_detector_that_saw_all_classes_tells_nothing() -> None:
    result = rows(anomaly.anomaly(subject(detectors={"b": generator()})))
    assert 0.25 < value(result["without b"][0]) < 0.75


def test_what_cannot_be_found_strange_is_left_out() -> None:
    """A class without test images; a model that is told the class."""
    detectors: dict[str, Generator] = {"a": generator((1, 2)), "d": generator()}
    names = ["a", "b", "c", "d"]
    result = rows(anomaly.anomaly(subject(detectors=detectors, names=names)))
    assert result.keys() == {"without a", "mean"}
    assert anomaly.anomaly(subject(detectors={"d": generator()}, names=names)) is None
    assert anomaly.anomaly(subject(detectors=detectors, names=names, conditional=True)) is None
    assert VIEWS["features"](subject(conditional=True)) is None


def test_the_interval_of_an_area_holds_it_as_often_as_it_says() -> None:
    """Scores N(1, 1) against N(0, 1): the area is Phi(1 / sqrt 2)."""
    from sklearn.metrics import roc_auc_score

    random, true, inside = np.random.RandomState(0), 0.7602, 0
    for _ in range(200):
        scores = np.concatenate([random.normal(1, 1, 40), random.normal(0, 1, 60)])
        result = anomaly.hanley_mcneil(float(roc_auc_score(np.arange(100) < 40, scores)), 40, 60)
        assert result.low is not None and result.high is not None
        inside += result.low <= true <= result.high
    assert 180 <= inside <= 199


# Features


def test_codes_that_are_components_are_told_apart_like_components() -> None:
    result = rows(VIEWS["features"](subject()))
    ours, reference, pixels = (value(cells[0]) for cells in result.values())
    assert ours == pytest.approx(reference, abs=1.2) and ours > 95 and pixels > 95


def test_a_probe_of_many_numbers_gets_their_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    labels = {name: np.arange(n) % 3 for name, n in {"train": 240, "validation": 60, "test": 60}.items()}
    directions = random.normal(0, 3, (3, 512))
    inputs = {name: directions[c] + random.normal(0, 1, (len(c), 512)) for name, c in labels.items()}
    few = probing.reduced(inputs)
    assert {values.shape[1] for values in few.values()} == {probing.PROBED}
    fits = mock.Mock(wraps=probing.LogisticRegression)
    monkeypatch.setattr(probing, "LogisticRegression", fits)
    assert probing.probe(inputs, labels).value == 100.0
    assert all(call.kwargs["max_iter"] <= 100 for call in fits.call_args_list)
    narrow = {name: values[:, :10] for name, values in inputs.items()}
    assert probing.reduced(narrow) is narrow


def test_few_images_are_used_where_few_are_asked_for() -> None:
    inputs = subject(training=100)
    assert [inputs.count(split) for split in ("train", "validation", "test")] == [100, 20, 20]
    assert [subject().count(split) for split in ("train", "validation", "test")] == [240, 60, 90]
    for name in VIEWS:
        make_view(name, inputs)


def test_without_classes_there_is_no_probe_and_one_colour() -> None:
    plain = {name: Split(split.images) for name, split in splits().items()}
    assert VIEWS["features"](subject(splits=plain)) is None
    view = VIEWS["map"](subject(splits=plain))
    assert view is not None and [line.name for line in view.plots[0].lines] == ["test images"]


def test_the_map_is_the_plane_of_most_variance() -> None:
    view = VIEWS["map"](subject())
    assert view is not None and [line.name for line in view.plots[0].lines] == ["a", "b", "c"]
    points = np.concatenate([np.array(line.points) for line in view.plots[0].lines])
    codes = subject().codes["test"]
    assert points.shape == (90, 2)
    (images,), sheet = view.pictures, view.plots[0].samples
    assert sheet and (sheet.path, sheet.rows, len(images.images)) == (view.record().pictures[0].path, 3, 90)
    labels = splits()["test"].labels
    assert labels is not None
    third = np.flatnonzero(labels == 2)[0]
    at = sum(len(line.points) for line in view.plots[0].lines[:2])
    assert np.array_equal(images.images[at], splits()["test"].images[np.array([third])][0])
    assert points.var(0).sum() == pytest.approx(codes[:, :2].var(0).sum(), rel=0.01)


# Drawing and walking


def judge(calls: list[np.ndarray]) -> Judge:
    """A judge that only measures how far the mean image is from that of the data."""
    mean = splits()["test"].images[:].mean(0)

    def judged(drawn: np.ndarray, labels: np.ndarray | None) -> Metrics:
        calls.append(drawn)
        distance = float(np.abs(drawn.mean(0) - mean).mean())
        return {"kid": MetricResult(value=distance, real_baseline=0.5)}

    return judged


def test_a_mixture_is_where_the_codes_are_and_a_normal_is_not() -> None:
    class Moved(Linear):
        """The same codes, far from N(0, I)."""

        def code(self, batch: Batch) -> Tensor:
            return super().code(batch) + 30

        def picture(self, z: Tensor, batch: Batch) -> Tensor:
            return super().picture(z - 30, batch)

    calls: list[np.ndarray] = []
    result = rows(VIEWS["draws"](subject(generator=Moved(generator().pca), judge=judge(calls))))
    normal, mixture = (value(cells[0]) for cells in result.values())
    assert mixture < 5 < 30 < normal
    assert len(calls[0]) == len(calls[1]) == 90
    assert VIEWS["draws"](subject()) is None


def test_a_doubtful_metric_of_draws_is_marked_and_has_no_best() -> None:
    def judged(drawn: np.ndarray, labels: np.ndarray | None) -> Metrics:
        distance = MetricResult(value=9.0, real_baseline=0.5, note="mostly bias")
        return {"frechet_distance": distance, "kid": MetricResult(value=0.2, real_baseline=0.0)}

    view = VIEWS["draws"](subject(judge=judged))
    assert view is not None
    (drawn,) = view.tables
    columns = [(column.label, column.better) for column in drawn.columns]
    assert columns == [("KID", "lower"), ("Fréchet distance *", None)]
    assert drawn.note.endswith(" Fréchet distance *: mostly bias.")


def coded(train: np.ndarray, validation: np.ndarray) -> Subject:
    made = subject()
    made.codes = {"train": train, "validation": validation}  # type: ignore[misc]
    return made


def test_validation_codes_choose_the_mixture() -> None:
    random = np.random.RandomState(0)
    centres = 20 * random.normal(size=(3, 8))

    def clusters(n: int) -> np.ndarray:
        return centres[random.randint(3, size=n)] + random.normal(size=(n, 8))

    of_three = latent_space.fitted_mixture(coded(clusters(600), clusters(300)))
    assert latent_space.called(of_three) == "3 diagonal Gaussians"
    turned = random.normal(size=(8, 8))
    of_one = latent_space.fitted_mixture(
        coded(random.normal(size=(600, 8)) @ turned, random.normal(size=(300, 8)) @ turned)
    )
    assert latent_space.called(of_one) == "1 Gaussian"
    few = latent_space.fitted_mixture(coded(clusters(3), clusters(3)))
    assert latent_space.called(few) == "1 diagonal Gaussian"
    drawn = latent_space.drawn_from(of_three, 300, 0)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2)
    assert (nearest.min(1) < 8).all() and len(set(nearest.argmin(1)[:10])) > 1, "in no order"
    np.testing.assert_array_equal(latent_space.drawn_from(of_three, 2, 0), drawn[:2])
    drawn = latent_space.drawn_from(of_one, 3000, 0)
    np.testing.assert_allclose(np.cov(drawn.T), of_one.covariances_[0], atol=1.5)


def test_arcs_keep_the_length_and_meet_the_ends() -> None:
    a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 3.0, 0.0])
    for t in (0.0, 0.3, 1.0):
        assert np.linalg.norm(latent_space.spherical(a, b, t)) == pytest.approx(3)
    np.testing.assert_allclose(latent_space.spherical(a, b, 0), a)
    np.testing.assert_allclose(latent_space.spherical(a, b, 1), b, atol=1e-12)
    np.testing.assert_allclose(latent_space.spherical(a, 2 * a, 0.5), 1.5 * a)
    np.testing.assert_allclose(latent_space.linear(a, b, 0.5), [1.5, 1.5, 0])


def test_walks_begin_and_end_at_test_images() -> None:
    inputs = subject()
    view = VIEWS["interpolation"](inputs)
    assert view is not None
    picture = view.pictures[0]
    walks = picture.images.reshape(2 * latent_space.PAIRS, latent_space.STEPS, *CARD.shape)
    back = inputs.reconstruct(inputs.images("test"))
    for walk in walks:
        for end in (walk[0], walk[-1]):
            assert (back == end).all((1, 2, 3)).any()
    np.testing.assert_array_equal(walks[0][0], walks[1][0])


def test_a_walk_is_told_the_class_of_the_nearer_end() -> None:
    inputs, calls = subject(conditional=True), []
    decode = inputs.decode

    def watched(codes: np.ndarray, labels: np.ndarray | None = None, by: Any = None) -> np.ndarray:
        calls.append(labels)
        return decode(codes, labels, by)

    inputs.decode = watched  # type: ignore[method-assign]
    view = VIEWS["interpolation"](inputs)
    assert view is not None and "The class that is told" in view.pictures[0].meaning
    for labels in calls:
        assert len(set(labels[:5])) == len(set(labels[5:])) == 1
    assert any(labels[0] != labels[-1] for labels in calls)
    plain = VIEWS["interpolation"](subject())
    assert plain is not None and "class" not in plain.pictures[0].meaning


def test_traversals_begin_with_what_diverges_most_from_the_prior() -> None:
    class Sure(Gaussian):
        """Its second number is wide and says nothing; its fourth says most."""

        def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
            mean = torch.zeros(len(batch), Z)
            return mean, -torch.tensor([1.0, 0.0, 2.0, 9.0, 0.5]).expand(len(batch), Z)

    order, by = latent_space.ranked(subject(generator=Sure(generator().pca)))
    assert order.tolist() == [3, 2, 0, 4, 1] and "divergence" in by


def traversed(inputs: Subject) -> tuple[View, np.ndarray]:
    """The view, and the codes that it has decoded, by dimension and position."""
    calls: list[np.ndarray] = []

    def decode(codes: np.ndarray, labels: np.ndarray | None = None, by: Any = None) -> np.ndarray:
        calls.append(codes)
        return np.zeros((len(codes), *CARD.shape), np.uint8)

    inputs.decode = decode  # type: ignore[method-assign]
    view = VIEWS["traversals"](inputs)
    assert view is not None
    return view, calls[0].reshape(Z, latent_space.POSITIONS, Z)


def test_a_traversal_changes_one_dimension_at_a_time() -> None:
    inputs = subject()
    _, walks = traversed(inputs)
    start, spread = inputs.codes["test"][0], inputs.codes["train"].std(0)
    assert [int(np.flatnonzero(walk.std(0) > 1e-9).item()) for walk in walks] == np.argsort(-spread).tolist()
    for walk in walks:
        j = int(np.flatnonzero(walk.std(0) > 1e-9).item())
        np.testing.assert_allclose(np.delete(walk, j, 1), np.delete(start, j)[None].repeat(9, 0))
        assert np.ptp(walk[:, j]) == pytest.approx(6 * spread[j])


@pytest.mark.parametrize("most", [latent_space.TRAVERSED, 3])
def test_dimensions_that_are_not_walked_are_counted(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_space, "TRAVERSED", most)
    view = VIEWS["traversals"](subject())
    assert view is not None
    (picture,) = view.pictures
    assert len(picture.images) == min(most, Z) * latent_space.POSITIONS
    assert ("2 others are left out" in picture.meaning) == (most == 3)


def test_what_has_a_prior_is_walked_along_the_prior() -> None:
    view, walks = traversed(subject(generator=Gaussian(generator().pca)))
    assert "of the prior" in view.pictures[0].meaning
    ends = [(walk[0, j], walk[-1, j]) for walk in walks for j in [int(np.ptp(walk, axis=0).argmax())]]
    assert ends == [(-3.0, 3.0)] * Z


# Likelihood


class Gaussian(Linear):
    """x = W z + mean + sigma eps, whose likelihood is known; the posterior is exact, or worse."""

    has_likelihood = True

    def __init__(self, fitted: PCA, worse: float = 0.0):
        super().__init__(fitted)
        self.worse, self.sigma = worse, 0.1
        self.w = torch.from_numpy(fitted.components_.T * 0.3)
        self.mean = torch.from_numpy(fitted.mean_)
        self.m = self.w.T @ self.w + self.sigma**2 * torch.eye(Z, dtype=torch.float64)

    def x(self, batch: Batch) -> Tensor:
        assert batch.image is not None
        return (batch.image.flatten(1).double() + 1) / 2

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        mean = (self.x(batch) - self.mean) @ self.w @ self.m.inverse()
        log_variance = (self.sigma**2 * self.m.inverse().diagonal()).log()
        return mean + self.worse, log_variance.expand_as(mean) + self.worse

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Tensor:
        mean, log_variance = self.posterior(batch)
        eps = noise(k, Z).double()
        z = mean[:, None] + (log_variance[:, None] / 2).exp() * eps
        error = self.x(batch)[:, None] - z @ self.w.T - self.mean
        log_p = -0.5 * (error / self.sigma).square().sum(2) - 64 * np.log(self.sigma * np.sqrt(2 * np.pi))
        return log_p - 0.5 * z.square().sum(2) + 0.5 * (eps.square().sum(2) + log_variance.sum(1)[:, None])

    def exact(self) -> float:
        covariance = self.w @ self.w.T + self.sigma**2 * torch.eye(64, dtype=torch.float64)
        x = torch.from_numpy(flat(splits()["test"].images[:]))
        return float(MultivariateNormal(self.mean, covariance).log_prob(x).mean())


def test_larger_images_are_fewer_for_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = subject(generator=Gaussian(generator().pca))
    assert likelihood.effort(inputs) == (inputs.count("test"), 1000)
    one = likelihood.operations(inputs)
    assert one >= 2 * 64 * 5, "at least the product of a code with the components"
    monkeypatch.setattr(likelihood, "WORK", 70 * 1000 * one)
    assert likelihood.effort(inputs) == (70, 1000)
    assert likelihood.likely_images(inputs) == len(likelihood.log_weights(inputs, 10)) == 70
    few = replace(inputs, training=400)
    assert likelihood.effort(few) == (few.count("test"), 10), "fewer draws rather than a handful of images"
    monkeypatch.setattr(likelihood, "WORK", 1.0)
    assert likelihood.effort(inputs) == (likelihood.LEAST, 1)
    view = likelihood.likelihood(inputs)
    assert list(rows(view)) == ["at most, the ELBO"]


def test_the_bound_is_the_likelihood_where_the_posterior_is_exact() -> None:
    model = Gaussian(generator().pca)
    result = [value(cells[0]) for cells in rows(likelihood.likelihood(subject(generator=model))).values()]
    assert result == pytest.approx([-model.exact()] * 4, abs=1e-3)


def test_the_bound_rises_with_the_draws() -> None:
    model = Gaussian(generator().pca, worse=0.1)
    result = [value(cells[0]) for cells in rows(likelihood.likelihood(subject(generator=model))).values()]
    assert result[0] > result[1] > result[2] > result[3] > -model.exact() - 0.01
    assert result[3] == pytest.approx(-model.exact(), abs=0.1)


def test_units_that_follow_images_are_active() -> None:
    class Lazy(Gaussian):
        def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
            mean = torch.zeros(len(batch), Z)
            mean[:, 1] = self.x(batch)[:, 0].float() * 5
            return mean, torch.zeros(len(batch), Z)

    view = likelihood.posterior(subject(generator=Lazy(generator().pca)))
    assert rows(view)["test images"][0] == f"1 of {Z}"
    assert view is not None
    heights = [y for _, y in view.plots[0].lines[0].points]
    assert heights[0] > 0.1 and heights[1:] == [0.0] * (Z - 1)


def test_the_bound_is_the_sum_of_its_parts() -> None:
    model = Gaussian(generator().pca)
    active, kl, reconstruction, elbo = rows(likelihood.posterior(subject(generator=model)))["test images"]
    assert value(elbo) == pytest.approx(-model.exact(), abs=1e-3), "the posterior is exact"
    assert value(reconstruction) + value(kl) == pytest.approx(value(elbo))
    assert value(kl) > 1


def test_posteriors_are_of_the_images_that_the_likelihood_is_of() -> None:
    class Binary(Gaussian):
        def binary(self, batch: Batch, noise: Noise) -> Tensor:
            assert batch.image is not None
            return (noise.uniform(*CARD.shape) < (batch.image + 1) / 2).float()

    inputs = subject(generator=Binary(generator().pca))
    x = np.concatenate([batch.image.numpy() for batch in likelihood.likelihood_batches(inputs)])
    binary = likelihood.binarised(inputs)
    assert binary is not None
    np.testing.assert_array_equal((x.reshape(90, -1) + 1) / 2, binary["test"])
    view = likelihood.posterior(inputs)
    assert view is not None and view.tables[0].note == "90 images, made binary."


def test_without_a_likelihood_there_is_none() -> None:
    class Grey(Gaussian):
        has_likelihood = False

        def log_weights(self, batch: Batch, noise: Noise, k: int) -> Tensor:
            raise ValueError("grey")

    assert likelihood.likelihood(subject()) is None
    assert likelihood.likelihood(subject(generator=Grey(generator().pca))) is None
    assert likelihood.posterior(subject()) is None
    grey = likelihood.posterior(subject(generator=Grey(generator().pca)))
    assert grey is not None and len(grey.tables[0].columns) == 2, "hence no bound of it"


def test_a_mixture_of_bernoullis_is_found_again() -> None:
    random = np.random.RandomState(0)
    true = likelihood.BernoulliMixture(np.array([0.3, 0.7]), random.uniform(0.1, 0.9, (2, 40)))
    which = (random.rand(3000) < 0.7).astype(int)
    x = (random.rand(3000, 40) < true.mean[which]).astype(float)
    start = likelihood.BernoulliMixture(np.array([0.5, 0.5]), 0.25 + 0.5 * x[:2])
    scores = []
    for _ in range(40):
        scores.append(start.log_p(x).mean())
        start = start.improved(x)
    assert all(b >= a - 1e-3 for a, b in zip(scores, scores[1:], strict=False))
    result = likelihood.mixture_of(x[:2000], 2, random)
    assert result.log_p(x[2000:]).mean() == pytest.approx(true.log_p(x[2000:]).mean(), abs=0.15)
    assert sorted(result.weight) == pytest.approx([0.3, 0.7], abs=0.05)


def test_a_mixture_takes_no_more_work_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    patterns = random.rand(30, 40) < 0.5  # more than ten components are liked
    x = (patterns[random.randint(30, size=900)] ^ (random.rand(900, 40) < 0.02)).astype(np.float32)
    assert len(likelihood.best_mixture(x[:600], x[600:], random).weight) > 10
    monkeypatch.setattr(likelihood, "MIXTURE_WORK", 4.0 * likelihood.ITERATIONS * 11 * 600 * 40)
    assert len(likelihood.best_mixture(x[:600], x[600:], random).weight) == 10
    monkeypatch.setattr(likelihood, "MIXTURE_WORK", 1.0)
    assert len(likelihood.best_mixture(x[:600], x[600:], random).weight) == 1


def test_single_precision_is_enough_for_a_mixture() -> None:
    random = np.random.RandomState(0)
    x = (random.rand(200, 4096) < random.rand(4096)).astype(np.float64)
    both = [likelihood.mixture_of(x.astype(t), 5, np.random.RandomState(1)) for t in (np.float32, np.float64)]
    single, double = (m.log_p(x.astype(t)) for m, t in zip(both, (np.float32, np.float64), strict=True))
    np.testing.assert_allclose(single, double, atol=0.05)


def test_validation_stops_adding_components(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    x = (random.rand(400, 40) < random.uniform(0.05, 0.95, 40)).astype(float)
    tried: list[int] = []
    fit = likelihood.mixture_of

    def watched(x: np.ndarray, components: int, random: np.random.RandomState) -> Any:
        tried.append(components)
        return fit(x, components, random)

    monkeypatch.setattr(likelihood, "mixture_of", watched)
    assert len(likelihood.best_mixture(x[:300], x[300:], random).weight) == 1
    assert tried == [1, 10], "pixels are independent: ten are worse than one"


def test_a_mixture_is_a_distribution() -> None:
    mixture = likelihood.BernoulliMixture(np.array([0.4, 0.6]), np.random.RandomState(0).rand(2, 5))
    every = np.array([[i >> d & 1 for d in range(5)] for i in range(32)], float)
    assert np.exp(mixture.log_p(every)).sum() == pytest.approx(1)


# Models that have diverged


def test_a_diverged_model_says_so_and_nothing_else() -> None:
    class Diverged(Linear):
        def code(self, batch: Batch) -> Tensor:
            z = super().code(batch)
            z[::2, 0] = torch.nan
            return z

    broken = subject(generator=Diverged(generator().pca), judge=judge([]))
    views = {name: make_view(name, broken) for name in VIEWS}
    assert [name for name, view in views.items() if view] == ["diverged"]
    assert rows(views["diverged"]).keys() == {"train images", "validation images", "test images"}
    assert rows(views["diverged"])["test images"] == ["45 of 90"]
    assert make_view("diverged", subject()) is None


# As JSON


def test_views_are_json_and_the_same_again() -> None:
    made = [
        [view.record() for make in VIEWS.values() if (view := make(subject(judge=judge([]))))]
        for _ in range(2)
    ]
    assert made[0] == made[1] and [view.name for view in made[0]][:2] == ["draws", "compression"]
    for view in made[0]:
        assert records.View.read(json.loads(json.dumps(view.to_json(), allow_nan=False))) == view
        for made_table in view.tables:
            assert all(len(row.cells) == len(made_table.columns) for row in made_table.rows)


def test_a_cell_is_a_number_with_or_without_an_interval_or_a_text() -> None:
    (row,) = table((("a", None), ("b", "lower"), ("c", None)), [("x", (1, Estimate(2, 1), "3"))]).rows
    assert row.cells == [records.Cell(value=1.0), records.Cell(value=2.0, low=1.0), records.Cell(text="3")]


def test_points_that_are_not_finite_are_left_out() -> None:
    points = [(0.0, float("nan")), (1.0, 2.00004), (float("inf"), 3.0)]
    assert plot("lines", "x", "y", {"line": points}).lines[0].points == [[1.0, 2.0]]


def test_chunks_make_no_difference() -> None:
    inputs, x = subject(), splits()["test"].images[:]
    np.testing.assert_array_equal(inputs.encode(x)[64:], inputs.encode(x[64:]))
    one = torch.from_numpy(inputs.encode(x[:1])).float()
    np.testing.assert_array_equal(
        inputs.reconstruct(x)[0], to_uint8(inputs.generator.picture(one, Batch(1)))[0]
    )
