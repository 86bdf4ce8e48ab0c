"""Class-conditional digits: what minutes of training give, at each strength of guidance and number of steps.

    python benchmarks/diffusion_digits.py [--minutes 15] [--guidance 1.5 2 ...] [--samples 1000] [--threads 2]
    python benchmarks/diffusion_digits.py --model FOLDER       of a training that is finished

    [--study] [--config configs/cpu/diffusion.yaml] [--store output] [--write [docs/diffusion.md]]

The family and its training settings are those of the config's block, but for the steps: as many as fit into
the minutes, by the speed of a few seconds that are thrown away. The weights are the averaged ones, after the
last step. A classifier says which samples are the class that was asked for, and how many real test digits it
is right about stands beside. The Frechet distances are on features of other networks, so that nothing is
scored by the network that was asked about classes: a second classifier, trained from another seed; a network
that has learnt to tell by how much a digit is turned; and, where the extra is installed, EfficientNet-Lite0,
which has seen photographs only. All but the last are trained on the train split of the digits, and none takes
part in training or sampling. Distances are also given in floors, the distance of as many training digits to
the test digits. A sample counts as memorised if it is as near to a training digit as only 1 % of the test
digits are.

--study also compares the samplers, numbers of steps and strengths of guidance that the family's own studies
name, with the same noise and classes for each.

The training is a stage in the store: a second call takes it from there.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from diffusion_peers import (
    DATA,
    DIGIT,
    FAMILY,
    SAMPLE_SEED,
    Atelier,
    Judge,
    changed,
    clocked,
    count,
    extractor,
    planned,
    show,
)
from gan_proof import put, table

from components.cluster import resources
from components.common.errors import InputError
from components.common.paths import home
from components.config.loading import load
from components.config.train import Train
from components.data.dataset import Split, open_split
from components.data.local import data_version
from components.evaluation.reference import choose
from components.extractors.efficientnet import adopt_efficientnet
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.families import artifact, catalogue
from components.families.catalogue import module_of
from components.metrics.distances import Estimate
from components.metrics.intervals import share
from components.metrics.manifold import closeness, memorised, nearest
from components.sampling import generate
from components.stages import cache, code_digest
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store, open_store
from components.training import request
from models.data_spec import DataSpec
from models.family import Generator, Study
from models.registry import FAMILIES

CLASSES = 10
MAIN = "another classifier"
CARD = DataSpec(DIGIT.channels, DIGIT.resolution, CLASSES)
SHEET, ROUNDS = 64, 3  # digits that are timed, and how often
CONFIG = Path("configs") / "cpu" / "diffusion.yaml"
LABELS = [str(digit) for digit in range(CLASSES)]


# Training, as a stage.


def settings_of(path: Path, family: str = FAMILY) -> tuple[Mapping[str, Any], Train]:
    """The block of a config: the family's settings, and its training's with nothing left to choose."""
    experiment = load(path)
    if family not in experiment.families:
        raise InputError(f"{path} has no family {family}; it has {', '.join(experiment.families)}")
    own = {name: value for name, value in experiment.families[family].items() if name != "train"}
    chosen = experiment.training(family)
    precision = resources.precision(chosen.precision, "cpu")
    return catalogue.config_of(family, own), chosen.model_copy(update={"precision": precision})


def trained(
    store: Store,
    config: Mapping[str, Any],
    chosen: Train,
    minutes: float,
    threads: int,
    data: Path,
    version: str,
) -> Done:
    """A model of so many minutes, made now or taken from the store."""
    shaping = {
        name: value for name, value in chosen.semantic().items() if name not in ("steps", "torch_threads")
    }
    settings = {"config": config, "train": shaping, "minutes": minutes, "threads": threads}
    code = code_digest.code(module_of(FAMILY), "components.training.trainer")
    spec = Spec("digits", settings, code, family=FAMILY, data=version)
    split = open_split(data, "train")

    def body(attempt: Store, number: int) -> dict[str, Any]:
        return fitted(attempt, split, config, chosen, minutes)

    return cache.run(store, spec, body, run_id="digits")


def fitted(
    attempt: Store, split: Split, config: Mapping[str, Any], chosen: Train, minutes: float
) -> dict[str, Any]:
    """Train by the clock and leave a model folder."""

    def make(steps: int) -> Atelier:
        return Atelier(split, CARD, config, chosen.model_copy(update={"steps": steps}))

    steps = planned(make, 60 * minutes)
    print(f"training for {steps} steps...", flush=True)
    made = make(steps)
    done, seconds = clocked(made, steps, 60 * minutes)
    job = request.TrainRequest(FAMILY, config, chosen.model_dump(), data="", attempt="", store=attempt)
    artifact.save_model(attempt, "model", job.family, job.config, made.trainer.calibrated(), CARD, LABELS)
    return {"planned": steps, "steps": done, "images": done * made.batch, "train_seconds": seconds}


def model(
    store: Store, args: argparse.Namespace, data: Path, version: str
) -> tuple[Generator, DataSpec, str]:
    """The generator that is judged, its card, and how it came about in words."""
    if args.model:
        generator, card, _ = artifact.load_model(args.model)
        origin = f"The model in {args.model.name}"
    else:
        done = trained(store, *settings_of(args.config), args.minutes, args.threads, data, version)
        generator, card, _ = artifact.load_model(store.local_copy(f"{done.uri}/model"))
        made = cache.read(store, done)
        origin = (
            f"{made['train_seconds'] / 60:.1f} minutes of training on {args.threads} threads, "
            f"{made['steps']:,} steps, {made['images'] / made['train_seconds']:,.0f} images/s"
        )
    if card.shape != CARD.shape or card.num_classes != CLASSES:
        raise InputError(f"{args.model} was made for images {card.shape} of {card.num_classes} classes")
    if not hasattr(generator, "config") or not hasattr(generator.config, "guidance_scale"):
        raise InputError(f"{args.model} has no guidance: it is no model of the family {FAMILY}")
    return generator, card, f"{origin}, {count(generator) / 1e6:.2f} M parameters"


# Judging.


@dataclass(frozen=True)
class Found:
    """What was found of one way to sample; `seconds` is missing for real digits."""

    right: Estimate
    distances: Mapping[str, Estimate]  # by network, the first of which is the main one
    memorised: Estimate
    seconds: float | None = None  # for SHEET digits


class Judges:
    """A classifier that says what is right, and other networks whose features are compared."""

    def __init__(self, store: Store, data: Path, samples: int):
        self.classifier = extractor(store, "classifier")
        self.judges = {name: Judge(see, data, samples) for name, see in others(store).items()}
        self.judge = self.judges[MAIN]
        self.splits = {split: open_split(data, split) for split in ("train", "validation", "test")}
        self.train = self.judge.see(self.splits["train"].images[:])
        self.closest = closeness(self.nearness(self.splits["test"].images[:]))
        self.n = self.judge.n

    def nearness(self, images: np.ndarray) -> np.ndarray:
        """How far each image is from its nearest training image."""
        return nearest(self.judge.see(images), self.train)[1]

    def right(self, images: np.ndarray, labels: np.ndarray) -> Estimate:
        """The share that the classifier takes for what they should be."""
        predicted = self.classifier.logits(images).argmax(1)
        return share(int((predicted == labels).sum()), len(labels))

    def real(self) -> Found:
        """What real digits score: test digits classified, training digits compared, validation near."""
        test = self.splits["test"]
        assert test.labels is not None
        near = memorised(self.nearness(self.splits["validation"].images[:]), self.closest)
        floors = {name: judge.real_baseline for name, judge in self.judges.items()}
        return Found(self.right(test.images[:], test.labels), floors, near)

    def __call__(self, images: np.ndarray, labels: np.ndarray, seconds: float | None = None) -> Found:
        near = memorised(self.nearness(images), self.closest)
        # An interval's groups are every tenth image, and every tenth digit that is asked for is of one class.
        mixed = images[choose(len(images), len(images))]
        distances = {name: judge(mixed) for name, judge in self.judges.items()}
        return Found(self.right(images, labels), distances, near, seconds)


def others(store: Store) -> dict[str, Extractor]:
    """Networks other than the classifier that is asked about classes."""
    networks = {
        MAIN: extractor(store, "classifier", seed=1),
        "rotation network": extractor(store, "rotation"),
    }
    with contextlib.suppress(InputError), TemporaryDirectory() as folder:  # an extra
        adopt_efficientnet(Path(folder))
        networks["EfficientNet"] = load_extractor(Path(folder))
    return networks


def asked(n: int) -> np.ndarray:
    """Classes in turn, as many of each."""
    return np.arange(n) % CLASSES


def seconds_for(generator: Generator, card: DataSpec) -> float:
    """How long SHEET digits take, the median of some rounds after one that warms up."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        generate.draw(generator, card, n=SHEET, seed=SAMPLE_SEED, labels=asked(SHEET))
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def drawn(
    generator: Generator, card: DataSpec, change: Mapping[str, Any], n: int
) -> tuple[np.ndarray, float]:
    """Always the same noise and classes, with some settings of sampling changed; and the seconds it took."""
    chosen = changed(copy.copy(generator), change)
    began = time.perf_counter()
    images = generate.draw(chosen, card, n=n, seed=SAMPLE_SEED, labels=asked(n))
    return images, time.perf_counter() - began


def judged(
    generator: Generator, card: DataSpec, strengths: Sequence[float], judges: Judges
) -> dict[float, Found]:
    """What is found at each strength of guidance."""
    by_strength = {}
    for strength in strengths:
        images, _ = drawn(generator, card, {"guidance_scale": strength}, judges.n)
        guided = changed(copy.copy(generator), {"guidance_scale": strength})
        by_strength[strength] = judges(images, asked(judges.n), seconds_for(guided, card))
        print(
            json.dumps({"guidance_scale": strength, "right": by_strength[strength].right.value}), flush=True
        )
    return by_strength


# The tables.


def line(name: str, result: Found, floors: Mapping[str, Estimate]) -> list[str]:
    return [
        name,
        percent(result.right),
        show(result.distances[MAIN]),
        *(f"{distance.value / floors[network].value:.2f}" for network, distance in result.distances.items()),
        percent(result.memorised),
        "" if result.seconds is None else f"{result.seconds:.2f}",
    ]


def percent(estimate: Estimate) -> str:
    """A share with its interval."""
    low, high = (100 * (end or 0.0) for end in (estimate.low, estimate.high))
    return f"{100 * estimate.value:.1f} % ({low:.1f} to {high:.1f})"


def report(
    args: argparse.Namespace, judges: Judges, generator: Generator, card: DataSpec, origin: str
) -> str:
    """Draw and judge at each strength of guidance, and real digits beside."""
    by_strength = judged(generator, card, sorted({1.0, *args.guidance}), judges)
    real = judges.real()
    config: Any = generator.config
    lines = [line(f"guidance {strength:g}", one, real.distances) for strength, one in by_strength.items()]
    lines.append(line("real digits", real, real.distances))
    floors = [f"times the baseline, {network}" for network in real.distances]
    header = [
        "",
        "correct class",
        f"Frechet distance, {MAIN}",
        *floors,
        "memorization_rate",
        f"s for {SHEET} digits",
    ]
    against = f"{judges.n} samples against {judges.n} test digits"
    of_real = (
        f"all test digits classified, {judges.n} training digits compared; memorization: validation digits"
    )
    how = f"{origin}; {config.sampler}, {config.sampler_steps} steps; {against}. Real digits: {of_real}."
    return f"{table(header, lines)}\n\n{how}"


def compared(study: Study, generator: Generator, card: DataSpec, judges: Judges) -> str:
    """The variants of a study, judged alike."""
    floors, lines = judges.real().distances, []
    for name, change in study.variants.items():
        images, seconds = drawn(generator, card, change, judges.n)
        result = judges(images, asked(judges.n))
        print(json.dumps({study.name: name, "right": result.right.value}), flush=True)
        cells = line(name, result, floors)
        cells[2], cells[-1] = f"{result.distances[MAIN].value:.3g}", f"{1000 * seconds / judges.n:.1f}"
        lines.append(cells)
    networks = [f"times the baseline, {network}" for network in floors]
    header = [
        study.name,
        "correct class",
        f"Frechet distance, {MAIN}",
        *networks,
        "memorization_rate",
        "ms per digit",
    ]
    return f"{table(header, lines)}\n\n{judges.n} samples per row, with the same noise and classes."


def run(args: argparse.Namespace) -> dict[str, str]:
    """All tables, by the place in the docs that they have."""
    store = open_store(args.store, home())
    data, version = data_version(home(), DATA, None)
    generator, card, origin = model(store, args, data, version)
    judges = Judges(store, data, args.samples)
    tables = {"digits": report(args, judges, generator, card, origin)}
    if args.study:
        studies = FAMILIES[FAMILY].studies(generator.config, card)
        tables |= {study.name: compared(study, generator, card, judges) for study in studies}
    return tables


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15, help="of training")
    parser.add_argument("--model", type=Path, help="a model folder, instead of training")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.5, 2.0], help="besides 1")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--study", action="store_true", help="samplers, steps and guidance too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--config", type=Path, default=home() / CONFIG)
    parser.add_argument("--store", default="output")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "diffusion.md")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        for place, text in run(args).items():
            print(f"\n{text}")
            if args.write:
                put(args.write, place, text)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
