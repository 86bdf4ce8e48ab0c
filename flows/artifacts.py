"""Markdown for Prefect's pages: the verdicts and the timeline of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.records.gate import Judgement
from components.records.run import StageEntry


def verdicts(judgements: Iterable[Judgement]) -> str:
    """Return a table of families with their verdicts and every reason against them."""
    rows = [
        (j.model.family, f"**{j.word}**", j.against or "no champion yet", "; ".join(j.failed) or "none")
        for j in judgements
    ]
    return table(("family", "verdict", "compared with", "reasons against"), rows)


def timeline(stages: Iterable[StageEntry]) -> str:
    """Return a table of the stages that have ended, by their start: when each began and how long it took."""
    ended = sorted((s for s in stages if s.offset is not None), key=lambda s: s.offset or 0)
    rows = [
        (f"{s.name} {s.family or ''}".strip(), s.state, f"{s.offset or 0:.1f}", f"{s.seconds or 0:.1f}")
        for s in ended
    ]
    return table(("stage", "state", "began after, s", "took, s"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table; bars, line ends and angle brackets in cells are text."""
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").replace("<", "&lt;").split())
