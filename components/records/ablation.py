"""The result of the stage `ablation`: a family's samples and metrics with other settings of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.records.analysis import PictureFile, Sheet
from components.records.base import Number, Record, StageResult
from components.records.evaluation import Metrics


class VariantResult(Record):
    """The evaluation of one variant."""

    metrics: Metrics = {}
    seconds_per_image: Number = None
    sheet: PictureFile | None = None  # of its first images


class Variant(VariantResult):
    """A variant of an ablation, with the settings of sampling that it changes."""

    name: str
    change: Mapping[str, Any] = {}


class Ablation(Record):
    """A comparison of settings of sampling."""

    name: str
    title: str
    variants: list[Variant] = []


class Ablations(Record):
    """All comparisons of a family, from `n` images of each variant, and its trajectories by direction."""

    n: int | None = None
    studies: list[Ablation] = []
    ways: dict[str, Sheet] = {}


class AblationResult(StageResult):
    """The result of the stage `ablation`."""

    studied: Ablations
