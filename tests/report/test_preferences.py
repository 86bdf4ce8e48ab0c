"""Win rates: Wilson's interval, ties as half wins, and votes that several exports repeat."""

import pytest

from components.metrics.intervals import share
from components.records.review import Review, Side, Vote
from components.report.preferences import preferences, win_rate


def vote(left: str, right: str, choice: str, when: str = "") -> Vote:
    return Vote(left=Side(run="r", family=left), right=Side(run="r", family=right), choice=choice, when=when)


def review(*votes: Vote, reviewer: str = "") -> Review:
    return Review(kind="atelier review", reviewer=reviewer, votes=list(votes))


@pytest.mark.parametrize(("wins", "votes"), [(0, 1), (1, 1), (3, 7), (50, 100), (0, 40)])
def test_without_ties_the_interval_is_that_of_a_share(wins, votes):
    expected = share(wins, votes)
    assert win_rate(wins, votes) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-4)


def test_a_side_is_counted_wherever_it_was_shown():
    votes = [vote("a", "b", "left"), vote("b", "a", "right"), vote("b", "a", "tie"), vote("a", "b", "right")]
    (rate,) = preferences([review(*votes)], "r")
    assert (rate.preferred, rate.other, rate.wins, rate.ties, rate.votes) == ("a", "b", 2, 1, 4)
    assert rate.share == 2.5 / 4 and rate.low < 0.5 < rate.high
    assert rate.rate == "62\u00a0%"


def test_a_vote_of_two_exports_counts_once_and_reviewers_are_counted():
    first, second = vote("a", "b", "left", "1"), vote("a", "b", "left", "2")
    (rate,) = preferences([review(first, reviewer="x"), review(first, second, reviewer="y")], "r")
    assert (rate.votes, rate.reviews) == (2, 2)


def test_models_of_other_runs_are_named_by_their_run():
    other = Vote(left=Side(run="q", family="a"), right=Side(run="r", family="a"), choice="left")
    (rate,) = preferences([review(other)], "r")
    assert (rate.preferred, rate.other) == ("q/a", "a")
    assert [rate.other for rate in preferences([review(other)])] == ["r/a"]


def test_a_model_against_itself_is_no_vote():
    assert preferences([review(vote("a", "a", "left"))], "r") == []
