"""Records of the gate."""

from __future__ import annotations

import pytest

from components.common.errors import InputError
from components.records.gate import BLESSED, NOT_BLESSED, PENDING, Margin, Reason, Verdict
from components.store import Store
from tests.registry.judged import champion, judgement


def test_a_verdict_is_blessed_if_no_rule_failed() -> None:
    passed, unused = Reason(rule="kid", passed=True), Reason(rule="seeds")
    failed = Reason(rule="recall", passed=False, text="recall collapsed")
    assert Verdict(reasons=[passed, unused]).word == BLESSED
    assert Verdict(reasons=[passed, failed]).word == NOT_BLESSED
    assert Verdict(reasons=[passed, failed]).failed == ["recall collapsed"]


@pytest.mark.parametrize(("noise", "exceeded"), [(0.1, True), (0.2, False), (None, False)])
def test_a_margin_is_exceeded_by_more_than_noise_alone(noise: float | None, exceeded: bool) -> None:
    assert Margin(metric="kid", value=0.1, champion=0.3, gain=0.2, noise=noise).exceeded is exceeded


def test_a_review_waits_until_it_expires(store: Store) -> None:
    waits = judgement(store, "r1", expires="2999-01-01T00:00:00+00:00")
    assert waits.word == PENDING and not waits.has_expired
    assert judgement(store, "r1", expires="2001-01-01T00:00:00+00:00").has_expired
    assert judgement(store, "r1", expires="soon").has_expired, "no time"


def test_a_judgement_is_shown_as_its_word_and_why(store: Store) -> None:
    judged = judgement(store, "r1")
    assert repr(judged) == f"Judgement(model={judged.model.address!r}, word={judged.word!r}, failed=[])"


def test_a_champion_of_other_data_is_refused(store: Store) -> None:
    entry = champion(store, 1, "r1")
    assert entry.check("digits", "generate") is entry
    with pytest.raises(InputError, match="champion 1 of emoji/generate is a champion of digits/generate"):
        entry.check("emoji", "generate")


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("store")))
