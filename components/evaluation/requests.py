"""The requests for evaluation jobs, as plain values; imports neither numpy nor torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.records.extractor import ExpectedExtractor
from components.store import Store


@dataclass(frozen=True)
class EvaluationPaths:
    """Paths of the inputs and intermediate results of an evaluation: folders in the store."""

    store: Store  # with the fence of the stage
    data: str
    extractor: str
    parts: str
    reference: str = ""
    threads: int = 1
    captions: str = ""  # encoded
    expected: ExpectedExtractor | None = None  # that the extractor must be; None: any but a custom one


@dataclass(frozen=True)
class SampleRequest:
    """A job that samples images [start, start + n) of the stream of a seed and extracts their features."""

    places: EvaluationPaths
    model: str  # folder in the store
    n: int
    seed: int
    start: int = 0
    device: str = "cpu"
    split: str = "test"
    lpips: str | None = None  # file of the LPIPS trunk
    baselines: bool = False  # whether to evaluate the task's baselines too


@dataclass(frozen=True)
class EvaluateRequest:
    """A job that evaluates the stored samples of a family."""

    places: EvaluationPaths
    train: str  # folder of the training attempt
    family: str
    out: str  # folder of the evaluation attempt
    published: bool = True  # whether these are the selected weights, whose samples are published


@dataclass(frozen=True)
class Variant:
    """A job that samples the first `n` images of a seed with changed settings and evaluates them."""

    places: EvaluationPaths
    model: str  # folder in the store
    n: int
    seed: int
    name: str  # of its results: <parts>/<name>.json and the first images, <out>/<name>.webp
    out: str  # folder of the ablation's attempt
    change: Mapping[str, Any]
    real_baselines: Mapping[str, float]  # of n images
    device: str = "cpu"


@dataclass(frozen=True)
class AnalysisRequest:
    """A job that computes one view of a latent space analysis."""

    places: EvaluationPaths
    model: str  # folder in the store
    view: str  # its name, also of its results: <parts>/<view>.json and pictures in <out>
    seed: int
    out: str  # folder of the stage's attempt
    detectors: Mapping[str, str]  # folders of leave-one-class-out models in the store, by excluded class
    training: int  # images that are used, at most
    device: str = "cpu"


@dataclass(frozen=True)
class ReproduceRequest:
    """A job that draws the published samples of an exported model again."""

    store: Store
    model: str  # folder in the store
    device: str = "cpu"
