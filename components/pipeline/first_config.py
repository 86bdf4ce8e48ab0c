"""Write a first config for a data set: families that suit it, and steps that fit into given minutes.

The costs of a family are measured by a few steps and samples, and so is a step of the classifiers that
judge images. Of the minutes, TRAINING is for the trainings, EVALUATION for judging them, EXTRACTOR for the
extractor, half as much for the classifier of the reference, and the rest for the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.cluster import resources
from components.common.errors import InputError
from components.common.plain_yaml import one_line
from components.common.progress import reported
from components.config.train import Train
from components.data.card import DatasetCard
from components.extractors.kinds import LEAST_STEPS, default_steps
from components.families.catalogue import ablations, card_for, conditions, config_of, encodes
from components.families.starters import Starter
from components.pipeline.ablation import evaluations
from components.pipeline.proportion import WEIGHTS
from components.training.rates import Rates, measure

TRAINING, EVALUATION, EXTRACTOR = 0.65, 0.2, 0.1  # shares of the minutes
SNAPSHOTS = 0.15  # of a training's time, at most
FAMILIES = 3  # at most
SAMPLES = (1000, 500, 250, 100)  # evaluated, as many as fit
ABLATION_SAMPLES = (250, 100, 50, 25, 0)
JOB = 1.0  # seconds of a job that samples or evaluates, besides drawing: to open the model, and the metrics
CLASSIFIER_STEPS = (400, 200, 100, 50)  # of a classifier, as many as fit
SNAPSHOT_SAMPLES = ((8, 256), (4, 256), (4, 128), (2, 64))  # snapshots, and samples evaluated of each
SMALLEST = 16  # pixels of images that are worth a first training
NOISE = 0.1  # of what a step takes, between two measurements
GRID = 60  # samples of a snapshot's picture
DIGITS = 2  # of a number of steps


@dataclass(frozen=True)
class Candidate:
    """A family that suits the data, with its measured costs."""

    starter: Starter
    rates: Rates
    # Of the sampling settings that its ablation compares, the cost of a sample in samples of the default.
    variants: Sequence[float]
    labelled: bool = False  # whether its samples have classes, and a classifier is trained on them

    @property
    def sets(self) -> int:
        """How many sets of samples are evaluated, at most."""
        return WEIGHTS[self.starter.settings.get("train", {}).get("select", "best")]


@dataclass(frozen=True)
class Training:
    """The part of a family's training that fits into its time."""

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
class Judging:
    """The settings of evaluation that decide how long it takes."""

    samples: int
    ablation_samples: int
    classifier_steps: int  # of a classifier that is trained on samples
    extractor_steps: int | None  # None: as many as Atelier takes by itself
    step: float  # seconds of a step of these networks

    def seconds(self, candidate: Candidate) -> float:
        """Return what the evaluation of a family and its ablation are expected to take."""
        variants = candidate.variants if self.ablation_samples else ()
        drawn = candidate.sets * self.samples + sum(variants) * self.ablation_samples
        trained = self.classifier_steps if candidate.labelled else 0
        jobs = 2 * candidate.sets + len(variants)
        return drawn * candidate.rates.sample + trained * self.step + jobs * JOB


@dataclass(frozen=True)
class FirstConfig:
    """The trainings and the evaluation that fit into the minutes."""

    data: DatasetCard
    minutes: float
    cores: int  # trainings side by side
    trainings: Sequence[Training]
    judging: Judging
    refused: Mapping[str, str]  # family: why it was not chosen

    @property
    def evaluation(self) -> float:
        """The seconds that the evaluations are expected to take, beside the trainings' own."""
        costs = [self.judging.seconds(training.candidate) for training in self.trainings]
        return sum(costs) / min(self.cores, len(costs))

    @property
    def extractor(self) -> float:
        """The seconds that the extractor and the classifier of the reference are expected to take."""
        labelled = any(training.candidate.labelled for training in self.trainings)
        steps = self.judging.extractor_steps or default_steps(self.data.counts["train"])
        return (steps + labelled * self.judging.classifier_steps) * self.judging.step

    @property
    def training(self) -> float:
        """The seconds that the trainings are expected to take."""
        return math.ceil(len(self.trainings) / self.cores) * max(t.seconds for t in self.trainings)


def is_too_short(training: Training) -> bool:
    """Return whether a training has too few steps for recognisable pictures."""
    return training.steps < training.candidate.starter.recognisable_steps


def too_few(config: FirstConfig) -> list[str]:
    """Return what would do for each family whose steps are too few for recognisable pictures."""
    sentences = []
    for training in config.trainings:
        least = training.candidate.starter.recognisable_steps
        if not is_too_short(training):
            continue
        longer = needed_minutes(training.candidate, len(config.trainings), config.cores, least)
        smaller = int(config.data.resolution * math.sqrt(training.steps / least)) // 8 * 8
        sentences.append(
            f"{training.candidate.starter.family}: {training.steps:,} steps are probably too few for "
            f"recognisable pictures: small digits take about {least:,}, and other pictures more; --minutes "
            f"{longer} trains as many"
            + (f", and so does data of {smaller} pixels" if smaller >= SMALLEST else "")
        )
    return sentences


def measured(starters: Sequence[Starter], data: DatasetCard, folder: Path, device: str) -> list[Candidate]:
    """Return families with their costs on this machine; `folder` has the prepared data."""
    candidates = []
    for starter in reported(starters, "measure"):
        settings = {"precision": resources.precision("auto", device), **starter.settings.get("train", {})}
        rates = measure(starter.family, starter.config, Train(**settings), folder, device)
        variants = variants_of(starter, data)
        card = card_for(starter.family, starter.config, data)
        labelled = "label" in conditions(starter.family, starter.config, card)
        candidates.append(Candidate(starter, rates, variants, labelled))
    return candidates


def variants_of(starter: Starter, data: DatasetCard) -> list[float]:
    """Return the costs of a sample with each setting that an ablation compares; 1 is that of the default."""
    settings = config_of(starter.family, starter.config)
    studies = ablations(starter.family, starter.config, data.card)
    changes = [change for each in studies for change in each.variants.values()]
    return [evaluations({**settings, **change}) / evaluations(settings) for change in changes]


def fitted(
    data: DatasetCard,
    candidates: Sequence[Candidate],
    minutes: float,
    cores: int,
    classifier: float,
    refused: Mapping[str, str] | None = None,
) -> FirstConfig:
    """Return the config of as many families as train enough steps in the minutes, the best first.

    More families than train side by side are taken only if each trains enough steps for recognisable pictures
    all the same, so more minutes never give a family too few.

    Args:
        data: the data set.
        candidates: the best first.
        minutes: for all.
        cores: how many families train side by side.
        classifier: seconds of a training step of a classifier that judges images.
        refused: families that do not suit the data, and why.

    Raises:
        InputError: no family does; it names the minutes that the fastest needs.
    """
    assert candidates, "some family suits every kind of data"
    for number in range(min(FAMILIES, len(candidates)), 0, -1):
        seconds = TRAINING * minutes * 60 / math.ceil(number / cores)
        trainings = [fitted_training(candidate, seconds) for candidate in candidates]
        enough = [
            training for training in trainings if training.steps >= training.candidate.starter.least_steps
        ]
        chosen = enough[:number]
        if len(chosen) < number or (number > cores and any(map(is_too_short, chosen))):
            continue
        others = left_out(trainings, chosen, minutes, cores)
        judging = fitted_judging(data, [t.candidate for t in chosen], minutes * 60, cores, classifier)
        return FirstConfig(data, minutes, cores, chosen, judging, {**(refused or {}), **others})
    needed, quickest = min((needed_minutes(c, 1, cores), c.rates.step) for c in candidates)
    raise InputError(
        f"--minutes {minutes:g} is too short for {data.name} on this machine: the fastest family that suits "
        f"it takes {quickest:.2g} s a step; give at least --minutes {needed}, or prepare smaller images"
    )


def left_out(
    trainings: Sequence[Training], chosen: Sequence[Training], minutes: float, cores: int
) -> dict[str, str]:
    """Return why each family that suits the data is not chosen, and what would add it; the best first."""
    reasons = {}
    number, last = len(chosen), trainings.index(chosen[-1])
    for place, training in enumerate(trainings):
        starter = training.candidate.starter
        if training in chosen:
            continue
        if place < last:  # else it would be chosen
            reasons[starter.family] = too_slow(training, number, cores)
        else:
            most = f"a first config has {FAMILIES} families at most"
            if number < FAMILIES:
                most = f"{minutes:g} minutes are too few for another family"
            reasons[starter.family] = f"{most}, and others suit the data better; {to_add(training)}"
    return reasons


def to_add(training: Training) -> str:
    """Return what adds a family to the config, and what for, if it can do what those that draw cannot."""
    starter = training.candidate.starter
    train = {"steps": max(training.steps, starter.least_steps), **starter.settings.get("train", {})}
    block = one_line({**starter.config, "train": train})
    use = "for `atelier anomaly`, " if encodes(starter.family) else ""
    return f"{use}add `{starter.family}: {block}` to its families"


def too_slow(training: Training, families: int, cores: int) -> str:
    """Return why a family is left out, and the minutes that would include it."""
    candidate = training.candidate
    return (
        f"{training.steps:,} steps would fit, and it needs {candidate.starter.least_steps:,} "
        f"(--minutes {needed_minutes(candidate, families, cores)} would include it)"
    )


def needed_minutes(candidate: Candidate, families: int, cores: int, steps: int | None = None) -> int:
    """Return the minutes of a run in which a family trains for these steps, beside others.

    Without `steps`, for as many as it needs at least. A step may take a little longer when it is measured
    again.
    """
    rounds = math.ceil(families / cores)
    seconds = (1 + NOISE) * (steps or candidate.starter.least_steps) * candidate.rates.step * rounds
    return math.ceil(seconds / TRAINING / (1 - SNAPSHOTS) / 60)


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


def fitted_judging(
    data: DatasetCard, candidates: Sequence[Candidate], seconds: float, cores: int, step: float
) -> Judging:
    """Return as much evaluation as takes its share of the seconds; `step` is that of a classifier."""
    rounds = len(candidates) / min(cores, len(candidates))
    budget = EVALUATION * seconds / rounds
    own = default_steps(data.counts["train"])
    extractor = largest((own, *(n for n in CLASSIFIER_STEPS if n < own)), EXTRACTOR * seconds / step)
    classifier = largest(CLASSIFIER_STEPS, min(EXTRACTOR * seconds, budget) / 2 / step)
    numbers, fewer = (
        sorted({min(n, data.counts["test"]) for n in each}, reverse=True)
        for each in (SAMPLES, ABLATION_SAMPLES)
    )
    choices = [
        Judging(samples, ablation, classifier, None if extractor == own else extractor, step)
        for samples in numbers
        for ablation in fewer
    ]
    fitting = (each for each in choices if all(each.seconds(c) <= budget for c in candidates))
    return next(fitting, choices[-1])


def largest(numbers: Sequence[int], most: float) -> int:
    """Return the first number that is at most `most`, or the last; they descend."""
    return next((n for n in numbers if n <= most), numbers[-1])


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
        f"#   minutes   {in_minutes(config)}",
        "#   expect    a first impression; more steps give better images",
        *(f"# {sentence}." for sentence in too_few(config)),
        *(f"# Left out: {family}: {why}." for family, why in config.refused.items()),
        "",
        "data:",
        f"  name: {one_line(data.name)}",
        "",
        "families:",
    ]
    for training in config.trainings:
        lines += family_lines(training)
    return "\n".join([*lines, "", "evaluate:", *judging_lines(config)]) + "\n"


def judging_lines(config: FirstConfig) -> list[str]:
    """Return the settings of the section `evaluate`."""
    judging, counts = config.judging, config.data.counts
    lines = [
        f"  samples: {judging.samples}  # of {counts['test']:,} test images; fewer make intervals wider",
        f"  ablation_samples: {judging.ablation_samples}  # of each compared setting of sampling; 0: none",
    ]
    if judging.extractor_steps:
        lines.append(
            f"  extractor_steps: {judging.extractor_steps}  # fewer than {default_steps(counts['train'])}, "
            "so that it fits; values compare with the same number only"
        )
    if judging.classifier_steps < LEAST_STEPS:
        lines.append(
            f"  classifier_steps: {judging.classifier_steps}  # fewer than {LEAST_STEPS}, so that it fits; "
            "accuracy scores compare with the same number only"
        )
    return lines


def in_minutes(config: FirstConfig) -> str:
    """Return what the minutes are for, in words."""
    return (
        f"{config.minutes:g}: about {config.training / 60:.1f} for the trainings, side by side, "
        f"{config.evaluation / 60:.1f} for their evaluation, {config.extractor / 60:.1f} for the networks "
        "that judge; the rest is for the start and for what cannot be foreseen"
    )


def family_lines(training: Training) -> list[str]:
    """Return the block of a family."""
    starter, rates = training.candidate.starter, training.candidate.rates
    train = {
        "steps": training.steps,
        **starter.settings.get("train", {}),
        "num_snapshots": training.snapshots,
        "snapshot_samples": training.snapshot_samples,
    }
    config = [f"    {name}: {one_line(value)}" for name, value in starter.config.items()]
    minutes = training.seconds / 60
    return [
        f"  {starter.family}:  # {starter.because}",
        *config,
        f"    # {minutes:.1f} minutes: {rates.step:.2g} s a step, {rates.sample:.2g} s a sample",
        f"    train: {one_line(train)}",
    ]
