"""Records that a person exports from a page: votes of blind comparisons and starred samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.records.base import Record

KIND = "atelier review"

Name = Field(min_length=1, max_length=200)


class Side(Record):
    """The maker of one side of a comparison, which the page hid."""

    run: str = Name
    family: str = Name
    step: int | None = None


class Vote(Record):
    """A choice between two samples at the same position."""

    left: Side
    right: Side
    choice: Literal["left", "right", "tie"]
    sample: int | None = None  # the first position shown
    images: int | None = None  # on each side
    when: str = ""


class Star(Record):
    """A sample that the reviewer marked."""

    run: str = Name
    family: str = Name
    step: int
    sample: int


class Review(Record):
    """The exported file."""

    kind: Literal["atelier review"]  # KIND
    reviewer: str = Field(default="", max_length=200)
    exported: str = ""
    votes: list[Vote] = []
    stars: list[Star] = []

    @property
    def runs(self) -> list[str]:
        """The runs that votes and stars are about."""
        sides = [side.run for vote in self.votes for side in (vote.left, vote.right)]
        return list(dict.fromkeys([*sides, *(star.run for star in self.stars)]))
