"""Studies: settings of sampling compared on the same weights and seeds, cached and resumed like any stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from components.analysis import ablation
from components.common.errors import InputError
from components.common.memory import LastValue
from components.config.evaluate import Evaluate
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.families import artifact, catalogue
from components.pipeline import ablation as stage
from components.pipeline.plan import Plan
from components.sampling import generate, sheets
from components.stages import cache
from components.stages.cache import Done
from components.store import Store
from components.training import request
from models.data_spec import DataSpec
from models.family import Batch, Config, Family, Generator, Noise, Study
from models.registry import FAMILIES
from tests.stage_specs import specs

pytestmark = pytest.mark.slow

N, VARIANTS = 16, ("one 1", "one 4", "two 4")


class ToyConfig(Config):
    """One setting of training, two of sampling."""

    width: int = 1
    divisor: int = Field(1, ge=1)
    sign: int = 1


class ToyGenerator(Generator):
    """Noise, the darker the more it is divided."""

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config, self.weight = config, nn.Parameter(torch.ones(1))

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        assert batch.label is not None
        return self.weight * self.config.sign * noise(1, 8, 8).tanh() / self.config.divisor

    def trajectory(self, batch: Batch, noise: Noise, frames: int) -> Tensor:
        end = self.sample(batch, noise)
        return torch.stack([end * (i + 1) / frames for i in range(frames)])

    def noised(self, image: Tensor, noise: Noise, frames: int) -> Tensor:
        eps = noise(*image.shape[1:]).clamp(-1, 1)
        return torch.stack([torch.lerp(image, eps, i / (frames - 1)) for i in range(frames)])


class Toy(Family):
    """A family that can be studied."""

    __module__ = "models.family"  # whose code enters the keys
    Config = ToyConfig
    takes = frozenset({"label"})
    paper = "none"

    def __init__(self, config: ToyConfig, card: DataSpec, upstream: Any = None):
        super().__init__(config, card, upstream)
        self.generator, self.phases = ToyGenerator(config), ()

    @classmethod
    def studies(cls, config: ToyConfig, card: DataSpec) -> Sequence[Study]:
        settings = ({"divisor": 1}, {"divisor": 4}, {"divisor": 4, "sign": -1})
        return [Study("divisor", "Quality against the divisor", dict(zip(VARIANTS, settings, strict=True)))]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", Toy)


@pytest.fixture
def store(with_digits: Store) -> Store:
    """A store with data, reference, extractor and a trained toy."""
    store, card = with_digits, DataSpec(1, 8, 10)
    job = request.TrainRequest("toy", catalogue.config_of("toy", {}), {}, "data", "", store)
    artifact.save_model(
        store, "trained/model", job.family, job.config, Toy(ToyConfig(), card).generator, card, None
    )
    return store


def plan(store: Store, families: Sequence[str] = ("toy", "vae"), **evaluate: Any) -> Plan:
    settings = Evaluate(**({"ablation_samples": N} | evaluate))
    blocks: dict[str, Any] = {family: {"train": {}} for family in families}
    experiment = Experiment(device="cpu", families=blocks, evaluate=settings)
    return Plan(experiment, "0123.dir", DatasetCard.read(store.path("prepared/data")))


def done(uri: str) -> Done:
    fields = dict.fromkeys(Done.__dataclass_fields__)
    return Done(**(fields | {"uri": uri, "key": uri}))


def study(store: Store, made: Plan) -> Done:
    """The stage, as the flow runs it."""
    names = {
        "prepare": "prepared",
        "extractor": "reference",
        "reference": "reference",
        "train/toy": "trained",
    }
    results = {name: done(uri) for name, uri in names.items()}
    return stage.STAGE.result(store, made, stage.spec(made, "toy"), results, "a")


@pytest.fixture
def ablation_run(store: Store, here: list[Any]) -> Iterator[tuple[Done, dict[str, Any]]]:
    made = study(store, plan(store))
    yield made, cache.read(store, made)["studied"]


def row(store: Store, made: Done, name: str) -> np.ndarray:
    return sheets.decode_webp(store.read_bytes(f"{made.uri}/{name}"), 1)


def test_variants_are_judged_on_the_same_seeds(store: Store, ablation_run: Any, here: list[Any]) -> None:
    made, result = ablation_run
    assert [name for name, _ in here] == [
        "real_baselines",
        *["evaluate_variant"] * 3,
        "save_trajectories",
    ] and result["n"] == N
    (one,) = result["studies"]
    assert [v["name"] for v in one["variants"]] == list(VARIANTS)
    assert one["variants"][2]["change"] == {"divisor": 4, "sign": -1}
    for variant in one["variants"]:
        metrics = variant["metrics"]
        assert {"frechet_distance", "kid", "conditional_accuracy"} <= set(metrics)
        assert "cas" not in metrics, "it would train a network for every variant"
        assert all(metric["n"] == N for metric in metrics.values()) and variant["seconds_per_image"] > 0
    floors = {v["metrics"]["frechet_distance"]["real_baseline"] for v in one["variants"]}
    assert len(floors) == 1 and floors.pop() > 0
    first, quarter, inverted = (row(store, made, v["sheet"]).astype(float) - 127.5 for v in one["variants"])
    assert first.shape == (8, 80, 1), "ten seeds side by side"
    np.testing.assert_allclose(first / 4, quarter, atol=1)
    np.testing.assert_allclose(quarter, -inverted, atol=1)


def test_numbers_are_those_of_any_judgement(store: Store, ablation_run: Any, digits_ref: Any) -> None:
    from components.evaluation.evaluate import evaluate_samples
    from components.evaluation.reference import EvaluationSample

    generator, card, _ = artifact.load_model(store.path("trained/model"))
    counts = DatasetCard.read(store.path("prepared/data")).label_counts["train"]
    images = generate.draw(generator, card, n=N, seed=1_000_000, batch=N, labels="data", counts=counts)
    labels = generate.labels_for(range(N), counts, 1_000_000)
    expected = evaluate_samples(EvaluationSample(digits_ref.extractor(images), labels), digits_ref)
    assert ablation_run[1]["studies"][0]["variants"][0]["metrics"] == {
        name: metric.to_json() for name, metric in expected.items()
    }


def test_the_way_is_shown(store: Store, ablation_run: Any, digits: Any) -> None:
    made, result = ablation_run
    assert result["ways"]["reverse"] == {"path": "reverse.webp", "rows": 6, "columns": 10}
    assert result["ways"]["forward"] == {"path": "forward.webp", "rows": 4, "columns": 10}
    way = sheets.ungrid(row(store, made, "reverse.webp"), 8).reshape(6, 10, 1, 8, 8)
    samples = sheets.ungrid(row(store, made, result["studies"][0]["variants"][0]["sheet"]), 8)
    np.testing.assert_array_equal(way[:, -1], samples[:6])
    way = sheets.ungrid(row(store, made, "forward.webp"), 8).reshape(4, 10, 1, 8, 8)
    np.testing.assert_array_equal(way[:, 0], open_split(digits, "test").images[np.arange(4)])


def test_variants_share_a_model_and_change_it_for_themselves(
    store: Store, here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, open_model = LastValue[Any](), Mock(wraps=ablation.open_model)
    monkeypatch.setattr(ablation, "OPENED", newest)
    monkeypatch.setattr(ablation, "open_model", open_model)
    study(store, plan(store))
    assert open_model.call_count == 2, "once for the variants, and once for the trajectories"
    assert newest.entry and newest.entry[1][0].config == ToyConfig(), "no change stays with the model"


def test_done_once_then_cached(store: Store, ablation_run: Any, here: list[Any]) -> None:
    here.clear()
    again = study(store, plan(store))
    assert again.state == "cached" and here == [] and not store.exists(f"{again.uri}/parts")


def test_an_interrupted_study_goes_on(store: Store, here: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = generate.draw

    def interrupted(generator: Any, *arguments: Any, **settings: Any) -> np.ndarray:
        drawn.append(settings["n"])
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(generator, *arguments, **settings)

    monkeypatch.setattr(generate, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(store, plan(store))
    assert study(store, plan(store)).state == "ran"
    assert drawn == [N, N, N, N, ablation.SEEDS], "the first variant is not drawn twice"


def test_what_a_study_depends_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = stage.spec(plan(store), "toy").key
    assert stage.spec(plan(store), "toy").key == key
    assert stage.spec(plan(store, ablation_samples=32), "toy").key != key
    assert stage.spec(plan(store, seed=3), "toy").key != key
    assert stage.spec(plan(store, classifier_steps=9), "toy").key != key, "through the reference"
    monkeypatch.setattr(Toy, "studies", lambda *_: [Study("x", "X", {"1": {}})])
    assert stage.spec(plan(store), "toy").key != key


def test_only_families_with_studies_have_the_stage(store: Store) -> None:
    def titles(p: Plan) -> list[str]:
        return [spec.title for spec in specs(p) if spec.stage == "ablation"]

    assert titles(plan(store)) == ["ablation toy"] and stage.families(plan(store)) == ["toy"]
    assert titles(plan(store, families=["vae"])) == titles(plan(store, ablation_samples=0)) == []
    keys = [{s.title: s.key for s in specs(plan(store, ablation_samples=n))} for n in (N, 32)]
    assert {title for title in keys[0] if keys[0][title] != keys[1][title]} == {
        "ablation toy",
        "report",
        "publish",
    }


def test_a_setting_that_does_not_exist_is_named() -> None:
    for change, word in (({"steps": 3}, "steps"), ({"divisor": 0}, "divisor=0")):
        with pytest.raises(InputError, match=f"families.toy.{word}|{word}"):
            ablation.changed(ToyGenerator(ToyConfig()), change, "toy")


def test_too_few_images_for_a_study_are_refused() -> None:
    with pytest.raises(ValueError, match="ablation_samples=7"):
        Evaluate(ablation_samples=7)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "toy"])
def test_every_variant_of_every_family_is_accepted(family: str) -> None:
    own = FAMILIES[family].Config()
    for each in FAMILIES[family].studies(own, DataSpec(1, 28, 10)):
        assert each.name.isidentifier() and each.title
        for change in each.variants.values():
            type(own)(**(own.model_dump() | dict(change)))
