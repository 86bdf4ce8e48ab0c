"""The rules of the gate, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy.stats import t as student

from components.config.gate import Gate
from components.evaluation import comparability
from components.evaluation.gate import Contender, best_first, compared, healed, judge, noise
from components.records.evaluation import MetricResult, Metrics
from components.records.health import HealthEvent, Treatment

HIGHER = ("precision", "recall")


def metric(name: str, value: float, half: float | None = 0.1, **changes: Any) -> MetricResult:
    """A value with an interval of `half` on both sides."""
    recipe = {"metric": name, "data_set": "digits", "data": "d1", "n": 1000, "n_real": 1000, **changes}
    ends = {} if half is None else {"low": value - half, "high": value + half}
    better = "higher" if name in HIGHER else "lower"
    key = comparability.key(recipe)
    real = 0.8 if name in HIGHER else 0.0
    return MetricResult(
        value=value, better=better, recipe=recipe, comparability=key, real_baseline=real, **ends
    )


def metrics(distance: float, half: float | None = 0.1, **others: float) -> Metrics:
    values = {"kid": distance / 100, "precision": 0.7, "recall": 0.6, "memorization_rate": 0.01} | others
    named = {name: metric(name, value, 0.02) for name, value in values.items()}
    return {"frechet_distance": metric("frechet_distance", distance, half), **named}


def verdict(
    ours: Metrics, reference: Metrics | None = None, **options: Any
) -> tuple[str, dict[str, bool | None]]:
    champion = None if reference is None else Contender("champion 1 (r1/vae)", reference)
    judged, _ = judge(Contender("r2/vae", ours), champion, Gate(), **options)
    return judged.word, {reason.rule: reason.passed for reason in judged.reasons}


def test_the_first_result_is_blessed_without_a_comparison() -> None:
    word, rules = verdict(metrics(5.0))
    assert word == "BLESSED" and "agreement" not in rules and rules["quality"]


@pytest.mark.parametrize(
    ("gain", "word"), [(0.15, "BLESSED"), (0.14, "NOT BLESSED"), (0.0, "NOT BLESSED"), (-1.0, "NOT BLESSED")]
)
def test_a_challenger_must_be_better_by_more_than_noise(gain: float, word: str) -> None:
    """Two intervals of 0.1 on both sides: that of the difference has 0.1414."""
    assert verdict(metrics(5.0 - gain), metrics(5.0))[0] == word


def test_the_sentences_state_numbers_noise_and_seeds() -> None:
    judged, margin = judge(
        Contender("r2/vae", metrics(4.0)), Contender("champion 1 (r1/vae)", metrics(5.0)), Gate()
    )
    assert judged.reasons[0].text == (
        "Fréchet distance 4 against 5 of champion 1 (r1/vae): 1 better, more than the noise of 0.141; the "
        "variance between training seeds is unknown, as each side has one"
    )
    assert margin and margin.exceeded and margin.noise == pytest.approx(0.1414, abs=1e-4)
    assert [reason.text for reason in judged.reasons[1:]] == [
        "KID agrees: 0.04 against 0.05",
        "precision 70.0 % against 70.0 % has not collapsed",
        "recall 60.0 % against 60.0 % has not collapsed",
        "1.0 % memorised, within the limit of 5.0 %",
        "no diagnosis",
    ]


def test_noise_is_students_interval_of_the_sum_of_variances() -> None:
    a = metric("kid", 1.0, half=1.96)  # a standard error of 1
    assert noise(a, a) == pytest.approx(1.959964 * math.sqrt(2))
    ours, reference = [1.0, 2.0, 3.0], [1.0, 5.0]  # variances 1 and 8, with 2 and 1 degrees of freedom
    degrees = (1 + 1 + 1 + 8) ** 2 / (1**2 / 2 + 8**2 / 1)
    assert noise(a, a, ours, reference) == pytest.approx(student.ppf(0.975, degrees) * math.sqrt(11))
    assert noise(a, a, ours, [1.0]) == pytest.approx(student.ppf(0.975, 3**2 / (1 / 2)) * math.sqrt(3))
    assert noise(a, a, [2.0, 2.0]) == pytest.approx(1.959964 * math.sqrt(2)), "equal values add nothing"


def test_seeds_that_vary_more_than_the_gain_keep_the_champion() -> None:
    champion = Contender("champion 1", metrics(5.0))
    steady = Contender("r2/vae", metrics(4.0), (4.0, 4.01, 4.02))
    erratic = Contender("r2/vae", metrics(4.0), (4.0, 6.0, 9.0))
    assert judge(steady, champion, Gate())[0].word == "BLESSED"
    judged, margin = judge(erratic, champion, Gate())
    assert judged.word == "NOT BLESSED" and margin and margin.seeds == 3 and margin.champion_seeds == 1
    assert "(3 seeds here, one seed of the champion)" in judged.reasons[0].text


def test_a_gain_without_intervals_may_be_noise() -> None:
    judged, margin = judge(
        Contender("r2/vae", metrics(1.0, half=None)), Contender("c", metrics(5.0, half=None)), Gate()
    )
    assert margin and margin.noise is None and not margin.exceeded
    assert judged.failed == [
        "Fréchet distance 1 against 5 of c: there is no interval, so noise cannot be excluded; that takes "
        "at least 60 test images (evaluate.samples), or a person's decision (gate.review: manual)"
    ]


def test_other_protocols_are_never_compared() -> None:
    reference = {name: m.model_copy(update={"comparability": "other"}) for name, m in metrics(9.0).items()}
    judged, margin = judge(Contender("r2/vae", metrics(1.0)), Contender("champion 1", reference), Gate())
    assert margin is None and judged.word == "NOT BLESSED"
    assert "cannot be compared with that of champion 1" in judged.reasons[0].text
    assert compared(Contender("a", metrics(1.0)), Contender("b", {"kid": metric("kid", 1.0)})) is None


def test_a_doubtful_metric_blesses_nothing() -> None:
    ours = {"kid": metric("kid", 1.0).model_copy(update={"note": "the extractor cannot tell the classes"})}
    judged, _ = judge(Contender("r2/vae", ours), None, Gate())
    assert judged.failed == ["KID 1 is doubtful: the extractor cannot tell the classes"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"kid": 0.06}, "agreement"),
        ({"precision": 0.3}, "precision"),
        ({"recall": 0.01}, "recall"),
        ({"memorization_rate": 0.2}, "memorisation"),
    ],
)
def test_one_rule_that_fails_is_enough(changes: dict[str, float], rule: str) -> None:
    word, rules = verdict(metrics(3.0, **changes), metrics(5.0))
    assert word == "NOT BLESSED" and [name for name, passed in rules.items() if passed is False] == [rule]


def test_precision_that_falls_within_noise_or_a_little_has_not_collapsed() -> None:
    assert verdict(metrics(3.0, precision=0.56), metrics(5.0))[0] == "BLESSED"
    reference = metrics(5.0, precision=0.09) | {"recall": metric("recall", 0.6)}
    ours = metrics(3.0) | {"precision": metric("precision", 0.085, 0.05)}
    assert verdict(ours, reference)[0] == "BLESSED"
    assert verdict(metrics(3.0, recall=0.05))[1]["recall"] is False, "less than a tenth of real images"


def test_what_a_task_does_not_measure_does_not_apply() -> None:
    ours, reference = {"mse": metric("mse", 0.01, 0.001)}, {"mse": metric("mse", 0.02, 0.001)}
    word, rules = verdict(ours, reference)
    assert word == "BLESSED" and {name for name, passed in rules.items() if passed} == {"quality", "health"}
    judged, _ = judge(Contender("a", ours), Contender("b", reference), Gate())
    assert "precision not measured in this task" in [reason.text for reason in judged.reasons]


def test_a_decision_of_a_person_is_not_overruled() -> None:
    word, rules = verdict(metrics(3.0), metrics(5.0), decided="rejected on 1 May by ada: too blurred")
    assert word == "NOT BLESSED" and rules["review"] is False


def event(step: int, action: str, attempt: int = 1, back_to: int | None = None) -> HealthEvent:
    treatment = (
        None if back_to is None else Treatment(remedy="ttur", back_to=back_to, next_attempt=attempt + 1)
    )
    return HealthEvent(step=step, attempt=attempt, title="Mode collapse", action=action, treatment=treatment)


@pytest.mark.parametrize(
    ("events", "step", "passed"),
    [
        ([], None, True),
        ([event(500, "observed")], None, False),
        ([event(500, "observed")], 400, True),  # the exported weights are older
        ([event(500, "treated", back_to=300)], 1000, True),
        ([event(400, "observed"), event(500, "treated", back_to=300)], 1000, True),
        ([event(250, "observed"), event(500, "treated", back_to=300)], 1000, False),
        ([event(500, "treated", back_to=300), event(600, "observed", attempt=2)], 1000, False),
        ([event(500, "stopped")], None, False),
    ],
)
def test_a_diagnosis_must_be_healed(events: list[HealthEvent], step: int | None, passed: bool) -> None:
    reason = healed(events, step)
    assert reason.passed is passed
    assert passed or "mode collapse at step" in reason.text


def test_contenders_are_judged_best_first() -> None:
    noted = {"kid": metric("kid", 0.0).model_copy(update={"note": "doubtful"})}
    contenders = {"a": metrics(3.0), "b": noted, "c": metrics(2.0)}
    assert best_first(contenders) == ["c", "a", "b"]
