"""Add the result of a stage to the record of its run, and show it."""

from __future__ import annotations

from collections.abc import Callable

from components.pipeline.compare import family_result
from components.records.run import Comparison
from components.records.stages import GateResult
from components.stages.cache import Done, read
from flows.run import Run


def record_result(run: Run, done: Done) -> None:
    """Add the result of a stage that is done to the record; results that are computed now update the page."""
    if record := RECORDED.get(done.stage):
        record(run, done)


def _evaluation(run: Run, done: Done) -> None:
    run.record.result(family_result(run.store, run.results[f"train/{done.family}"], done))
    if done.state == "ran":
        run.show()


def _comparison(run: Run, done: Done) -> None:
    comparison = Comparison.read(read(run.store, done))
    assert comparison
    run.record.update(results=comparison.results, table=comparison.table)


def _verdicts(run: Run, done: Done) -> None:
    result = GateResult.read(read(run.store, done))
    assert result
    run.record.update(gate=result.judgements)


def _page(run: Run, done: Done) -> None:
    run.record.update(report=read(run.store, done)["page"])


def _published(run: Run, done: Done) -> None:
    run.record.update(published=read(run.store, done)["published"])


RECORDED: dict[str, Callable[[Run, Done], None]] = {
    "evaluate": _evaluation,
    "compare": _comparison,
    "gate": _verdicts,
    "report": _page,
    "publish": _published,
}
