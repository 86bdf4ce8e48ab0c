"""Exported reviews: kept with their runs, and refused where they cannot be read."""

import json

import pytest

from components.common.errors import InputError
from components.records.review import KIND
from components.registry import reviews
from components.store import Store

SIDES = {"left": {"run": "r1", "family": "a", "step": 5}, "right": {"run": "r2", "family": "a", "step": 5}}
VOTE = SIDES | {"sample": 3, "images": 1, "choice": "left", "when": "2026-11-22T10:15:00Z"}
STAR = {"run": "r1", "family": "a", "step": 5, "sample": 3}


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "output"))
    for run in ("r1", "r2"):
        store.write_json(f"runs/{run}/run.json", {})
    return store


def exported(tmp_path, **changes):
    path = tmp_path / "review.json"
    path.write_text(json.dumps({"kind": KIND, "schema": 1, "votes": [VOTE], "stars": [STAR]} | changes))
    return path


def test_a_review_is_kept_with_each_run_and_only_once(store, tmp_path):
    review = reviews.read_file(exported(tmp_path))
    assert reviews.add(store, review) == reviews.add(store, review) == ["r1", "r2"]
    assert reviews.of_run(store, "r1") == reviews.of_run(store, "r2") == [review]
    assert review.votes[0].choice == "left" and review.stars[0].sample == 3


def test_a_damaged_review_in_the_store_is_left_out(store):
    store.write_text("runs/r1/reviews/torn.json", '{"kind": "atel')
    store.write_json("runs/r1/reviews/other.json", {"kind": "something else"})
    assert reviews.of_run(store, "r1") == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "playlist"}, "not an export of votes"),
        ({"votes": [VOTE | {"choice": "both"}]}, r"votes.0.choice"),
        ({"votes": [VOTE | {"left": {"run": "", "family": "a"}}]}, r"votes.0.left.run"),
        ({"votes": {}}, "not an export of votes"),
    ],
)
def test_another_file_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        reviews.read_file(exported(tmp_path, **changes))


def test_a_file_that_is_missing_or_no_json_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        reviews.read_file(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        reviews.read_file(tmp_path / "text.json")


def test_a_review_of_other_runs_is_refused(store, tmp_path):
    sides = {"left": {"run": "../r1", "family": "a"}}
    with pytest.raises(InputError, match=r"has no run \.\./r1"):
        reviews.add(store, reviews.read_file(exported(tmp_path, votes=[VOTE | sides])))
    with pytest.raises(InputError, match="neither votes nor stars"):
        reviews.add(store, reviews.read_file(exported(tmp_path, votes=[], stars=[])))
    assert not store.exists("runs/r1/reviews")
