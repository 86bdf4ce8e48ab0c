"""The history of champions only grows, and of two promotions at the same time one fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.registry import champions
from components.registry.champions import Overtaken
from components.store import Store
from tests.registry.judged import OF, champion, judgement

FOLDER = "registry/digits/generate"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_the_highest_number_is_the_champion(store: Store) -> None:
    assert champions.current(store, *OF) is None and champions.series(store) == []
    for number in range(1, 12):
        champions.append(store, champion(store, number, f"r{number}"))
    now = champions.current(store, *OF)
    assert now is not None and now.number == 11 and now.model.address == "r11/vae"
    assert [entry.number for entry in champions.history(store, *OF)] == list(range(1, 12))
    assert champions.series(store) == [OF]


def test_consumers_read_one_file(store: Store) -> None:
    entry = champions.append(store, champion(store, 1, "r1"))
    content = store.read_json(f"{FOLDER}/champion.json")
    assert content["number"] == 1 and content["url"] == entry.model.folder
    for file in content["files"]:
        assert store.size(f"{content['url']}/{file['path']}") == file["bytes"] and len(file["sha256"]) == 64
    assert store.exists(f"{FOLDER}/{content['entry']}") and str(store.root) not in str(content)


def test_a_remote_model_has_a_full_address() -> None:
    remote = Store("memory://bucket/store")
    entry = champion(remote, 1, "r1")
    assert champions.consumed(remote, entry)["url"] == f"{remote.url}/{entry.model.folder}"


def test_two_promotions_at_once_cannot_both_succeed(store: Store) -> None:
    def attempt(number: int) -> bool:
        try:
            champions.append(store, champion(store, 1, f"r{number}"))
        except Overtaken as error:
            assert "another promotion was faster: champion 1 of digits/generate is r" in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    now = champions.current(store, *OF)
    assert now and store.read_json(f"{FOLDER}/champion.json")["run_id"] == now.model.run_id


def test_what_consumers_read_is_restored_by_the_next_writer(store: Store) -> None:
    champions.append(store, champion(store, 1, "r1"))
    champions.append(store, champion(store, 2, "r2"))
    store.write_json(f"{FOLDER}/champion.json", {"number": 1})  # of a slow writer
    champions.publish_current(store, *OF)
    assert store.read_json(f"{FOLDER}/champion.json")["run_id"] == "r2"
    store.write_text(f"{FOLDER}/champion.json", "{")
    champions.publish_current(store, *OF)
    assert store.read_json(f"{FOLDER}/champion.json")["number"] == 2


def test_a_champion_of_other_data_is_refused(store: Store) -> None:
    champions.append(store, champion(store, 1, "r1"))
    store.write_bytes(
        "registry/emoji/generate/champions/1.json", store.read_bytes(f"{FOLDER}/champions/1.json")
    )
    with pytest.raises(InputError, match="1 of emoji/generate is a champion of digits/generate"):
        champions.current(store, "emoji", "generate")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"number": 1}'])
def test_a_damaged_entry_is_named(store: Store, content: str) -> None:
    store.write_text(f"{FOLDER}/champions/1.json", content)
    with pytest.raises(InputError, match="champion 1 of digits/generate cannot be read .*restore the file"):
        champions.history(store, *OF)


def test_changed_or_missing_files_are_no_champion(store: Store) -> None:
    entry = champion(store, 1, "r1")
    champions.check_files(store, entry)
    store.write_text(f"{entry.model.folder}/config.json", "other")
    with pytest.raises(InputError, match="config.json in .* is missing or has changed"):
        champions.check_files(store, entry)


def test_a_result_waits_until_it_is_decided_or_expires(store: Store) -> None:
    later, earlier = "2999-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
    for run_id, expires in (("r1", later), ("r2", later), ("r3", earlier)):
        champions.request_review(store, judgement(store, run_id, expires=expires))
    assert [j.model.run_id for j in champions.waiting(store, *OF)] == ["r1", "r2"]
    champions.append(store, champion(store, 1, "r1"))
    assert [(j.model.run_id, j.word) for j in champions.waiting(store, *OF)] == [("r2", "PENDING")]
