"""Numbered files: one writer a number, the highest counts, other files are passed over."""

from __future__ import annotations

from components.store import Store, numbered


def test_numbers_are_counted_as_numbers(store: Store) -> None:
    folder = store.child("a")
    assert numbered.highest(folder) == 0 and numbered.read_all(folder) == []
    for number in (2, 10, 1):
        assert numbered.create(folder, number, {"is": number})
    folder.write_text("notes.json", "{}")
    folder.write_text("11.txt", "")
    assert numbered.numbers(folder) == [1, 2, 10] and numbered.highest(folder) == 10
    assert [content["is"] for content in numbered.read_all(folder)] == [1, 2, 10]


def test_a_number_is_never_written_again(store: Store) -> None:
    assert numbered.append(store, 0, {"by": "a"}) == {"number": 1, "by": "a"}
    assert numbered.append(store, 0, {"by": "b"}) == {"number": 1, "by": "a"}
    assert not numbered.create(store, 1, {"by": "c"})
    assert numbered.append(store, 1, {"by": "b"}) == {"number": 2, "by": "b"}
