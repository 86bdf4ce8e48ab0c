"""Differences between two runs: their settings, data and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.evaluation.comparability import difference
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult, RunManifest, flat
from components.report.baselines import unlike_real
from components.report.leaderboard import metric_names
from components.report.metric_labels import measure

MISSING = "-"
SAME = "the same result"


@dataclass(frozen=True)
class Row:
    """A setting or a metric of two runs; `why_not` is the reason if two values of a metric do not compare."""

    name: str
    first: Any
    second: Any
    why_not: str = ""


def changed_settings(first: RunManifest, second: RunManifest) -> list[Row]:
    """Return the settings in which two runs differ, and the version of the data and of the code.

    A family that one run does not have is one row, without its settings.
    """
    a, b = (dict(flat(run.lineage.config)) | origin(run) for run in (first, second))
    alone = {f"families.{name}" for name in first.lineage.families.keys() ^ second.lineage.families.keys()}
    names = {name for name in {**a, **b} if a.get(name, MISSING) != b.get(name, MISSING)}
    names = {name for name in names if ".".join(name.split(".")[:2]) not in alone}
    rows = [Row(name, a.get(name, MISSING), b.get(name, MISSING)) for name in names]
    for name in alone:
        has = name.partition(".")[2] in first.lineage.families
        rows.append(Row(name, *(("only here", MISSING) if has else (MISSING, "only here"))))
    return sorted(rows, key=lambda row: row.name)


def origin(run: RunManifest) -> dict[str, str | bool]:
    """Return what a run was made from, besides its settings."""
    commit = (run.lineage.commit or MISSING)[:10] + ("+changes" if run.lineage.dirty else "")
    return {
        "version of the data": (run.lineage.data.version or MISSING)[:10],
        "commit": commit,
        "smoke": run.smoke,
    }


@dataclass(frozen=True)
class MetricRow(Row):
    """A metric of a family of two runs, with the note on either value if it is doubtful."""

    note: str = ""
    family: str = ""
    metric: str = ""

    @property
    def label(self) -> str:
        """The family and the measure as they are called on a page."""
        return f"{self.family} {measure(self.metric).label}"

    def shown(self, value: float) -> str:
        """Return a value of the metric as a page shows it."""
        return measure(self.metric).show(value)


@dataclass(frozen=True)
class Unlike:
    """A family of a run whose samples are not near real images, and why."""

    run_id: str
    family: str
    why: str


def compared_metrics(first: RunManifest, second: RunManifest) -> Iterator[MetricRow]:
    """Yield the metrics of families that both runs have, those of a family by rank.

    Each says why two values do not compare.
    """
    for a, b in _families(first, second):
        for name in metric_names([a.metrics, b.metrics]):
            ours, others = a.metrics.get(name), b.metrics.get(name)
            if ours and others:
                why = SAME if a == b else why_not(ours, others)
                note, title = ours.note or others.note or "", f"{a.family} {name}"
                yield MetricRow(title, ours.value, others.value, why, note, a.family, name)


def same_results(first: RunManifest, second: RunManifest) -> list[str]:
    """Return the families of which both runs have the very same result, which was computed once."""
    return [a.family for a, b in _families(first, second) if a == b]


def unlike_real_images(first: RunManifest, second: RunManifest) -> Iterator[Unlike]:
    """Yield which of the families that both runs have are not near real images."""
    for pair in _families(first, second):
        for run, result in zip((first, second), pair, strict=True):
            if why := unlike_real(result):
                yield Unlike(run.run_id, result.family, why)


def _families(first: RunManifest, second: RunManifest) -> Iterator[tuple[FamilyResult, FamilyResult]]:
    others = {result.family: result for result in second.results}
    return ((result, others[result.family]) for result in first.results if result.family in others)


def why_not(a: MetricResult, b: MetricResult) -> str:
    """Return why two values of a metric may not be compared, or whether their intervals overlap."""
    if reason := difference(a, b):
        return f"not comparable: {reason}"
    if None in (a.low, a.high, b.low, b.high):
        return ""
    apart = float(a.high or 0) < float(b.low or 0) or float(b.high or 0) < float(a.low or 0)
    return "" if apart else "intervals overlap"
