"""W&B's records, which `wandb sync` sends, hold what is exported and nothing of this machine."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.sinks import to_wandb
from components.sinks.history import History
from components.store import Store
from tests.sinks.conftest import texts_of

pytest.importorskip("wandb", reason="the extra `wandb`")

BLOCK, HEADER = 32768, 7  # of a log of LevelDB


def records(path: Path) -> Iterator[Any]:
    """The records of a file of W&B: a log of LevelDB whose first block begins with 7 other bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block is empty
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_a_run_is_read_back_and_exporting_it_again_replaces_it(
    store: Store, treated: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    for status, code in (("interrupted", 1), ("done", 0)):
        folder = to_wandb.write(store, replace(treated, status=status), tmp_path)
        (only,) = (tmp_path / "wandb").iterdir()
        assert folder == only
        ended = [r.exit.exit_code for r in records(only / "run-r1-dcgan.wandb") if r.HasField("exit")]
        assert ended == [code]
    steps, last = list[int](), dict[str, Any]()
    for record in records(only / "run-r1-dcgan.wandb"):
        assert not record.run.host
        if record.WhichOneof("record_type") == "history":
            last = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            steps.append(record.history.step.num)
    assert steps == sorted({row["step"] for row in treated.rows} | {sheet.step for sheet in treated.sheets})
    assert last["health/diversity"] == treated.rows[-1]["health/diversity"]
    assert last["_timestamp"] == treated.time(1000) and last["samples/_type"] == "image-file"
    written = texts_of(only)
    assert b"train.steps" in written and b"measures/kid" in written
    for secret in ("0123456789" * 4, str(Path.home()), os.fspath(tmp_path)):
        assert secret.encode() not in written
