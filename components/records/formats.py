"""formats.json of a published model: the formats besides its weights that other programs run it from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.records.base import Number, Record


class GraphInput(Record):
    """An input of a graph; axis 0 is the batch, unless it has no axes.

    Attributes:
        shape: of one example, without the batch; None: an axis of any length.
        dtype: float32, int64 or bool.
        drawn: the distribution that it is drawn from, `normal` or `uniform`; None: it is given.
    """

    shape: list[int | None] = []
    dtype: str = "float32"
    drawn: str | None = None


class GraphFormat(Record):
    """A model in one format, as it was tried before publication.

    Attributes:
        format: its name.
        files: by the name of the graph; empty: it is not published.
        difference: mean difference from its published samples, in levels of 255.
        largest: the largest.
        error: why it is not published.
    """

    format: str
    files: Mapping[str, str] = {}
    difference: Number = None
    largest: Number = None
    error: str | None = None


class GraphFormats(Record):
    """formats.json.

    Attributes:
        inputs: of each graph, by name and in order.
        levels: time, alpha and sigma of the noise levels between which a model samples step by step, falling;
            empty: its graph draws samples in one call.
        num_classes: of a model that is given labels; 0: it is not.
        formats: what was tried.
    """

    inputs: Mapping[str, Mapping[str, GraphInput]] = {}
    levels: list[list[float]] = []
    num_classes: int = 0
    formats: list[GraphFormat] = []

    @property
    def published(self) -> list[GraphFormat]:
        """The formats that draw the published samples."""
        return [each for each in self.formats if each.files]

    @classmethod
    def of(cls, content: Any) -> GraphFormats:
        """Return the record in a file's JSON; see `Record.read`."""
        return cls.read(content) or cls()
