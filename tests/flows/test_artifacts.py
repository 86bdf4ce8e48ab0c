"""Markdown for Prefect's pages."""

from __future__ import annotations

from components.records.gate import Judgement, ModelReference, Reason, Verdict
from components.records.run import StageEntry
from flows import artifacts


def test_a_cell_is_text() -> None:
    made = artifacts.table(("a", "b"), [("x|y\nz", "<script>")])
    assert made == "| a | b |\n| --- | --- |\n| x\\|y z | &lt;script> |"


def test_the_timeline_has_what_ended_in_the_order_of_beginning() -> None:
    stages = [
        StageEntry(name="evaluate", family="vae", state="ran", offset=61.25, seconds=3.0),
        StageEntry(name="prepare", state="cached", offset=0.5, seconds=0.0),
        StageEntry(name="report", state="waiting"),
    ]
    lines = artifacts.timeline(stages).splitlines()[2:]
    assert lines == ["| prepare | cached | 0.5 | 0.0 |", "| evaluate vae | ran | 61.2 | 3.0 |"]


def test_verdicts_have_every_reason() -> None:
    model = ModelReference(run_id="1", family="vae", folder="f", files=[])
    reasons = [
        Reason(rule="recall", passed=False, text="recall has collapsed"),
        Reason(rule="kid", passed=False, text="KID is worse"),
    ]
    judgement = Judgement(
        data_set="digits",
        task="generate",
        data="v",
        model=model,
        quality=Verdict(reasons=reasons),
        export=Verdict(),
    )
    row = artifacts.verdicts([judgement]).splitlines()[2]
    assert row == "| vae | **NOT BLESSED** | no champion yet | recall has collapsed; KID is worse |"
