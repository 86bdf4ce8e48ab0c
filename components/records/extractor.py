"""An extractor's config.json, and how other records name an extractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from components.records.base import Number, Record


class ExtractorConfig(Record):
    """config.json of an extractor."""

    name: str
    hash: str  # of the name, the weights, the preparation and the recipe
    weights_sha256: str
    preparation: str
    recipe: Mapping[str, Any] | None = None  # the architecture and the images it accepts
    steps: int | None = None  # of those trained on the data, like all that follows
    seed: int | None = None
    threads: int | None = None
    accuracy: Number = None
    seconds: Number = None


class ExtractorIdentity(Record):
    """An extractor, as the recipe of a metric names it."""

    name: str
    hash: str
    dim: int
    resize: int | None = None  # side in pixels of prepared images
    range: str | None = None  # of prepared pixels
    preparation: str | None = None


class Pin(Record):
    """The extractor that evaluates a data set until the next number."""

    number: int
    key: str  # of the stage `extractor`
    hash: str
    data: str | None = None  # the version that it was trained on
    run_id: str | None = None
    reason: str | None = None
    pinned: str | None = None  # when, in UTC


class ExpectedExtractor(NamedTuple):
    """The extractor that a plan or a pin names. What a store says of its extractor is compared with it."""

    name: str
    hash: str | None = None  # None: of any weights, for an extractor that is not pinned yet
