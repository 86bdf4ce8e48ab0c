"""A trial says the same whenever it is asked, goes on where it stopped, and is a function of its schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from components.common.errors import Diverged, InputError, RunError
from components.config.train import Train
from components.families import artifact, catalogue
from components.families.catalogue import config_of
from components.records.sweep import Winner
from components.records.trial import ScheduleEntry, TrialEvaluation, TrialReport
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import Unreachable
from components.training import checkpoint
from components.training.request import TrainRequest
from components.tuning import repeat, space, trial
from components.tuning.repeat import Repeat, Retrained, rescored, retrained
from components.tuning.trial import (
    sampled,
    score_of,
    spec_of,
    trained,
    training_of,
)
from components.tuning.trial_context import TrialContext
from models.data_spec import DataSpec
from models.dcgan import DCGAN, DCGANConfig
from tests.tuning.conftest import changed

pytestmark = pytest.mark.slow


class Stopped(Exception):
    """As a scheduler ends a trial."""


@pytest.mark.parametrize("searched", [False, True])
def test_a_trial_has_the_noise_of_the_confirmed_training(searched: bool) -> None:
    steps = {"instance_noise_steps": 2000} if searched else {}
    block = config_of("dcgan", {"width": 4, "latent": 4})
    train = Train(steps=2500, warmup_steps=50).model_dump(mode="json")
    schedule = [
        ScheduleEntry(values={"instance_noise": 0.3, **steps}),
        ScheduleEntry(step=250, values={"instance_noise": 0.2, **steps}, donor=1),
        ScheduleEntry(step=500, values={"instance_noise": 0.4, **steps}, donor=2),
    ]
    request = TrainRequest(
        "dcgan", block, {**train, "steps": 1000}, data="", attempt="", store=Store("unused")
    )
    context = TrialContext("test", Spec("trial", {}, {}), request, share=1000 / 2500)
    short = training_of(context, schedule)
    winner = Winner(number=1, schedule=schedule, values=schedule[-1].values)
    full = space.full_schedule({**block, "train": train}, winner, trial_steps=1000)
    assert short.train["warmup_steps"] == 20 and full["train"]["warmup_steps"] == 50

    def sigma(config: Mapping[str, Any], changes: Sequence[Mapping[str, Any]], step: int) -> float:
        settings = {k: v for k, v in config.items() if k != "train"}
        for change in changes:
            settings |= change["change"] if change["step"] <= step else {}
        family = DCGAN(DCGANConfig(**settings), DataSpec(1, 8))
        family.begin(step)
        return family.sigma

    for step in range(0, 1000, 50):
        trial_sigma = sigma(short.config, short.train["setting_changes"], step)
        full_sigma = sigma(full, full["train"]["setting_changes"], round(2.5 * step))
        assert trial_sigma == pytest.approx(full_sigma)
    assert full_sigma == 0  # the fade is over, after 400 or 800 of 1000 steps


def plain(lr: float = 2e-4) -> list[ScheduleEntry]:
    return [ScheduleEntry(values={"lr": lr})]


def weights(store: Store, done: Done) -> dict[str, torch.Tensor]:
    return artifact.load_model(store.local_copy(f"{done.uri}/model"))[0].state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def stop_at(judged: int, reports: list[TrialReport]) -> Any:
    def on_report(report: TrialReport) -> None:
        reports.append(report)
        if report.judged == judged:
            raise Stopped

    return on_report


def test_a_trial_says_how_it_stands_at_every_judgement(context: TrialContext, with_digits: Store) -> None:
    reports: list[TrialReport] = []
    done = trained(context, plain(), reports.append)
    assert done is not None and done.stage == "trial"
    assert [(one.judged, one.step) for one in reports] == [(1, 3), (2, 6), (3, 9), (4, 12)]
    curve = cache.read(with_digits, done)["trained"]["curve"]
    assert [one.value for one in reports] == [
        point["kid"] for point in curve[1:]
    ]  # the first: before training
    assert all(one.score == one.value and 0 <= one.diversity < 1.5 for one in reports)
    assert with_digits.exists(f"{done.uri}/samples/step-0000012.webp")


def test_a_finished_trial_is_never_trained_again(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[TrialReport] = []
    trained(context, plain(), first.append)
    monkeypatch.setattr(trial, "fit", lambda *_, **__: pytest.fail("trained again"))
    again: list[TrialReport] = []
    assert trained(context, plain(), again.append) is not None
    assert again == first


def test_a_stopped_trial_goes_on_to_what_it_would_have_been(
    context: TrialContext, with_digits: Store
) -> None:
    reports: list[TrialReport] = []
    with pytest.raises(Stopped):
        trained(context, plain(), stop_at(2, reports))
    uri = reports[-1].uri
    assert not cache.finished(with_digits, spec_of(context, training_of(context, plain())))
    assert checkpoint.checkpoint_ids(with_digits.child(uri))[-1] == (1, 6)
    again: list[TrialReport] = []
    done = trained(context, plain(), again.append)
    assert done is not None and again[:2] == reports and [one.judged for one in again] == [1, 2, 3, 4]
    other = Store(with_digits.url + "-other")
    for name in ("prepared/data", "reference"):
        other.upload(with_digits.local_copy(name), name)
    straight: list[TrialReport] = []
    whole = trained(changed(context, store=other), plain(), straight.append)
    assert whole is not None and same(weights(with_digits, done), weights(other, whole))
    assert [one.value for one in straight] == [one.value for one in again]


def test_a_trial_may_stop_at_a_judgement_by_itself(context: TrialContext) -> None:
    reports: list[TrialReport] = []
    assert trained(context, plain(), reports.append, until=2) is None
    assert [one.judged for one in reports] == [1, 2]
    reports.clear()
    assert trained(context, plain(), reports.append, until=4) is not None
    assert [one.judged for one in reports] == [1, 2, 3, 4]


def test_going_on_from_another_is_training_its_schedule(context: TrialContext, with_digits: Store) -> None:
    reports: list[TrialReport] = []
    with pytest.raises(Stopped):
        trained(context, plain(1e-3), stop_at(2, reports))
    schedule = [*plain(1e-3), ScheduleEntry(step=6, values={"lr": 2e-4, "beta1": 0.0}, donor="other")]
    heard: list[TrialReport] = []
    exploited = trained(context, schedule, heard.append, after=6, donor=reports[-1].uri)
    assert exploited is not None and [one.judged for one in heard] == [3, 4]
    other = Store(with_digits.url + "-other")
    for name in ("prepared/data", "reference"):
        other.upload(with_digits.local_copy(name), name)
    replayed = trained(changed(context, store=other), schedule, lambda one: None)
    assert replayed is not None and same(weights(with_digits, exploited), weights(other, replayed))
    unchanged = trained(changed(context, store=other), plain(1e-3), lambda one: None)
    assert unchanged is not None and not same(weights(other, unchanged), weights(other, replayed))


def test_a_change_that_needs_another_network_is_refused(context: TrialContext) -> None:
    schedule = [*plain(), ScheduleEntry(step=6, values={"width": 16})]
    with pytest.raises(
        InputError, match="setting_changes at step 6: with width changed, the .* another shape"
    ):
        trained(context, schedule, lambda one: None)


def test_a_trial_that_fails_says_why_and_is_not_tried_again(context: TrialContext, monkeypatch: Any) -> None:
    with pytest.raises(RunError, match="(?i)nan"):
        trained(context, plain(1e30), lambda one: None)
    monkeypatch.setattr(trial, "fit", lambda *_, **__: pytest.fail("tried again"))
    with pytest.raises(RunError, match="(?i)nan"):
        trained(context, plain(1e30), lambda one: None)


def test_what_a_failed_trial_had_said_is_said_again(context: TrialContext) -> None:
    schedule = [*plain(), ScheduleEntry(step=6, values={"lr": 1e30})]
    heard: list[list[TrialReport]] = [[], []]
    for reports in heard:
        with pytest.raises(Diverged):
            trained(context, schedule, reports.append)
    assert heard[0] == heard[1] and [one.judged for one in heard[0]][:2] == [1, 2]


def test_a_judgement_lost_between_checkpoint_and_curve_is_not_forgotten(
    context: TrialContext, with_digits: Store
) -> None:
    reports: list[TrialReport] = []
    with pytest.raises(Stopped):
        trained(context, plain(), stop_at(2, reports))
    attempt = with_digits.child(reports[-1].uri)
    attempt.write_json(trial.CURVE, attempt.read_json(trial.CURVE)[:1])  # as if killed before it was written
    again: list[TrialReport] = []
    trained(context, plain(), again.append)
    assert [(one.judged, one.step) for one in again] == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert [one.value for one in again[:2]] == [one.value for one in reports]


def test_a_store_that_does_not_answer_does_not_end_a_trial(
    context: TrialContext, with_digits: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, outage = trial.write_curve, [Unreachable("down"), Unreachable("down")]

    def down_at_first(attempt: Store, evaluations: Sequence[TrialEvaluation]) -> None:
        if outage:
            raise outage.pop()
        write(attempt, evaluations)

    monkeypatch.setattr(trial, "write_curve", down_at_first)
    monkeypatch.setattr("components.store.errors.OUTAGE_PAUSE", 0.0)
    reports: list[TrialReport] = []
    assert trained(context, plain(), reports.append) and not outage
    assert [report.judged for report in reports] == [1, 2, 3, 4]


def test_a_trial_that_begins_or_ends_during_an_outage_waits(
    context: TrialContext, with_digits: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage: list[str] = []

    def down_at_first(name: str, call: Any) -> Any:
        def answer(*arguments: Any, **options: Any) -> Any:
            if name not in outage:
                outage.append(name)
                raise Unreachable("down")
            return call(*arguments, **options)

        return answer

    monkeypatch.setattr("components.store.errors.OUTAGE_PAUSE", 0.0)
    monkeypatch.setattr(trial, "read_failure", down_at_first("failure", trial.read_failure))
    monkeypatch.setattr(trial.cache, "finished", down_at_first("finished", trial.cache.finished))
    monkeypatch.setattr(trial, "complete_curve", down_at_first("begin", trial.complete_curve))
    monkeypatch.setattr(trial.cache, "inventory", down_at_first("end", trial.cache.inventory))
    reports: list[TrialReport] = []
    assert trained(context, plain(), reports.append)
    assert [report.judged for report in reports] == [1, 2, 3, 4]
    assert outage == ["failure", "finished", "begin", "end"]


def test_trials_of_a_population_keep_what_others_may_go_on_from(
    context: TrialContext, with_digits: Store
) -> None:
    ids = []
    for lr, checkpoints in ((2e-4, 4), (1e-4, 2)):
        reports: list[TrialReport] = []
        with pytest.raises(Stopped):
            trained(changed(context, checkpoints=checkpoints), plain(lr), stop_at(4, reports))
        ids.append(checkpoint.checkpoint_ids(with_digits.child(reports[-1].uri)))
    assert ids[0] == [(1, 3), (1, 6), (1, 9), (1, 12)] and (1, 3) not in ids[1]


def test_values_that_do_not_go_together_are_a_failure(context: TrialContext) -> None:
    values = {"lr": 2e-4, "gradient_penalty": 10.0}  # with BatchNorm in D
    with pytest.raises(InputError, match="BatchNorm"):
        trained(context, [ScheduleEntry(step=0, values=values)], lambda one: None)


def test_samples_that_are_not_diverse_rank_behind_all_that_are(context: TrialContext) -> None:
    context = replace(context, diversity=0.5)
    assert score_of(context, 0.1, 0.4) > score_of(context, 1000.0, 0.6)
    assert score_of(context, 0.1, 0.4) < score_of(context, 0.2, 0.4) < score_of(context, float("nan"), 0.9)


def test_drawing_with_other_settings_trains_nothing(
    context: TrialContext, with_digits: Store, monkeypatch: Any
) -> None:
    own = catalogue.config_of("diffusion", {"width": 16, "sampler_steps": 4})
    base = replace(changed(context, family="diffusion", config=own), judgements=1)
    done = trained(base, [ScheduleEntry(step=0, values={})], lambda one: None)
    assert done is not None
    monkeypatch.setattr(trial, "fit", lambda *_, **__: pytest.fail("trained"))
    reports: list[TrialReport] = []
    drawing = replace(base, model=f"{done.uri}/model")
    for _ in range(2):
        sampled(drawing, {"sampler_steps": 2, "sampler": "ddim"}, reports.append)
    assert reports[0] == reports[1] and reports[0].judged == 1 and reports[0].cost > 0
    with pytest.raises(InputError, match="sampler"):
        sampled(drawing, {"sampler": "magic"}, reports.append)


def test_a_finalist_is_judged_by_other_samples_on_every_seed(
    context: TrialContext, with_digits: Store
) -> None:
    repeats = [Repeat(context, tuple(plain()), seed, 100, "finals") for seed in (0, 1)]
    made = [retrained(job) for job in repeats]
    result = [rescored(job, how) for job, how in zip(repeats, made, strict=True)]
    assert [one.seed for one in result] == [0, 1] and result[0].value != result[1].value
    assert all(one.n == 100 and one.cost > 0 for one in result)
    assert [rescored(job, how) for job, how in zip(repeats, made, strict=True)] == result
    assert len({job.part for job in [*repeats, replace(repeats[0], schedule=tuple(plain(1e-3)))]}) == 3


def test_what_went_wrong_with_a_finalist_is_told_and_not_kept(
    context: TrialContext, with_digits: Store, monkeypatch: Any
) -> None:
    job = Repeat(context, tuple(plain(1e30)), 0, 100, "finals")
    failed = rescored(job, retrained(job))
    assert failed.value is None and "nan" in (failed.reason or "").lower()

    def full(*_: object) -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr(repeat, "sample", full)
    assert rescored(job, Retrained(model="any")).reason == "the disk is full"
    assert not with_digits.list("finals")


def test_a_metric_that_the_family_does_not_have_is_refused(context: TrialContext) -> None:
    assert trial.metric_of(replace(context, metric="auto")) == "kid"  # too few samples for a Frechet distance
    with pytest.raises(InputError, match="mse needs target images, which dcgan"):
        trial.metric_of(replace(context, metric="mse"))
