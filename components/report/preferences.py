"""Win rates of blind comparisons, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.common.hashing import canonical
from components.records.review import Review, Side, Vote

Z = 1.959964  # 97.5 % of the normal distribution


@dataclass(frozen=True)
class Preference:
    """The votes of people between two models; `share` counts a tie as half a win."""

    preferred: str
    other: str
    wins: int
    ties: int
    votes: int
    reviews: int
    share: float
    low: float
    high: float

    @property
    def rate(self) -> str:
        """The win rate in percent."""
        return f"{self.share * 100:.0f}\u00a0%"

    @property
    def interval(self) -> str:
        """The 95 % interval of the win rate in percent."""
        return f"{self.low * 100:.0f} to {self.high * 100:.0f}\u00a0%"


@dataclass
class _Pair:
    points: dict[str, float] = field(default_factory=dict)  # by model; a tie is half a point for each
    wins: dict[str, int] = field(default_factory=dict)
    votes: int = 0
    ties: int = 0
    reviewers: set[str] = field(default_factory=set)


def win_rate(points: float, votes: int) -> tuple[float, float, float]:
    """Return the share of points among votes and its 95 % interval, Wilson's (1927).

    The interval takes every vote as independent.
    """
    share, spread = points / votes, Z * Z / votes
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / votes + spread / (4 * votes))
    return share, max(0.0, middle - half), min(1.0, middle + half)


def preferences(reviews: Sequence[Review], run_id: str | None = None) -> list[Preference]:
    """Return the win rate of each pair that votes compared, most votes first.

    A vote that several exports contain counts once. Models of the run `run_id` are named by their family,
    others by run/family.
    """
    pairs: dict[tuple[str, str], _Pair] = {}
    for vote, reviewer in _distinct(reviews):
        sides = {"left": _name(vote.left, run_id), "right": _name(vote.right, run_id)}
        first, second = sorted(sides.values())
        if first == second:
            continue
        pair = pairs.setdefault((first, second), _Pair())
        pair.votes += 1
        pair.reviewers.add(reviewer)
        if vote.choice == "tie":
            pair.ties += 1
        for side, name in sides.items():
            won = side == vote.choice
            pair.wins[name] = pair.wins.get(name, 0) + won
            pair.points[name] = pair.points.get(name, 0.0) + (0.5 if vote.choice == "tie" else float(won))
    rates = [_preference(pair) for pair in pairs.values()]
    return sorted(rates, key=lambda rate: (-rate.votes, rate.preferred, rate.other))


def _distinct(reviews: Sequence[Review]) -> list[tuple[Vote, str]]:
    """Return votes with their reviewers, each vote once; exports without a name are of different people."""
    votes: dict[str, tuple[Vote, str]] = {}
    for number, review in enumerate(reviews):
        for vote in review.votes:
            votes.setdefault(canonical(vote.to_json()), (vote, review.reviewer or f"#{number}"))
    return list(votes.values())


def _name(side: Side, run_id: str | None) -> str:
    return side.family if side.run == run_id else f"{side.run}/{side.family}"


def _preference(pair: _Pair) -> Preference:
    preferred, other = sorted(pair.points, key=lambda name: (-pair.points[name], name))
    share, low, high = win_rate(pair.points[preferred], pair.votes)
    wins = pair.wins[preferred]
    return Preference(preferred, other, wins, pair.ties, pair.votes, len(pair.reviewers), share, low, high)
