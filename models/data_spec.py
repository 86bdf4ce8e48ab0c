"""The properties of the data that networks depend on. Needs no PyTorch, so that plans can be made without."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SourceShape:
    """The shape of a source image."""

    channels: int
    resolution: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C', H', W') of one source."""
        return self.channels, self.resolution, self.resolution


@dataclass(frozen=True)
class DataSpec:
    """The properties of the data that networks depend on: shapes of images and sources, classes, captions."""

    channels: int
    resolution: int
    num_classes: int = 0  # 0: unlabelled
    text: int = 0  # dimensions of a caption token; 0: no captions, or none encoded
    source: SourceShape | None = None  # None: the data has no sources, or the family takes none

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.channels, self.resolution, self.resolution

    def source_of_same_size(self) -> SourceShape:
        """Returns the shape of a source; raises ValueError if it has another size than an image."""
        assert self.source is not None
        if self.source.resolution != self.resolution:
            raise ValueError(
                f"sources have {self.source.resolution} pixels a side and images {self.resolution}; "
                "they must agree"
            )
        return self.source

    def check_same_colours(self, advice: str = "prepare both in colour, or both in grey") -> None:
        """Raise ValueError, with some advice, if sources are grey and images in colour, or the reverse."""
        assert self.source is not None
        if self.source.channels != self.channels:
            a, b = ("grey" if n == 1 else "in colour" for n in (self.source.channels, self.channels))
            raise ValueError(f"sources are {a} and images {b}; {advice}")

    def reversed(self) -> DataSpec:
        """Returns the shapes of the way back, from images to sources; without classes and captions."""
        assert self.source is not None
        return DataSpec(
            self.source.channels, self.source.resolution, source=SourceShape(self.channels, self.resolution)
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, without a source where there is none."""
        values = dataclasses.asdict(self)
        return values if self.source else {key: v for key, v in values.items() if key != "source"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """Returns the card that `to_json` wrote."""
        source = values.get("source")
        return cls(**{**values, "source": SourceShape(**source) if source else None})
