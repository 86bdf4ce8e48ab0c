"""Write a first config for a data set: families that suit it, and steps that fit into given minutes.

The costs of a family are measured by a few steps and samples. Of the minutes, TRAINING is for the trainings,
EVALUATION for judging them, and the rest for the start, the extractor and the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.cluster import resources
from components.common.errors import InputError
from components.common.progress import reported
from components.config.train import Train
from components.data.card import DatasetCard
from components.families.catalogue import ablations
from components.families.starters import Starter
from components.training.rates import Rates, measure

TRAINING, EVALUATION = 0.65, 0.2  # shares of the minutes
SNAPSHOTS = 0.15  # of a training's time, at most
FAMILIES = 3  # at most
FEWEST_STEPS = 300  # of a training that may show something
SAMPLES = (1000, 500, 250, 100)  # evaluated, as many as fit
ABLATION_SAMPLES = (250, 100, 50, 25, 0)
SNAPSHOT_SAMPLES = ((8, 256), (4, 256), (4, 128), (2, 64))  # snapshots, and samples evaluated of each
SMALLEST = 16  # pixels of images that are worth a first training
GRID = 60  # samples of a snapshot's picture
DIGITS = 2  # of a number of steps


@dataclass(frozen=True)
class Candidate:
    """A family that suits the data, with its measured costs."""

    starter: Starter
    rates: Rates
    variants: int  # of sampling settings that its ablation compares


@dataclass(frozen=True)
class Training:
    """What of a family fits into its time."""

    candidate: Candidate
    steps: int
    snapshots: int
    snapshot_samples: int

    @property
    def seconds(self) -> float:
        """What the training is expected to take."""
        drawn = (self.snapshots + 1) * (self.snapshot_samples + GRID)
        return self.steps * self.candidate.rates.step + drawn * self.candidate.rates.sample


@dataclass(frozen=True)
class FirstConfig:
    """The trainings and the evaluation that fit into the minutes."""

    data: DatasetCard
    minutes: float
    cores: int  # trainings side by side
    trainings: Sequence[Training]
    samples: int
    ablation_samples: int
    refused: Mapping[str, str]  # family: why it was not chosen

    @property
    def evaluation(self) -> float:
        """The seconds that the evaluations are expected to take, beside the trainings' own."""
        costs = [
            cost_of_evaluation(training.candidate, self.samples, self.ablation_samples)
            for training in self.trainings
        ]
        return sum(costs) / min(self.cores, len(costs))

    @property
    def training(self) -> float:
        """The seconds that the trainings are expected to take."""
        return math.ceil(len(self.trainings) / self.cores) * max(t.seconds for t in self.trainings)


def too_few(config: FirstConfig) -> list[str]:
    """Return what would do for each family whose steps are too few for recognisable pictures."""
    sentences = []
    for training in config.trainings:
        least = training.candidate.starter.recognisable_steps
        if training.steps >= least:
            continue
        longer = needed_minutes(training.candidate, len(config.trainings), config.cores, least)
        smaller = int(config.data.resolution * math.sqrt(training.steps / least)) // 8 * 8
        sentences.append(
            f"{training.candidate.starter.family}: {training.steps:,} steps are probably too few for "
            f"recognisable pictures, which begin at about {least:,}; --minutes {longer} would do"
            + (f", or data of {smaller} pixels (--resolution {smaller})" if smaller >= SMALLEST else "")
        )
    return sentences


def measured(starters: Sequence[Starter], data: DatasetCard, folder: Path, device: str) -> list[Candidate]:
    """Return families with their costs on this machine; `folder` has the prepared data."""
    candidates = []
    for starter in reported(starters, "measure"):
        settings = {"precision": resources.precision("auto", device), **starter.settings.get("train", {})}
        rates = measure(starter.family, starter.config, Train(**settings), folder, device)
        variants = sum(len(each.variants) for each in ablations(starter.family, starter.config, data.card))
        candidates.append(Candidate(starter, rates, variants))
    return candidates


def fitted(
    data: DatasetCard,
    candidates: Sequence[Candidate],
    minutes: float,
    cores: int,
    refused: Mapping[str, str] | None = None,
) -> FirstConfig:
    """Return the config of the first families that train enough steps in the minutes.

    Args:
        data: the data set.
        candidates: the best first.
        minutes: for all.
        cores: how many families train side by side.
        refused: families that do not suit the data, and why.

    Raises:
        InputError: no family does; it names the minutes that the fastest needs.
    """
    assert candidates, "some family suits every kind of data"
    slow = dict(refused or {})
    chosen = list(candidates[:FAMILIES])
    while chosen:
        each = TRAINING * minutes * 60 / math.ceil(len(chosen) / cores)
        trainings = [fitted_training(candidate, each) for candidate in chosen]
        late = [t for t in trainings if t.steps < FEWEST_STEPS]
        if not late:
            budget = EVALUATION * minutes * 60 * min(cores, len(chosen)) / len(chosen)
            samples, ablation_samples = fitted_evaluation(data, chosen, budget)
            return FirstConfig(data, minutes, cores, trainings, samples, ablation_samples, slow)
        slowest = max(late, key=lambda training: training.candidate.rates.step).candidate
        shortest = needed_minutes(slowest, len(chosen), cores)
        slow[slowest.starter.family] = (
            f"its {each / 60:.1f} minutes allow {each / slowest.rates.step:.0f} steps, it needs "
            f"{FEWEST_STEPS} (--minutes {shortest} would include it)"
        )
        chosen = [candidate for candidate in candidates if candidate.starter.family not in slow][:FAMILIES]
    quickest = min(candidates, key=lambda candidate: candidate.rates.step)
    fastest, needed = quickest.rates.step, needed_minutes(quickest, 1, cores)
    raise InputError(
        f"--minutes {minutes:g} is too short for {data.name} on this machine: the fastest family that suits "
        f"it takes {fastest:.2g} s a step; give at least --minutes {needed}, or prepare smaller images"
    )


def needed_minutes(candidate: Candidate, families: int, cores: int, steps: int = FEWEST_STEPS) -> int:
    """Return the minutes of a run in which a family trains for these steps, beside others."""
    rounds = math.ceil(families / cores)
    return math.ceil(steps * candidate.rates.step * rounds / TRAINING / (1 - SNAPSHOTS) / 60)


def fitted_training(candidate: Candidate, seconds: float) -> Training:
    """Return the steps and snapshots that fit into the seconds."""
    rates = candidate.rates
    for snapshots, samples in SNAPSHOT_SAMPLES:
        if (snapshots + 1) * (samples + GRID) * rates.sample <= SNAPSHOTS * seconds:
            break
    drawing = (snapshots + 1) * (samples + GRID) * rates.sample
    return Training(candidate, rounded(max(0.0, seconds - drawing) / rates.step), snapshots, samples)


def rounded(steps: float) -> int:
    """Return a number of steps, rounded down to two digits."""
    whole = int(steps)
    unit = 10 ** max(0, len(str(whole)) - DIGITS)
    return whole // unit * unit


def fitted_evaluation(data: DatasetCard, candidates: Sequence[Candidate], budget: float) -> tuple[int, int]:
    """Return the samples to evaluate, and those of an ablation's variant, whose cost is within the budget."""
    numbers, fewer = (
        sorted({min(n, data.counts["test"]) for n in most}, reverse=True)
        for most in (SAMPLES, ABLATION_SAMPLES)
    )
    fitting = (
        (samples, ablation)
        for samples in numbers
        for ablation in fewer
        if all(cost_of_evaluation(c, samples, ablation) <= budget for c in candidates)
    )
    return next(fitting, (numbers[-1], 0))


def cost_of_evaluation(candidate: Candidate, samples: int, ablation_samples: int) -> float:
    """Return the seconds of drawing the samples of an evaluation and of an ablation.

    If the best weights are selected, those and the last are evaluated.
    """
    train = candidate.starter.settings.get("train", {})
    sets = 1 if train.get("select") == "last" else 2
    return (sets * samples + candidate.variants * ablation_samples) * candidate.rates.sample


def machine_of(device: str) -> str:
    """Return this machine in a few words."""
    if device == "cuda":
        return f"{resources.gpus()} GPU"
    return f"{resources.cores()} CPU cores of this machine, no GPU"


def written(config: FirstConfig, machine: str, command: str, file: str) -> str:
    """Return the config as commented YAML, which says where its numbers come from."""
    data = config.data
    classes = f"{data.num_classes} classes" if data.labels else "no classes"
    colours = "grey" if data.channels == 1 else "colour"
    lines = [
        f"# A first config for {data.name}: {data.counts['train']:,} training images of {data.resolution} "
        f"pixels in {colours}, {classes}.",
        f"#   written   by `{command}`, which measured steps and samples of each family here",
        f"#   command   atelier run {file}",
        f"#   hardware  {machine}",
        f"#   minutes   {config.minutes:g}: about {config.training / 60:.1f} of training and "
        f"{config.evaluation / 60:.1f} of evaluation; the rest is for the start, the extractor and reference",
        "#   expect    a first impression; more steps give better images",
        *(f"# {sentence}." for sentence in too_few(config)),
        *(f"# Left out: {family}: {why}." for family, why in config.refused.items()),
        "",
        "data:",
        f"  name: {yaml.safe_dump(data.name).splitlines()[0]}",
        "",
        "families:",
    ]
    for training in config.trainings:
        lines += family_lines(training)
    lines += [
        "",
        "evaluate:",
        f"  samples: {config.samples}  # of {data.counts['test']:,} test images; fewer make intervals wider",
        f"  ablation_samples: {config.ablation_samples}  # of each compared setting of sampling; 0: none",
    ]
    return "\n".join(lines) + "\n"


def family_lines(training: Training) -> list[str]:
    """Return the block of a family."""
    starter, rates = training.candidate.starter, training.candidate.rates
    train = {
        "steps": training.steps,
        **starter.settings.get("train", {}),
        "num_snapshots": training.snapshots,
        "snapshot_samples": training.snapshot_samples,
    }
    config = [f"    {name}: {_flow(value)}" for name, value in starter.config.items()]
    minutes = training.seconds / 60
    return [
        f"  {starter.family}:  # {starter.because}",
        *config,
        f"    # {minutes:.1f} minutes: {rates.step:.2g} s a step, {rates.sample:.2g} s a sample",
        f"    train: {_flow(train)}",
    ]


def _flow(value: object) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).splitlines()[0]
