"""An exported review knows its runs."""

from components.records.review import KIND, Review, Side, Star, Vote


def test_the_runs_of_votes_and_stars_each_once():
    sides = {"left": Side(run="b", family="x"), "right": Side(run="a", family="x")}
    stars = [Star(run="c", family="x", step=1, sample=0), Star(run="a", family="x", step=1, sample=0)]
    review = Review(kind=KIND, votes=[Vote(**sides, choice="tie")] * 2, stars=stars)
    assert review.runs == ["b", "a", "c"]


def test_an_unreadable_vote_is_left_out_of_what_is_kept():
    vote = {"left": {"run": "a", "family": "x"}, "right": {"run": "a", "family": "y"}, "choice": "left"}
    review = Review.read({"kind": KIND, "votes": [vote, vote | {"choice": "both"}]})
    assert review is not None and len(review.votes) == 1
    assert Review.read({"kind": "another", "votes": [vote]}) is None
