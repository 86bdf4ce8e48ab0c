"""What judging jobs are told: plain values, in a module that imports next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.store import Store


@dataclass(frozen=True)
class EvaluationPaths:
    """Where things lie: folders in the store, but for the store itself."""

    store: str  # URL
    data: str
    extractor: str
    parts: str
    reference: str = ""
    threads: int = 1
    captions: str = ""  # encoded

    def open(self) -> Store:
        """The store."""
        return Store(self.store)


@dataclass(frozen=True)
class SampleRequest:
    """A sampling job: images [start, start + n) of the stream of this seed, looked at as they are drawn."""

    places: EvaluationPaths
    model: str  # folder in the store
    n: int
    seed: int
    start: int = 0
    device: str = "cpu"
    split: str = "test"
    lpips: str | None = None  # file with LPIPS's trunk
    baseline: bool = False  # whether what the task's baseline makes of the same conditions is looked at too


@dataclass(frozen=True)
class EvaluateRequest:
    """A judging job on the parts that `draw` left."""

    places: EvaluationPaths
    train: str  # folder of the training attempt
    family: str
    out: str  # folder of the judging attempt
    published: bool = True  # these are the weights to be given out, whose samples have neighbours


@dataclass(frozen=True)
class Variant:
    """A job of a study: draw the first `n` images of a seed with some settings changed, and judge them."""

    places: EvaluationPaths
    model: str  # folder in the store
    n: int
    seed: int
    name: str  # of what it leaves: <parts>/<name>.json, and the first images as <out>/<name>.webp
    out: str  # folder of the study's attempt
    change: Mapping[str, Any]
    real_baselines: Mapping[str, float]  # of n images
    device: str = "cpu"


@dataclass(frozen=True)
class Use:
    """A job on what codes are good for: one view of a model."""

    places: EvaluationPaths
    model: str  # folder in the store
    view: str  # its name, of what is left too: <parts>/<view>.json, and pictures in <out>
    seed: int
    out: str  # folder of the stage's attempt
    detectors: Mapping[str, str]  # folders of models in the store, by the class that they have not seen
    device: str = "cpu"
