"""The time of a run in which nothing is computed."""

from __future__ import annotations

from components.records.run import Overhead, RunManifest, StageEntry
from flows.start import overhead


def test_overhead_is_the_time_in_which_nothing_computes() -> None:
    def stage(offset: float, seconds: float, work: float, state: str = "ran") -> StageEntry:
        return StageEntry(name="train", offset=offset, seconds=seconds, work_seconds=work, state=state)

    # Starting takes 10 s, then two trainings side by side (one needs 5 s to start), then 5 s of nothing.
    stages = [stage(10, 50, 45), stage(10, 20, 20), stage(0, 0, 0, "cached")]
    found = overhead(RunManifest(run_id="r", seconds=65.0, stages=stages))
    assert found == Overhead(seconds=15.0, share=round(15 / 65, 4))
