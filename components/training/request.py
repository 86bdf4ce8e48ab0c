"""A training job, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.config.train import Train
from components.training import checkpoint


@dataclass(frozen=True)
class TrainRequest:
    """A training job; JSON all through."""

    family: str
    config: Mapping[str, Any]  # the family's own
    train: Mapping[str, Any]
    data: str  # folder of the prepared data, in the store
    attempt: str  # folder of the attempt, in the store
    store: str  # URL
    reference: str = ""  # folders in the store, with which snapshots are judged
    extractor: str = ""
    captions: str = ""  # folder of the encoded captions, for families that are told them
    device: str = "cpu"
    flips: bool = False
    upstream: dict[str, str] = field(default_factory=dict)  # folders of the models it builds on, in the store
    latents: str = ""  # folder of the kept encodings of the images, in the store
    without: int | None = None  # a class that it is not to see
    stop_at: int | None = None  # a step with a checkpoint at which to stop for now, without a result
    checkpoints: int = checkpoint.KEEP  # that are kept on the way

    @property
    def settings(self) -> Train:
        """The training settings, typed."""
        return Train(**self.train)
