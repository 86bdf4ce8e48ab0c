"""The requests for jobs: to train, and to encode images once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.config.train import Train
from components.records.extractor import ExpectedExtractor
from components.store import Store

KEEP = 2  # checkpoints; the newest may be unreadable after a crash of the machine


@dataclass(frozen=True)
class TrainRequest:
    """A training job."""

    family: str
    config: Mapping[str, Any]  # of the family
    train: Mapping[str, Any]
    data: str  # folder of the prepared data, in the store
    attempt: str  # folder of the attempt, in the store
    store: Store  # with the fence of the stage
    reference: str = ""  # folders in the store for evaluating snapshots
    extractor: str = ""
    expected: ExpectedExtractor | None = None  # that the extractor must be; None: any but a custom one
    captions: str = ""  # folder of the encoded captions, for text-conditional families
    device: str = "cpu"
    flips: bool = False
    upstream: dict[str, str] = field(default_factory=dict)  # folders of the models it builds on, in the store
    latents: str = ""  # folder of the cached latents of the images, in the store
    without: int | None = None  # class to leave out of the training images
    stop_at: int | None = None  # step with a checkpoint at which to interrupt the training
    checkpoints: int = KEEP  # newest checkpoints to keep

    @property
    def judged_by(self) -> tuple[Store, str, str, ExpectedExtractor | None]:
        """The store, the folders of the reference and the extractor, and which extractor it must be."""
        return self.store, self.reference, self.extractor, self.expected

    @property
    def settings(self) -> Train:
        """The validated training settings."""
        return Train(**self.train)


@dataclass(frozen=True)
class EncodeRequest:
    """An encoding job: images [start, start + n) of a split."""

    store: Store
    data: str  # folders in the store
    model: str
    out: str
    split: str
    number: int  # of the output file
    start: int
    n: int
    threads: int = 1
    device: str = "cpu"
