"""The stage that judges results, on stored ones: nothing is trained or sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.cluster import ray_cluster
from components.config.gate import Gate
from components.evaluation import comparability
from components.families.catalogue import config_of
from components.pipeline import champion as champion_stage
from components.pipeline import evaluate, gate, train
from components.pipeline.export import spec as export_spec
from components.pipeline.plan import Plan
from components.records.evaluation import Evaluation, MetricResult, Metrics
from components.records.gate import Champion, Judgement, Reproduction
from components.records.health import HealthEvent, TrainingHealth
from components.records.stages import EvaluateResult, ExportResult, GateResult, TrainResult
from components.records.training import TrainingResult
from components.registry import champions
from components.registry.decisions import reject, rollback
from components.stages import cache
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store
from tests.pipeline.test_anomaly_models import CARD, plan
from tests.registry.judged import run as judged_run

OF = ("x", "generate")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, and a cluster on which each exported model draws its samples again."""
    monkeypatch.setattr(ray_cluster, "call", lambda *_, **__: Reproduction(images=20, difference=0.0))
    return Store(str(tmp_path / "store"))


def metrics(distance: float, version: str = "0123.dir", half: float | None = 0.05) -> Metrics:
    values = {"frechet_distance": distance, "kid": distance / 100, "precision": 0.8, "recall": 0.8}
    result = {}
    for name, value in (values | {"memorization_rate": 0.01}).items():
        recipe = {"metric": name, "data_set": "x", "data": version, "n": 1000}
        ends = {} if half is None else {"low": value - half, "high": value + half}
        better = "higher" if name in ("precision", "recall") else "lower"
        result[name] = MetricResult(
            value=value, better=better, recipe=recipe, comparability=comparability.key(recipe), **ends
        )
    return result


class Run:
    """A run whose families have been trained, evaluated and exported."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        distances: Mapping[str, float],
        *,
        version: str = "0123.dir",
        seed: int = 0,
        half: float | None = 0.05,
        events: tuple[HealthEvent, ...] = (),
        **settings: Any,
    ):
        self.store, self.run_id = store, run_id
        made = plan(store, {family: {} for family in distances}, seed=seed, steps=len(run_id))
        experiment = made.experiment.model_copy(update={"gate": Gate(**settings)})
        self.plan: Plan = replace(made, experiment=experiment, version=version)
        self.results: dict[str, Done] = {}
        self.made(Spec("prepare", {"of": version}, {}), {})
        self.made(Spec("reference", {"of": version}, {}), {})
        for family, distance in distances.items():
            trained = TrainingResult(health=TrainingHealth(events=list(events)))
            evaluated = Evaluation(metrics=metrics(distance, version, half))
            self.made(train.spec(self.plan, family), TrainResult(trained=trained).to_json())
            self.made(evaluate.spec(self.plan, family), EvaluateResult(evaluated=evaluated).to_json())
            self.made(
                export_spec(self.plan, family), ExportResult(exported=family).to_json(), self.model(family)
            )

    def model(self, family: str) -> dict[str, Any]:
        card = CARD.card.to_json()
        config = {"family": family, "config": config_of(family, {}), "card": card}
        return {"model.safetensors": f"{self.run_id}/{family}".encode(), "config.json": config}

    def made(self, spec: Spec, result: Mapping[str, Any], files: Mapping[str, Any] | None = None) -> None:
        def body(attempt: Store, number: int) -> Mapping[str, Any]:
            for name, content in (files or {}).items():
                if isinstance(content, bytes):
                    attempt.write_bytes(name, content)
                else:
                    attempt.write_json(name, content)
            return result

        self.results[spec.name] = cache.run(self.store, spec, body, run_id=self.run_id)

    @property
    def spec(self) -> Spec:
        return gate.spec(self.plan, {name: done.key for name, done in self.results.items()}, {})

    def gated(self, state: str = "ran") -> dict[str, Judgement]:
        """What the gate makes of it, by family, best first."""
        done = gate.STAGE.result(self.store, self.plan, self.spec, self.results, self.run_id)
        assert done.state == state
        result = GateResult.model_validate(cache.read(self.store, done))
        return {judgement.model.family: judgement for judgement in result.judgements}


def champion(store: Store) -> Champion:
    now = champions.current(store, *OF)
    assert now is not None
    return now


def test_the_first_champion_is_the_first_runs_best(store: Store) -> None:
    first = Run(store, "r1", {"vae": 5.0, "gan": 3.0, "autoencoder": 4.0})
    judged = first.gated()
    assert {family: j.word for family, j in judged.items()} == {
        "gan": "BLESSED",
        "vae": "NOT BLESSED",
        "autoencoder": "BLESSED",  # it has a task of its own
    }
    assert champion(store).model.address == "r1/gan" and judged["gan"].number == 1
    assert "against 3 of champion 1 (r1/gan): 2 worse" in judged["vae"].failed[0]
    assert store.read_json("registry/x/generate/champion.json")["family"] == "gan"
    assert champion(store).who == "the gate of run r1" and "Fréchet distance 3" in champion(store).why
    assert first.gated("cached") == judged and len(champions.history(store, *OF)) == 1


def test_only_a_better_result_replaces_the_champion(store: Store) -> None:
    Run(store, "r1", {"gan": 3.0}).gated()
    within = Run(store, "r2.", {"gan": 2.95}).gated()["gan"]
    assert within.word == "NOT BLESSED" and within.champion == 1 and champion(store).number == 1
    better = Run(store, "r3..", {"gan": 2.0}).gated()["gan"]
    assert better.word == "BLESSED" and better.number == 2 and better.against == "r1/gan"
    assert champion(store).judgement == better
    assert champion(store).judgement.metrics["kid"].value == 0.02, "the numbers it was decided on"


def test_a_result_that_waits_holds_nothing(store: Store) -> None:
    run = Run(store, "r1", {"gan": 3.0}, review="manual", review_days=2)
    judged = run.gated()["gan"]
    assert judged.word == "PENDING" and judged.expires and not judged.has_expired
    assert champions.current(store, *OF) is None and champions.waiting(store, *OF) == [judged]
    assert Run(store, "r2.", {"gan": 4.0}).gated()["gan"].number == 1, "others go on"


def test_a_run_that_only_judges_promotes_nothing(store: Store) -> None:
    assert Run(store, "r1", {"gan": 3.0}, review="never").gated()["gan"].word == "BLESSED"
    assert champions.series(store) == []


def test_a_gate_that_was_cut_off_promotes_once(store: Store) -> None:
    run = Run(store, "r1", {"gan": 3.0, "vae": 4.0})
    before = run.gated()
    store.delete(f"{run.spec.uri}/_SUCCESS")
    store.delete("registry/x/generate/champion.json")
    again = run.gated()
    assert again["gan"].number == before["gan"].number == 1 and again["vae"].word == "NOT BLESSED"
    assert len(champions.history(store, *OF)) == 1 and store.exists("registry/x/generate/champion.json")


def test_a_faster_promotion_is_met_as_the_champion(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    append, raced = champions.append, []

    def overtaken(store: Store, entry: Champion) -> Champion:
        if not raced:
            raced.append(True)
            other = Run(store, "r2.", {"gan": 2.0}, review="never").gated()["gan"]
            append(store, Champion(number=1, judgement=other, who="a", why="b", when="2026-05-01"))
        return append(store, entry)

    monkeypatch.setattr(champions, "append", overtaken)
    judged = Run(store, "r1", {"gan": 3.0}).gated()["gan"]
    assert judged.word == "NOT BLESSED" and judged.against == "r2./gan" and champion(store).number == 1


def test_what_people_decided_is_not_overruled(store: Store) -> None:
    first = Run(store, "r1", {"gan": 3.0})
    first.gated()
    better = Run(store, "r2.", {"gan": 2.0})
    better.gated()
    rollback(store, *OF, "2 copies faces")
    store.delete(f"{better.spec.uri}/_SUCCESS")
    again = better.gated()["gan"]
    assert again.word == "NOT BLESSED" and "rolled back by" in again.failed[0]
    third = Run(store, "r3..", {"gan": 1.0}, review="manual")
    reject(store, judged_run("r3..", third.gated()["gan"]), "gan", "too blurred")
    store.delete(f"{third.spec.uri}/_SUCCESS")
    assert "too blurred" in third.gated()["gan"].failed[0]


def test_an_export_has_a_verdict_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for result, words in (
        (Reproduction(error="config.json does not describe a model"), "it cannot be used: config.json"),
        (Reproduction(images=20, difference=9.0), "draws its 20 published samples differently: 9 of 255"),
    ):
        monkeypatch.setattr(ray_cluster, "call", lambda *_, result=result, **__: result)
        judged = Run(store, f"r{words}", {"gan": 3.0}).gated()["gan"]
        assert judged.quality.word == "BLESSED" and judged.export.word == judged.word == "NOT BLESSED"
        assert words in judged.failed[0]
    monkeypatch.setattr(ray_cluster, "call", lambda *_, **__: Reproduction(images=20, difference=0.2))
    judged = Run(store, "another", {"gan": 3.0}).gated()["gan"]
    assert judged.word == "BLESSED" and "0.2 of 255 levels apart" in judged.export.reasons[1].text


def test_an_unhealed_training_is_no_champion(store: Store) -> None:
    sick = HealthEvent(step=500, attempt=1, title="Mode collapse", action="observed")
    judged = Run(store, "r1", {"gan": 3.0}, events=(sick,)).gated()["gan"]
    assert judged.failed == ["diagnosed and not healed: mode collapse at step 500"]
    assert champions.current(store, *OF) is None


def test_several_seeds_of_one_training_widen_the_noise(store: Store) -> None:
    Run(store, "r1", {"gan": 3.0}).gated()
    for seed, distance in enumerate((2.0, 2.9)):
        judged = Run(store, "same", {"gan": distance}, seed=seed, review="never").gated()["gan"]
        assert judged.margin and judged.margin.seeds == seed + 1
    assert (
        judged.margin.noise and judged.margin.noise > 1 and "2 seeds here" in judged.quality.reasons[0].text
    )


def reevaluation(monkeypatch: pytest.MonkeyPatch, distance: float) -> list[str]:
    """Let a champion that is evaluated again have this distance; the models that are."""
    models: list[str] = []

    def again(context: Any, request: Any, model: str) -> Evaluation:
        models.append(model)
        assert context.attempt.exists("trained.json") and not request.published
        return Evaluation(metrics=metrics(distance, context.plan.version))

    monkeypatch.setattr(evaluate, "evaluate_weights", again)
    places = type("Places", (), {"reference": ""})()
    monkeypatch.setattr(champion_stage.Context, "places", lambda *_: places)
    return models


def test_a_champion_of_an_older_version_is_evaluated_again_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(store, "r1", {"gan": 3.0}).gated()
    models = reevaluation(monkeypatch, 1.0)
    for run_id in ("r2.", "r3.."):
        judged = Run(store, run_id, {"gan": 2.0}, version="4567.dir").gated()["gan"]
        assert judged.reevaluated == "different version of the data"
        assert judged.margin and judged.margin.champion == 1.0 and judged.word == "NOT BLESSED"
    assert models == [champion(store).model.folder], "the second time, it is cached"
    assert Run(store, "r4...", {"gan": 0.5}, version="4567.dir").gated()["gan"].number == 2


def test_a_champion_without_an_interval_is_evaluated_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was judged when its test split was too small for one, so that nothing could replace it."""
    Run(store, "r1", {"gan": 3.0}).gated()
    path = "registry/x/generate/champions/1.json"
    record = store.read_json(path)
    for metric in record["judgement"]["metrics"].values():
        metric["low"] = metric["high"] = None
    store.write_json(path, record)
    models = reevaluation(monkeypatch, 3.0)
    judged = Run(store, "r2.", {"gan": 2.0}).gated()["gan"]
    assert judged.number == 2 and (judged.reevaluated or "").startswith("no interval then")
    assert len(models) == 1


def test_a_champion_that_does_not_fit_the_data_is_named(store: Store) -> None:
    Run(store, "r1", {"gan": 3.0}).gated()
    later = Run(store, "r2.", {"gan": 1.0}, version="4567.dir")
    later.plan = replace(later.plan, card=CARD.model_copy(update={"resolution": 16}))
    judged = later.gated()["gan"]
    assert judged.word == "NOT BLESSED" and judged.reevaluated is None
    assert judged.failed[-1] == (
        "champion 1 (r1/gan) was made for images of 1 x 8 x 8, 2 classes, and the data has images of "
        "1 x 16 x 16, 2 classes now"
    )
    assert champion(store).number == 1, "nothing is lost"


@pytest.mark.s3
def test_champions_live_in_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "call", lambda *_, **__: Reproduction(images=20, difference=0.0))
    store = Store(f"s3://{bucket}/store")
    Run(store, "r1", {"gan": 3.0}).gated()
    better = Run(store, "r2.", {"gan": 2.0}).gated()["gan"]
    assert better.number == 2 and better.against == "r1/gan"
    consumed = store.read_json("registry/x/generate/champion.json")
    assert consumed["number"] == 2 and consumed["url"].startswith(f"{store.url}/store/export/")
    with pytest.raises(champions.Overtaken, match="another promotion was faster"):
        champions.append(store, champion(store).model_copy(update={"number": 2}))
    rollback(store, *OF, "2 copies faces")
    assert champion(store).model.address == "r1/gan" and champion(store).number == 3
    waits = Run(store, "r3..", {"gan": 1.0}, review="manual").gated()["gan"]
    assert champions.pending(store) == [waits]
