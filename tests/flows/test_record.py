"""What a manifest may say."""

from __future__ import annotations

import pytest

from components.records.run import Overhead, RunManifest, StageEntry
from flows.record import public, redacted
from flows.start import overhead
from tests.config.test_config import QUICKSTART


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("s3://key:secret@bucket/path", "s3://bucket/path"),
        ("store.url=ftp://me:pw@host/x", "store.url=ftp://host/x"),
        ("/home/me/stores/one", "one"),
        ("store.url=/tmp/x/store", "store.url=store"),
        ("file:///home/me/store", "store"),
        ("output", "output"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
    ],
)
def test_no_credentials_and_no_folders_of_this_machine(said: str, shown: str) -> None:
    assert public(said) == shown


def test_redacted_keeps_everything_else() -> None:
    from flows import setup

    changes = ["store.url=/a/b/c", "publish.url=s3://k:s@bucket/x", "evaluate.inception_path=/me/weights.pth"]
    experiment = setup.experiment(QUICKSTART, changes)
    shown = redacted(experiment)
    assert (shown["store"]["url"], shown["publish"]["url"]) == ("c", "s3://bucket/x")
    assert shown["evaluate"]["inception_path"] is None
    assert shown["families"] == experiment.families


def test_overhead_is_the_time_in_which_nothing_computes() -> None:
    def stage(offset: float, seconds: float, work: float, state: str = "ran") -> StageEntry:
        return StageEntry(name="train", offset=offset, seconds=seconds, work_seconds=work, state=state)

    # Starting takes 10 s, then two trainings side by side (one needs 5 s to start), then 5 s of nothing.
    stages = [stage(10, 50, 45), stage(10, 20, 20), stage(0, 0, 0, "cached")]
    found = overhead(RunManifest(run_id="r", seconds=65.0, stages=stages))
    assert found == Overhead(seconds=15.0, share=round(15 / 65, 4))
