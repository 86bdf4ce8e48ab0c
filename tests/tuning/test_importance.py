"""Which hyperparameters matter: on functions where it is known."""

import math
from unittest import mock

import numpy as np
import pytest

from components.records.sweep import SearchedHyperparameter, Share
from components.records.trial import CurvePoint, Trial
from components.tuning import importance
from components.tuning.importance import comparable_scores, importances, is_choice, matters, varying
from components.tuning.recommendations import recommendations, written

pytestmark = pytest.mark.slow

LR = SearchedHyperparameter(
    name="lr", low=1e-4, high=4e-3, scale="log", default=1e-3, recommended=2e-4, source="a paper"
)
BETA = SearchedHyperparameter(name="beta1", low=0.0, high=0.9, scale="linear", default=0.5)
CHOICES = ["hinge", "logistic", "wasserstein"]
LOSS = SearchedHyperparameter(name="loss", kind="choice", values=CHOICES, default="hinge")
SPACES = [LR, BETA, LOSS]


def drawn(n, score, seed=0):
    """`n` trials at random, and what `score` says of them."""
    rng = np.random.default_rng(seed)
    values = [
        {
            "lr": float(10 ** rng.uniform(-4, math.log10(4e-3))),
            "beta1": float(rng.uniform(0, 0.9)),
            "loss": str(rng.choice(CHOICES)),
        }
        for _ in range(n)
    ]
    return [(v, float(score(v) + 0.05 * rng.normal())) for v in values]


def by_lr(v):
    return (math.log10(v["lr"]) - math.log10(3e-4)) ** 2


@pytest.fixture(scope="module")
def of_forty():
    """Shares of 40 trials of which the learning rate alone decides, with all resamples and shuffles."""
    return importances(SPACES, drawn(40, by_lr))


def test_what_matters_is_told_from_what_does_not(of_forty):
    result = of_forty
    assert result["lr"].value > 0.6 and matters(result["lr"])
    assert not matters(result["beta1"]) and not matters(result["loss"])
    assert result["beta1"].value < 0.15 and result["loss"].value < 0.15
    for each in result.values():
        assert 0 <= each.low <= each.value <= each.high <= 1 and 0 <= each.chance <= 1


def test_a_choice_matters_too():
    trials = drawn(30, lambda v: 3.0 * (v["loss"] == "logistic"))
    result = importances(SPACES, trials, resamples=10, shuffles=10)
    assert max(result, key=lambda name: result[name].value) == "loss" and matters(result["loss"])


def test_nothing_matters_where_scores_are_noise():
    result = importances(SPACES, drawn(24, lambda v: 0.0), resamples=10)
    assert sum(matters(each) for each in result.values()) <= 1


def test_of_several_without_effect_rarely_any_matters(monkeypatch):
    """The forest's shares of noise are random; 5 % is the chance that one of five hyperparameters matters."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(importance, "_fanova", lambda at, *_: rng.dirichlet([5.0] * at.shape[1]))
    spaces = [BETA.model_copy(update={"name": f"h{i}"}) for i in range(5)]
    trials = [({space.name: rng.uniform() for space in spaces}, float(rng.normal())) for _ in range(16)]
    monkeypatch.setattr(importance, "NOTHING", -1.0)  # the test alone must hold its level
    sweeps = [importances(spaces, trials, resamples=2) for _ in range(400)]
    assert sum(any(map(matters, shares.values())) for shares in sweeps) / len(sweeps) < 0.08


def test_the_same_trials_say_the_same():
    trials = drawn(12, by_lr)
    few = {"resamples": 4, "shuffles": 4}
    assert importances(SPACES, trials, **few) == importances(SPACES, trials, **few)


def test_an_outlier_is_not_all_there_is_to_explain():
    trials = drawn(40, by_lr)
    trials[0] = (trials[0][0] | {"beta1": 0.89}, 1e9)
    result = importances(SPACES, trials, resamples=2, shuffles=2)
    assert result["lr"].value > 0.5 > result["beta1"].value


@pytest.mark.parametrize(
    "trials",
    [
        [],
        drawn(7, by_lr),
        [(values, 1.0) for values, _ in drawn(12, by_lr)],
        [({"lr": v["lr"]}, s) for v, s in drawn(12, by_lr)],  # one alone explains all
        [(v, math.nan) for v, _ in drawn(12, by_lr)],
        [(v | {"lr": "much"} if i % 2 else v, s) for i, (v, s) in enumerate(drawn(14, by_lr))],
    ],
    ids=["none", "few", "equal", "one varies", "not finite", "no numbers"],
)
def test_no_importance_where_nothing_can_be_told(trials):
    assert importances(SPACES, trials) is None


def test_what_is_equal_does_not_vary():
    assert [s.name for s in varying(SPACES, [{"lr": 1, "loss": "hinge"}, {"lr": 1.0}])] == []
    assert [s.name for s in varying([LOSS], [{"loss": True}, {"loss": 1}])] == ["loss"]
    assert is_choice(LOSS) and not is_choice(LR)


def test_trials_may_leave_the_searched_range_and_integers_have_room():
    count = SearchedHyperparameter(name="n", low=1, high=5, integer=True, default=1)
    trials = [({"lr": 1e-5 * (i + 1), "n": i % 7}, float(i)) for i in range(10)]
    result = importances([LR, count], trials, resamples=2, shuffles=2)
    assert result["lr"].value > result["n"].value


# Scores


def trial(number, state="done", curve=(), value=None):
    points = [CurvePoint(judged=j, step=100 * j, value=v) for j, v in curve]
    return Trial(number=number, values={"lr": number}, state=state, curve=points, value=value)


def test_scores_are_compared_where_all_have_been():
    trials = [
        trial(1, curve=[(1, 9.0), (2, 3.0), (8, 1.0)], value=1.0),
        trial(2, "stopped", [(1, 9.0), (2, 4.0)], 4.0),
        trial(3, "failed", [(1, 8.0), (2, 2.0)]),
        trial(4, "collapsed", [(1, 0.5), (2, 0.1)], 0.1),
        trial(5, "running", [(1, 7.0)]),
        trial(6, curve=[(2, math.inf)]),
    ]
    assert [(v["lr"], s) for v, s in comparable_scores(trials, [4, 2])] == [(1, 3.0), (2, 4.0), (4, 4.0)]
    assert [(v["lr"], s) for v, s in comparable_scores(trials, [])] == [(1, 1.0), (2, 4.0), (4, 4.0)]
    assert comparable_scores([trial(4, "collapsed")], [2]) == [] == comparable_scores([], [])


# Recommendations


def test_a_recommendation_within_the_best_and_one_outside(of_forty, monkeypatch):
    trials = drawn(40, by_lr)
    asked = mock.Mock(return_value=of_forty)
    monkeypatch.setattr("components.tuning.recommendations.importances", asked)
    lr, beta, loss = recommendations(SPACES, trials)
    assert asked.call_args.args == (SPACES, sorted(trials, key=lambda pair: pair[1]))
    assert lr.verdict == "within" and lr.source == "a paper"
    assert 1e-4 <= lr.best_low < 3e-4 < lr.best_high < 1e-3
    ends = f"{written(lr.best_low)} to {written(lr.best_high)}"
    assert lr.says == f"2e-4 recommended; best {ends} on this data"
    importance = {"lr": Share(value=0.9, low=0.7, high=1.0, chance=0.2)}
    far, _ = recommendations([LR.model_copy(update={"recommended": 3e-3}), BETA], trials, importance)
    assert far.verdict == "outside"
    assert beta.verdict == "undecided" and beta.says.startswith("0.5 by default; best ")
    assert beta.says.endswith("on this data, its importance is within chance")
    assert loss.verdict == "undecided" and sum(share.best for share in loss.shares) == 10


def test_a_choice_is_judged_by_its_share_of_the_best():
    trials = drawn(60, lambda v: 3.0 * (v["loss"] == "hinge"))
    importance = {"loss": Share(value=0.9, low=0.7, high=1.0, chance=0.2)}
    (bad,) = recommendations([LOSS], trials, importance)
    assert bad.verdict == "outside" and bad.says.startswith("hinge by default; 0 of the best 15 trials")
    (good,) = recommendations([LOSS.model_copy(update={"recommended": "wasserstein"})], trials, importance)
    assert good.verdict == "within" and good.best_low is None


@pytest.mark.parametrize(("recommended", "flat_to"), [(2e-4, 1e-3), (3e-3, 4e-3)])
@pytest.mark.parametrize("n", [16, 32])
def test_a_value_as_good_as_any_is_rarely_outside(n, recommended, flat_to):
    space = LR.model_copy(update={"recommended": recommended})
    importance = {"lr": Share(value=0.9, low=0.7, high=1.0, chance=0.2)}
    verdicts = []
    for seed in range(300):
        trials = drawn(n, lambda v: max(0.0, math.log10(v["lr"] / flat_to)), seed)
        verdicts.append(recommendations([space, BETA], trials, importance)[0].verdict)
    assert verdicts.count("outside") / len(verdicts) <= 0.05


def test_a_value_far_from_the_best_is_outside():
    importance = {"lr": Share(value=0.9, low=0.7, high=1.0, chance=0.2)}
    space = LR.model_copy(update={"recommended": 3e-3})
    result = [recommendations([space, BETA], drawn(32, by_lr, s), importance)[0] for s in range(100)]
    assert sum(each.verdict == "outside" for each in result) >= 80
    trials = drawn(16, by_lr, 0)
    (lr, _) = recommendations([LR.model_copy(update={"recommended": 1.2e-4}), BETA], trials, importance)
    assert lr.verdict == "undecided" and lr.says.endswith("on this data, which is within chance")


def test_one_hyperparameter_alone_is_judged_without_importance():
    trials = [({"lr": v["lr"]}, s) for v, s in drawn(40, by_lr)]
    (lr,) = recommendations([LR], trials)
    assert lr.verdict == "within"


@pytest.mark.parametrize(
    ("spaces", "trials", "says"),
    [
        ([LR], [], "2e-4 recommended; no trial has been evaluated yet"),
        ([LOSS], [], "hinge by default; no trial has been evaluated yet"),
        (
            [LR],
            [({"lr": 1e-3}, 1.0)],
            "2e-4 recommended; best 1e-3 on this data, too few trials for a conclusion",
        ),
        ([SearchedHyperparameter(name="x", low=0, high=1)], [({"x": 0.3}, 1.0)], None),
    ],
)
def test_what_cannot_be_said_is_not(spaces, trials, says):
    rows = recommendations(spaces, trials)
    assert [row.says for row in rows] == ([says] if says else [])
    assert all(row.verdict == "undecided" for row in rows)


def test_a_recommendation_that_was_not_searched():
    trials = [({"lr": v["lr"]}, s) for v, s in drawn(40, by_lr)]
    (lr,) = recommendations([LR.model_copy(update={"recommended": 0.1})], trials)
    assert lr.verdict == "undecided" and lr.says.endswith("it was not among the searched values")


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "2e-4"), (1.6e-4, "1.6e-4"), (0.5, "0.5"), (3, "3"), (64.0, "64"), (True, "true"), (None, "none")]
    + [
        ("hinge", "hinge"),
        ([0.5, 0.999], "0.5, 0.999"),
        (0.0, "0"),
        (1e-3, "1e-3"),
        (1.22e-3, "1.2e-3"),
        (0.0123, "0.0123"),
        (2.5e6, "2.5e6"),
    ],
)
def test_values_are_written_as_in_a_config(value, text):
    assert written(value) == text
