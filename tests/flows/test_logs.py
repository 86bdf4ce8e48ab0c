"""The log of a run, from the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest, StageEntry
from components.store import Store
from components.store.lease import lease
from flows.logs import lines
from flows.progress import ProgressDisplay
from flows.record import Record

TRAIN = StageEntry(name="train", family="vae", state="running", uri="store/train/k")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run that works, with a line of its log and two parts of the metrics of its training."""
    store = Store(str(tmp_path))
    manifest = RunManifest(run_id="run1", stages=[TRAIN])
    with lease(store, "run-run1") as held:
        record, board = Record(store, manifest, held), ProgressDisplay()
        board.keep = record.line
        board.say("run run1: vae on digits, token=s3cret")
        board.say("✓ train vae: 3.0 s")
        record.finish("running")
    for attempt, values in ((1, (9.0,)), (2, (0.5, 0.25))):
        for step, value in enumerate(values, 1):
            row = f'{{"step": {step}, "attempt": 1, "loss": {value}, "note": "x"}}\n'
            store.write_text(f"store/train/k/attempts/{attempt}/metrics/part-{step:03}.jsonl", row)
    return store


def texts(store: Store, stage: str | None = None) -> list[str]:
    return list(lines(store, "run1", stage, follow=False))


def test_a_log_is_kept_without_credentials(store: Store) -> None:
    first, second = texts(store)
    assert first.endswith("  run run1: vae on digits, token=***") and second.endswith("  ✓ train vae: 3.0 s")
    assert datetime.strptime(first[:8], "%H:%M:%S")


@pytest.mark.parametrize("stage", ["train", "vae", "train/vae", "train vae"])
def test_a_stage_has_its_lines_and_the_metrics_of_its_newest_attempt(store: Store, stage: str) -> None:
    assert texts(store, stage)[1:] == ["train vae: step 1: loss 0.5", "train vae: step 2: loss 0.25"]


def test_an_unknown_stage_is_one_sentence(store: Store) -> None:
    with pytest.raises(InputError, match="run run1 has no stage 'train vea' .did you mean 'train vae'"):
        texts(store, "train vea")


def test_following_ends_with_the_run(store: Store) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        store.write_text(
            "store/train/k/attempts/2/metrics/part-003.jsonl", '{"step": 3, "loss": 0.125}\n{"st'
        )
        if len(pauses) == 2:
            now = datetime.now(UTC).isoformat()
            done = RunManifest(run_id="run1", stages=[TRAIN], status="done", heartbeat=now)
            store.write_json("runs/run1/run.json", done.to_json())

    followed = list(lines(store, "run1", "vae", follow=True, pause=pause))
    assert len(pauses) == 2 and followed[-1] == "train vae: step 3: loss 0.125" and len(followed) == 4


def test_an_interrupted_run_continues_its_log(store: Store) -> None:
    with lease(store, "run-run1") as held:
        record = Record(store, RunManifest(run_id="run1"), held)
        record.line("again")
        record.finish("done")
    assert [line[10:] for line in texts(store)][-2:] == ["✓ train vae: 3.0 s", "again"]
