"""The proof of the adversarial families, their remedies and their doctor, on targets whose modes are known.

    python benchmarks/gan_proof.py modes        losses and remedies on a ring of 8 and a grid of 25 Gaussians
    python benchmarks/gan_proof.py stacked      four variants on stacked digits, 1,000 modes
    python benchmarks/gan_proof.py diseases     provoked diseases and healthy runs: what the doctor says
    python benchmarks/gan_proof.py treatments   provoked runs, observed and treated from the same seed
    python benchmarks/gan_proof.py all          everything: about an hour and a half on two cores

    [--store output] [--jobs 2] [--seeds N] [--write [docs/gans.md]]

Every run is a stage in the store: a second call goes on where the first was interrupted, and prints from the
store what is there. Tables are markdown; --write puts them between their markers in a file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judge import trained_judge

from components.common.errors import InputError, RunError
from components.common.paths import home
from components.common.seeds import derive
from components.config.train import Train
from components.data import dataset, toy_distributions
from components.data.dataset import open_split
from components.data.local import data_version
from components.extractors.load import load_extractor
from components.families import catalogue
from components.families.catalogue import module_of
from components.metrics.intervals import share
from components.sampling import generate
from components.sampling.conditions import FixedConditions
from components.stages import cache, code_digest
from components.stages.spec import Spec
from components.store import Store, open_store
from components.store.uploader import Uploader
from components.training import checkpoint
from components.training.health.probe import Probe
from components.training.loop import train
from components.training.run_log import RunLog
from components.training.trainer import Trainer
from models import gan
from models.data_spec import DataSpec
from models.family import Family

TARGETS = {"ring": toy_distributions.ring, "grid": toy_distributions.grid}
DRAWN = {"ring": 2500, "grid": 2500, "stacked": 26_000}  # samples that are judged, as many as in PacGAN
EVERY = 50  # steps between looks of the doctor
SEEDS = 3


# What is run.

# One small network for all: two hidden layers of 128, z of 16 numbers, Adam 1e-3, batch 128.
SMALL: dict[str, Any] = {"widths": [128, 128], "latent": 16, "lr": 1e-3}
ADAM_GP = {"beta1": 0.5, "beta2": 0.9}
LOSSES: dict[str, dict[str, Any]] = {
    "non-saturating": {},
    "least squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "Wasserstein, clipped": {
        "loss": "wasserstein",
        "clip_weights": 0.1,
        "n_critic": 5,
        "optimizer": "rmsprop",
        "lr": 5e-4,
    },
    "Wasserstein, gradient penalty": {
        "loss": "wasserstein",
        "gradient_penalty": 1.0,
        "n_critic": 3,
        **ADAM_GP,
    },
    "hinge, spectral norm": {"loss": "hinge", "spectral_norm": True, "beta1": 0.0, "beta2": 0.9},
    "relativistic, R1 and R2": {"loss": "relativistic", "r1": 0.1, "r2": 0.1, "beta1": 0.0, "beta2": 0.9},
}
REMEDIES: dict[str, dict[str, Any]] = {
    "n_critic 3": {"n_critic": 3},
    "two G steps a D step": {"n_generator": 2},
    "D twice as fast": {"lr_discriminator": 2e-3},
    "gradient penalty": {"gradient_penalty": 1.0},
    "R1": {"r1": 0.2},
    "spectral norm": {"spectral_norm": True},
    "minibatch discrimination": {"minibatch_discrimination": 16},
    "minibatch standard deviation": {"minibatch_stddev": 4},
    "unrolled, 5 steps": {"unrolled_steps": 5},
    "instance noise": {"instance_noise": 0.2, "instance_noise_steps": 2000},
    "label smoothing": {"label_smoothing": 0.1},
}
TRAIN = {"steps": 2500, "batch": 128, "health_every": EVERY}

# Diseases: what is done to a training, and the diagnoses that name what was done. A discriminator fifty times
# too fast is sure at once (vanishing), or both run off; a generator without noise makes one point, a latent
# of one number a curve; Adam that remembers a thousand gradients swings, runs off or collapses.
SLOW = SMALL | {"lr": 3e-4}
FAST_D = SLOW | {"lr_discriminator": 50 * 3e-4}
WRONG_STEPS = ("vanishing_gradients", "oscillation", "divergence", "non_finite", "mode_collapse")
PROVOKED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "D at 50 times the learning rate": (FAST_D, WRONG_STEPS),
    "the same, least squares": (FAST_D | {"loss": "least_squares"}, WRONG_STEPS),
    "G without noise": (SMALL | {"noiseless": True}, ("mode_collapse",)),
    "a latent of one number": (SMALL | {"latent": 1}, ("mode_collapse",)),
    "beta1 0.99, beta2 0.9": (SMALL | {"beta1": 0.99, "beta2": 0.9}, WRONG_STEPS),
    "beta1 0.999, beta2 0.9": (SMALL | {"beta1": 0.999, "beta2": 0.9}, WRONG_STEPS),
}
# A ring is a curve: such runs find all modes, and are not ill.
HARMLESS = {("a latent of one number", "ring")}
HEALTHY = [
    "non-saturating",
    "least squares",
    "hinge",
    "Wasserstein, gradient penalty",
    "hinge, spectral norm",
    "relativistic, R1 and R2",
]
NUMBER = {"ring": 8, "grid": 25}  # of modes
ENDS_WELL = 0.75  # of the modes: with fewer, a run of sound settings was not healthy after all
STACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "DCGAN": ("dcgan", {"width": 16, "lr": 5e-4}),
    "DCGAN, minibatch discrimination": ("dcgan", {"width": 16, "lr": 5e-4, "minibatch_discrimination": 16}),
    "WGAN-GP": ("wgan_gp", {"width": 16, "lr": 1e-3, "n_critic": 2}),
    "DCGAN networks, relativistic, R1 and R2": (
        "dcgan",
        {
            "width": 16,
            "lr": 5e-4,
            "loss": "relativistic",
            "norm": "none",
            "r1": 1.0,
            "r2": 1.0,
            "beta2": 0.9,
        },
    ),
}
STACKED_TRAIN = {"steps": 1500, "batch": 64, "health_every": EVERY, "schedule": "linear"}


class DeafGenerator(gan.Generator):
    """It is given zeros whatever z is, so that it can only make one point."""

    def forward(self, z: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(torch.zeros_like(z), label)


class Noiseless(gan.GAN):
    """A disease that no setting can express."""

    def networks(self, config: Any, card: DataSpec) -> tuple[Any, Any]:
        _, discriminator = super().networks(config, card)
        return DeafGenerator(config, card), discriminator


def spec(
    target: str,
    family: str,
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    digits: Mapping[str, str] | None = None,
) -> Spec:
    """A run as a stage: all its result depends on."""
    resolved = Train(**{"precision": "float32", "workers": 0, "snapshot_samples": 0, **settings}).model_dump()
    content = {"target": target, "family": family, "config": dict(config), "train": resolved}
    return Spec(
        "proof",
        {**content, "drawn": DRAWN[target]},
        code_digest.code("benchmarks.gan_proof", module_of(family)),
        upstream={"proof-classifier": digits["key"]} if digits else {},
        family=family,
        data=digits["version"] if digits else None,
    )


# How it is run.


def run(store: Store, work_of: Spec, digits: Mapping[str, str]) -> dict[str, Any]:
    """The result of one run, from the store or made now."""
    torch.set_num_threads(1)
    settings = dict(work_of.settings)
    done = cache.run(
        store, work_of, lambda attempt, _: {"proof": prove(store, attempt, settings, digits)}, run_id="proof"
    )
    return cache.read(store, done)["proof"]


def prove(
    store: Store, attempt: Store, settings: Mapping[str, Any], digits: Mapping[str, str]
) -> dict[str, Any]:
    """Train, going on from the newest checkpoint, and measure what was learnt."""
    bench = Stacked(store, digits) if settings["target"] == "stacked" else Plane(settings["target"])
    chosen = Train(**settings["train"])
    config = dict(settings["config"])
    torch.manual_seed(derive(chosen.seed, "weights"))
    family: Family
    if config.pop("noiseless", False):
        family = Noiseless(gan.GANConfig(**config), bench.card)
    else:
        family = catalogue.build(settings["family"], config, bench.card)
    trainer = Trainer(
        family, chosen, probe=Probe(FixedConditions(bench.card), bench.features, bench.real(1000))
    )
    began, stopped = time.perf_counter(), None
    with Uploader(attempt) as uploader:
        log = RunLog(attempt, uploader, bench.draw, chosen.steps)
        resume = checkpoint.newest(attempt)
        try:
            train(trainer, bench.source(chosen), log, resume=resume)
        except RunError as error:
            stopped = str(error)
    control = trainer.control
    return {
        "events": [event.to_json() for event in control.events],
        "attempts": control.attempt,
        "step": control.step,
        "stopped": stopped,
        "seconds": max(control.seconds, time.perf_counter() - began),
        **bench.measure(trainer.calibrated(), settings["drawn"]),
    }


class Plane:
    """A mixture of Gaussians in the plane."""

    card = toy_distributions.POINT

    def __init__(self, name: str):
        self.mixture = TARGETS[name]()

    def source(self, chosen: Train) -> toy_distributions.Points:
        return toy_distributions.Points(self.mixture, chosen.batch, chosen.seed)

    def real(self, n: int) -> torch.Tensor:
        return self.mixture.draw(n, torch.Generator().manual_seed(derive("real")))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    def draw(self, generator: Any) -> np.ndarray:
        """Where 500 samples lie, as a picture."""
        points = np.nan_to_num(toy_distributions.points_of(generator, 500, seed=1).numpy())
        counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=64, range=[[-1, 1], [-1, 1]])
        return (np.minimum(counts, 4) * 63).astype(np.uint8)[None, None, ::-1]

    def measure(self, generator: Any, n: int) -> dict[str, Any]:
        points = toy_distributions.points_of(generator, n, seed=2)
        if not points.isfinite().all():
            return {"modes": 0, "high_quality": 0.0, "reverse_kl": None, "distance": None}
        counts, near = self.mixture.modes(points)
        kl = toy_distributions.reverse_kl(counts)
        fresh = self.mixture.draw(n, torch.Generator().manual_seed(derive("fresh"))).flatten(1)
        return {
            "modes": toy_distributions.covered(counts),
            "high_quality": near,
            "reverse_kl": kl if np.isfinite(kl) else None,
            "distance": toy_distributions.energy_distance(points, fresh),
        }


class Stacked:
    """Three digits of MNIST as the colours of one image, and a classifier of single ones."""

    card = toy_distributions.STACKED

    def __init__(self, store: Store, digits: Mapping[str, str]):
        self.see = load_extractor(store.local_copy(f"{digits['extractor']}/extractor"))
        self.split = open_split(Path(digits["data"]), "train")

    def source(self, chosen: Train) -> toy_distributions.StackedDigits:
        return toy_distributions.StackedDigits(self.split.images[:], chosen.batch, chosen.seed)

    def real(self, n: int) -> torch.Tensor:
        image = toy_distributions.StackedDigits(self.split.images[:], n, derive("real")).at(0).image
        assert image is not None
        return image

    def features(self, images: torch.Tensor) -> np.ndarray:
        """Those of the three digits beside each other, (N, 3 D)."""
        pixels = dataset.to_uint8(images).numpy()
        parts = [self.see(np.ascontiguousarray(pixels[:, [channel]])) for channel in range(3)]
        return np.concatenate(parts, 1)

    def draw(self, generator: Any) -> np.ndarray:
        return generate.draw(generator, self.card, n=40, seed=1)

    def classify(self, images: np.ndarray) -> np.ndarray:
        return self.see.logits(images).argmax(1)

    def measure(self, generator: Any, n: int) -> dict[str, Any]:
        counts = toy_distributions.stacked_modes(
            generate.draw(generator, self.card, n=n, seed=2), self.classify
        )
        assert self.split.labels is not None
        labels = np.bincount(self.split.labels, minlength=10) / len(self.split)
        expected = np.einsum("i,j,k->ijk", labels, labels, labels).ravel()
        return {
            "modes": toy_distributions.covered(counts),
            "reverse_kl": toy_distributions.reverse_kl(counts, expected),
        }


def prepared(store: Store) -> tuple[dict[str, str], float]:
    """The digits and their classifier, a stage of its own; and its accuracy on validation."""
    data, version = data_version(home(), "mnist5k", None)
    done = trained_judge(store, "classifier", data, version)
    digits = {"extractor": done.uri, "data": str(data), "key": done.key, "version": version}
    return digits, cache.read(store, done)["classifier"]["accuracy"]


def run_all(
    store: Store, specs: Sequence[Spec], count: int, digits: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The results of many runs, `count` at a time, in the order of `specs`."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of numpy in the processes below, which torch does not limit
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, store, s, digits or {}) for s in specs]
        results = []
        for i, (future, s) in enumerate(zip(futures, specs, strict=True)):
            results.append(future.result())
            summary = {k: v for k, v in results[-1].items() if k not in ("events", "stopped")}
            print(f"{i + 1}/{len(specs)} {s.key} {json.dumps(summary)}", flush=True)
    return results


# The tables.


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def spread(values: Sequence[float | None], form: str) -> str:
    """Mean and range."""
    numbers = [v for v in values if v is not None]
    if not numbers:
        return "none"
    low, high = format(min(numbers), form), format(max(numbers), form)
    return f"{format(statistics.mean(numbers), form)} ({low} to {high})" if low != high else low


def modes(store: Store, count: int, seeds: int = SEEDS) -> str:
    rows = {**LOSSES, **{f"non-saturating, {name}": change for name, change in REMEDIES.items()}}
    cases = [(name, target, seed) for name in rows for target in TARGETS for seed in range(seeds)]
    specs = [spec(t, "gan", SMALL | rows[name], TRAIN | {"seed": seed}) for name, t, seed in cases]
    results = dict(zip(cases, run_all(store, specs, count), strict=True))
    lines = []
    for name in rows:
        line = [name]
        for target in TARGETS:
            of = [results[name, target, seed] for seed in range(seeds)]
            line += [
                spread([r["modes"] for r in of], ".3g"),
                spread([100 * r["high_quality"] for r in of], ".0f") + " %",
                spread([r["reverse_kl"] for r in of], ".2f"),
            ]
        seconds = [results[name, t, s]["seconds"] for t in TARGETS for s in range(seeds)]
        lines.append([*line, f"{statistics.median(seconds):.0f}"])
    header = ["loss or remedy"]
    for target, modes in (("ring", 8), ("grid", 25)):
        header += [f"{target}: modes of {modes}", "within 3 std", "reverse KL"]
    return table([*header, "seconds"], lines)


def stacked(store: Store, count: int, seeds: int = SEEDS) -> str:
    digits, accuracy = prepared(store)
    cases = [(name, seed) for name in STACKED for seed in range(seeds)]
    specs = [
        spec(
            "stacked",
            STACKED[name][0],
            STACKED[name][1],
            STACKED_TRAIN | {"seed": seed, "precision": PRECISION},
            digits,
        )
        for name, seed in cases
    ]
    results = dict(zip(cases, run_all(store, specs, count, digits), strict=True))
    lines = []
    for name in STACKED:
        of = [results[name, seed] for seed in range(seeds)]
        lines.append(
            [
                name,
                spread([r["modes"] for r in of], ".0f"),
                spread([r["reverse_kl"] for r in of], ".2f"),
                f"{statistics.median(r['seconds'] for r in of):.0f}",
            ]
        )
    return table(["variant", "modes of 1,000", "reverse KL", "seconds"], lines) + (
        f"\n\nThe classifier assigns {100 * accuracy:.1f} % of the validation digits correctly."
    )


PRECISION = "bfloat16"  # of the stacked digits; points need more digits than it has


def provoked_specs(health: str, seeds: int) -> dict[tuple[str, str, int], Spec]:
    settings = TRAIN | {"health": health, "checkpoint_every": 250}
    return {
        (name, target, seed): spec(target, "gan", config, settings | {"seed": seed})
        for name, (config, _) in PROVOKED.items()
        for target in TARGETS
        for seed in range(600, 600 + seeds)  # none of those that the rules were calibrated with
    }


def diseases(store: Store, count: int, seeds: int = 4, healthy_seeds: int = 5) -> str:
    sick = provoked_specs("observe", seeds)
    well = {
        (name, target, seed): spec(target, "gan", SMALL | LOSSES[name], TRAIN | {"seed": 500 + seed})
        for name in HEALTHY
        for target in TARGETS
        for seed in range(healthy_seeds)
    }
    specs: dict[tuple[Any, ...], Spec] = {**sick, **{("healthy", *case): s for case, s in well.items()}}
    results = dict(zip(specs, run_all(store, list(specs.values()), count), strict=True))
    counted = {case for case in sick if case[:2] not in HARMLESS}
    lines, missed, harmed = [], [], []
    for name, (_, accepted) in PROVOKED.items():
        for target in TARGETS:
            of = {case: result for case, result in results.items() if case[:2] == (name, target)}
            steps = [first for r in of.values() if (first := first_of(r["events"], accepted)) is not None]
            missed += [c for c, r in of.items() if c in counted and first_of(r["events"], accepted) is None]
            harmed += [case for case, r in of.items() if not ends_well(target, r)]
            names = sorted({e["disease"].replace("_", " ") for r in of.values() for e in r["events"]})
            at = f"{statistics.median(steps):.0f}, at most {max(steps)}" if steps else "never"
            covered = f"{spread([r['modes'] for r in of.values()], '.0f')} of {NUMBER[target]}"
            lines.append([name, target, covered, f"{len(steps)} of {len(of)}", at, ", ".join(names)])
    ended = {case: result for case, result in results.items() if case[0] == "healthy"}
    ill = [case for case, r in ended.items() if not ends_well(case[2], r)]
    diagnosed = sum(bool(ended[case]["events"]) for case in ill)
    alarms = [case for case, result in ended.items() if result["events"] and case not in ill]
    unnamed = sum(case in harmed for case in missed)
    detail = ", ".join(sorted({f"{c[1]} on the {c[2]}" for c in alarms}))
    header = ["provoked", "target", "final modes", "detected", "at step (median)", "diagnoses"]
    text = [
        table(header, lines) + "\n",
        f"Missed: {len(missed)} of {len(counted)} provoked runs ({percent(len(missed), len(counted))}), "
        f"not counting {', '.join(f'{name} on the {target}' for name, target in HARMLESS)}, "
        "which does no harm.",
        f"Of the {len(harmed)} that ended with fewer than three quarters of the modes, missed: {unnamed} "
        f"({percent(unnamed, len(harmed))}).",
        f"False alarms: {len(alarms)} of {len(well) - len(ill)} healthy runs "
        f"({percent(len(alarms), len(well) - len(ill))}){': ' + detail if alarms else ''}.",
    ]
    if ill:
        text.append(
            f"{len(ill)} more of the {len(well)} runs with sound settings ended with fewer than three "
            f"quarters of the modes; the health monitor diagnosed {diagnosed} of them."
        )
    return "\n".join(text)


def ends_well(target: str, result: Mapping[str, Any]) -> bool:
    """Whether a run found most modes, whatever its settings."""
    return bool(result["modes"] >= ENDS_WELL * NUMBER[target])


def first_of(events: Sequence[Mapping[str, Any]], accepted: Sequence[str]) -> int | None:
    """The step of the first diagnosis that names what was done."""
    return next((e["step"] for e in events if e["disease"] in accepted), None)


def percent(count: int, of: int) -> str:
    """A share with its interval."""
    result = share(count, of)
    low, high = (100 * (end or 0.0) for end in (result.low, result.high))
    return f"{100 * result.value:.0f} %, 95 % interval {low:.0f} to {high:.0f} %"


def treatments(store: Store, count: int, seeds: int = 4) -> str:
    observed, treated = provoked_specs("observe", seeds), provoked_specs("treat", seeds)
    results = run_all(store, [*observed.values(), *treated.values()], count)
    plain = dict(zip(observed, results[: len(observed)], strict=True))
    cured = dict(zip(treated, results[len(observed) :], strict=True))
    lines, better, total = [], 0, 0
    for name, target in itertools.product(PROVOKED, TARGETS):
        cases = [case for case in plain if case[:2] == (name, target)]
        pairs = [(distance(plain[case]), distance(cured[case])) for case in cases]
        wins, ties = sum(b < a for a, b in pairs), sum(b == a for a, b in pairs)
        better, total = better + wins, total + len(pairs)
        done = sorted({e["treatment"]["remedy"] for c in cases for e in cured[c]["events"] if e["treatment"]})
        ends = sum(cured[case]["stopped"] is not None for case in cases)
        a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
        lines.append(
            [
                name,
                target,
                f"{a:.3g}",
                f"{b:.3g}",
                f"{wins}, {ties}, {len(pairs) - wins - ties}",
                ends,
                ", ".join(done),
            ]
        )
    header = [
        "provoked",
        "target",
        "distance, observed",
        "treated",
        "better, same, worse",
        "stopped",
        "remedies applied",
    ]
    taken = [case for case in cured if cured[case]["events"]]
    helped = sum(distance(cured[case]) < distance(plain[case]) for case in taken)
    return table(header, lines) + (
        f"\n\nTreated runs end closer to the target in {better} of {total} runs ({percent(better, total)}); "
        f"of the {len(taken)} with a diagnosis, in {helped} ({percent(helped, len(taken))})."
    )


def distance(result: Mapping[str, Any]) -> float:
    """The final energy distance; infinite where samples are not finite."""
    return float("inf") if result["distance"] is None else result["distance"]


PARTS: dict[str, Callable[..., str]] = {
    "modes": modes,
    "stacked": stacked,
    "diseases": diseases,
    "treatments": treatments,
}


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between a table's markers.

    Raises:
        InputError: the file or the markers are not there.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = path.read_text() if path.is_file() else ""
    head, opened, rest = whole.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (opened and closed):
        raise InputError(f"{path} has no place for the table: it needs {begin} and {end}")
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--store", default="output")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, help="of each row, where not its own number")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "gans.md")
    options = parser.parse_args()
    store = open_store(options.store, home())
    chosen = {"seeds": options.seeds} if options.seeds else {}
    for name in PARTS if options.part == "all" else [options.part]:
        text = PARTS[name](store, options.jobs, **chosen)
        print(f"\n{text}\n")
        if options.write:
            put(options.write, name, text)


if __name__ == "__main__":
    main()
