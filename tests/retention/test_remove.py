"""A removal beside runs, and one that is cut off."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from components.common.errors import InputError
from components.retention import remove, survey
from components.stages import cache
from components.store import Store
from components.store.lease import lease
from tests.retention.stores import UNFINISHED, made, recorded, spec
from tests.s3 import Server


class Cut(Exception):
    """The process ends here."""


def test_nothing_is_removed_beside_a_run(store: Store) -> None:
    made(store, spec("unused"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    recorded(store, "r1", status="running", heartbeat=now)
    before = store.find("store")
    with pytest.raises(InputError, match="run r1 is running, so nothing was removed"):
        remove.collect(store, days=0)
    assert store.find("store") == before and survey.survey(store, days=0).running == ["r1"]


def test_a_run_waits_for_a_removal(store: Store) -> None:
    calls: list[str] = []
    remove.wait_for_removal(store, lambda: calls.append("x"))
    with lease(store, remove.LEASE, expires=1.0):
        pass
    remove.wait_for_removal(store, lambda: calls.append("x"))
    assert calls == [], "no removal is under way"


@pytest.mark.parametrize("at", range(0, 14, 2))
def test_a_removal_that_is_cut_off_leaves_a_valid_store(
    store: Store, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of deletions, each output is whole, resumed as it was, or made again from nothing."""
    of = [spec("kept"), spec("unused")]
    for each in of:
        made(store, each)
    for name in UNFINISHED:
        store.write_text(f"{spec('part').uri}/attempts/1/{name}", "x")
    recorded(store, "r1", of[0])
    count, delete = [0], Store.delete

    def cut(self: Store, rel: str) -> None:
        if count[0] == at:
            raise Cut
        count[0] += 1
        delete(self, rel)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", cut)
        with suppress(Cut):
            remove.collect(store, days=0)
    assert cache.finished(store, of[0])
    for each in (of[1], spec("part")):
        made(store, each)
        assert cache.finished(store, each)
    remove.collect(store, days=0)
    assert not store.exists(of[1].uri) and not store.exists(spec("part").uri)


@pytest.mark.s3
def test_a_bucket_is_surveyed_and_cleared_as_a_folder_is(bucket: str, s3_env: Server) -> None:
    store, used, unused = Store(f"s3://{bucket}/store"), spec("kept"), spec("unused")
    made(store, used)
    made(store, unused)
    made(store, used, force=True)  # supersedes the first attempt
    recorded(store, "r1", used)
    before = s3_env.keys(bucket)
    planned = survey.survey(store, days=0)
    assert s3_env.keys(bucket) == before, "a survey changes nothing"
    assert {item.path for item in planned.items} >= {unused.uri}
    remove.collect(store, days=0)
    after = s3_env.keys(bucket)
    assert cache.finished(store, used) and not [key for key in after if unused.uri in key]
    assert remove.collect(store, days=0).items == [], "nothing is found twice"
