"""What the terminal of `atelier schedule` says of a date."""

from __future__ import annotations

from datetime import UTC, datetime

from components.records.evaluation import MetricResult
from components.records.run import FamilyResult, RunManifest
from components.records.scheduled import FAILED, RAN, SKIPPED, UNCHANGED, ScheduledRun
from flows.dates import line

NEXT = datetime(2026, 12, 1, 0, 3, tzinfo=UTC)


def entry(outcome: str, reason: str = "") -> ScheduledRun:
    return ScheduledRun(
        schedule="nightly", outcome=outcome, reason=reason, due="2026-12-01T00:00:00+00:00", run_id="r1"
    )


def run() -> RunManifest:
    results = [
        FamilyResult(family="dcgan", metrics={"kid": MetricResult(value=0.0132, n=35)}),
        FamilyResult(family="vae"),
    ]
    return RunManifest(run_id="r1", results=results, report="runs/r1/report/index.html")


def test_a_date_without_news_is_a_line_with_the_next_date() -> None:
    assert line(entry(UNCHANGED, "nothing is new"), run(), NEXT) == "00:00 UTC unchanged; next 00:03"
    tomorrow = NEXT.replace(day=2)
    assert line(entry(UNCHANGED), None, tomorrow) == "00:00 UTC unchanged; next 2026-12-02 00:03"


def test_a_run_ends_with_its_results_and_its_page() -> None:
    assert line(entry(RAN, "run r1 is done; stages computed: 9"), run(), NEXT, "output") == (
        "00:00 UTC ran: run r1 is done; stages computed: 9; dcgan KID 0.0132; vae done; "
        "page: output/runs/r1/report/index.html; next 00:03"
    )


def test_a_date_that_failed_or_was_skipped_says_why() -> None:
    assert line(entry(FAILED, "the disk is full")) == "00:00 UTC failed: the disk is full"
    assert line(entry(SKIPPED, "it is late"), None, NEXT) == "00:00 UTC skipped: it is late; next 00:03"
