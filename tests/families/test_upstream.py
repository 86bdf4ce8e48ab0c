"""Families that build on trained models: what is planned, trained first, kept, refused and exported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from components.common.chunks import ranges
from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.batches import Batches
from components.data.card import DataCard
from components.data.dataset import Shards, open_shards, open_split, to_float
from components.families import artifact, catalogue
from components.families.resolve import resolved, with_upstream
from components.pipeline import evaluate, latents, train
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.records.run import RunManifest, StageEntry
from components.report import build_run
from components.sampling import generate
from components.store import Store
from components.training import job, request
from components.training.latents import Encode, encode
from components.training.validation import held_out
from flows import pipeline
from flows.views import after
from tests import tiny
from tests.stage_specs import specs
from tests.stages.test_cache import changed

BELOW, ABOVE = "kl_vae", "latent_diffusion"
DATA = DataCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)  # fmt: skip


def experiment(families: dict[str, Any], **others: Any) -> Experiment:
    return resolved(Experiment(families=families, **others), "cpu", "float32")


def keys(families: dict[str, Any], **others: Any) -> dict[str, str]:
    return {spec.title: spec.key for spec in specs(Plan(experiment(families, **others), "0.dir", DATA))}


# What is planned


def test_what_a_family_builds_on_is_added_before_it() -> None:
    made = experiment({"vae": {}, ABOVE: {}}, train={"steps": 7})
    assert list(made.families) == ["vae", BELOW, ABOVE]
    assert made.families[BELOW]["factor"] == 4 and made.training(BELOW).steps == 7


def test_its_own_block_counts_wherever_it_stands() -> None:
    made = experiment({ABOVE: {}, BELOW: {"factor": 2}})
    assert list(made.families) == [BELOW, ABOVE] and made.families[BELOW]["factor"] == 2


def test_only_keeps_what_is_built_on() -> None:
    whole = Experiment(families={"vae": {}, ABOVE: {}, BELOW: {"factor": 2}})
    assert with_upstream(whole, [ABOVE]).families == {BELOW: {"factor": 2}, ABOVE: {}}
    assert list(with_upstream(whole, ["vae"]).families) == ["vae"]


def test_it_builds_on_whichever_there_is() -> None:
    codes = Experiment(families={ABOVE: {}, "vqvae": {}})
    assert list(with_upstream(codes, [ABOVE]).families) == ["vqvae", ABOVE]
    plan = Plan(experiment({ABOVE: {}, "vqvae": {}}), "0.dir", DATA)
    assert after(train.spec(plan, ABOVE)) == after(latents.spec(plan, ABOVE)) == ["vqvae"]
    assert (
        list(with_upstream(Experiment(families={ABOVE: {}, "vqvae": {}, BELOW: {}}), [ABOVE]).families)[0]
        == BELOW
    )


def test_a_change_below_redoes_what_is_built_on_it() -> None:
    families: dict[str, Any] = {"vae": {}, BELOW: {}, ABOVE: {}}
    before = keys(families)
    assert "latents latent_diffusion" in before
    redone = changed(before, keys({**families, BELOW: {"lr": 0.5}}))
    assert {f"train {BELOW}", f"latents {ABOVE}", f"train {ABOVE}", f"evaluate {ABOVE}"} <= redone
    assert not {"train vae", "evaluate vae", "prepare"} & redone
    redone = changed(before, keys({**families, ABOVE: {"lr": 0.5}}))
    assert f"train {ABOVE}" in redone and not {f"train {BELOW}", f"latents {ABOVE}"} & redone


def test_mirrored_images_have_no_kept_latents() -> None:
    plan = Plan(experiment({ABOVE: {}}, data={"flips": True}), "0.dir", DATA)
    assert "latents latent_diffusion" not in {spec.title for spec in specs(plan)}
    assert set(train.spec(plan, ABOVE).upstream) == {"prepare", "extractor", "reference", f"train/{BELOW}"}


def test_the_plan_and_the_record_say_what_is_built_on() -> None:
    plan = Plan(experiment({ABOVE: {}}), "0.dir", DATA)
    assert after(train.spec(plan, ABOVE)) == after(latents.spec(plan, ABOVE)) == [BELOW]
    assert after(train.spec(plan, BELOW)) == after(evaluate.spec(plan, ABOVE)) == []
    entries = [
        StageEntry(name=s.stage, family=s.family, key=s.key, upstream=sorted(s.upstream.values()))
        for s in specs(plan)
    ]
    run = RunManifest(run_id="r", stages=entries)
    said = {(entry.name, entry.family): run.builds_on(entry) for entry in entries}
    assert said.pop(("latents", ABOVE)) == said.pop(("train", ABOVE)) == [BELOW]
    assert not any(said.values())


# What is run


class Run:
    """A run whose stages end as soon as they begin, but for a training that fails."""

    def __init__(self, fails: str = "") -> None:
        self.run_id, self.fails = "r", fails
        self.plan = Plan(experiment({"vae": {}, ABOVE: {}}), "0.dir", DATA)
        self.refused: dict[str, str] = {}
        self.began: list[str] = []
        self.results: dict[str, Any] = dict.fromkeys(("prepare", "extractor", "reference"))

    def refuse(self, family: str, sentence: str) -> None:
        self.refused[family] = sentence


class Future:
    """The outcome of a stage."""

    def __init__(self, completed: bool):
        self.state = SimpleNamespace(is_completed=lambda: completed)

    def wait(self) -> None:
        """It is over."""


@pytest.fixture
def family_stages(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Runs the stages of all families of a run."""

    def submit(run: Run, stage: str, family: str) -> Future:
        run.began.append(f"{stage}/{family}")
        if fine := f"{stage}/{family}" != run.fails:
            run.results[f"{stage}/{family}"] = None
        return Future(fine)

    def run_all(run: Run) -> None:
        tasks = {
            stage.name: SimpleNamespace(
                submit=lambda _, family, inputs, stage=stage.name: submit(run, stage, family)
            )
            for stage in STAGES
        }
        monkeypatch.setattr(pipeline, "TASKS", tasks)
        monkeypatch.setattr(pipeline, "as_completed", iter)
        pipeline.run_family_stages(run, list(run.plan.experiment.families))  # type: ignore[arg-type]

    return run_all


def test_a_family_waits_for_what_it_builds_on_and_others_do_not(family_stages: Any) -> None:
    run = Run()
    family_stages(run)
    began = run.began.index
    assert began("train/vae") < began(f"latents/{ABOVE}") and began(f"train/{BELOW}") < began(
        f"latents/{ABOVE}"
    )
    assert began(f"latents/{ABOVE}") < began(f"train/{ABOVE}") < began(f"evaluate/{ABOVE}")
    assert len(set(run.began)) == len(run.began) and f"export/{ABOVE}" in run.results and not run.refused


def test_a_failure_below_is_one_sentence_above(family_stages: Any) -> None:
    run = Run(fails=f"train/{BELOW}")
    family_stages(run)
    assert run.refused == {ABOVE: f"it builds on {BELOW}, which could not be trained"}
    assert not [name for name in run.began if name.endswith(ABOVE)] and f"evaluate/{BELOW}" not in run.began
    assert "export/vae" in run.results


# What is trained, kept and exported


def settings() -> dict[str, Any]:
    return tiny.settings(steps=4, judge_samples=0, sample_images=10).model_dump()


def fit(store: Store, family: str, **others: Any) -> None:
    config = catalogue.config_of(family, tiny.CONFIGS[family])
    job.fit(request.Fit(family, config, settings(), "data", family, store.url, **others))


@pytest.fixture(scope="module")
def store(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with data, a trained autoencoder, the images as it encodes them, and what builds on it."""
    store = Store(str(tmp_path_factory.mktemp("upstream")))
    shutil.copytree(digits, store.path("data"))
    fit(store, BELOW)
    for split in ("train", "validation"):
        n = len(open_split(digits, split))
        for number, (start, length) in enumerate(ranges(n, 1024)):
            encode(Encode(store.url, "data", f"{BELOW}/model", "latents", split, number, start, length))
    fit(store, ABOVE, upstream={"autoencoder": f"{BELOW}/model"}, latents="latents")
    return store


def test_kept_latents_are_what_the_model_makes_of_the_images(store: Store) -> None:
    generator, card, _ = artifact.load_model(store.path(f"{BELOW}/model"))
    for split in ("train", "validation"):
        images, kept = (
            open_split(Path(store.path("data")), split).images,
            open_shards(Path(store.path(f"latents/{split}")), "latents"),
        )
        assert kept.shape == (len(images), 2, 2, 4, 4) and kept[:1].dtype == np.float16
        rows = np.array([0, 5, len(images) - 1])
        with torch.no_grad():
            expected = torch.stack(generator.encode(to_float(images[rows])), 1)
        torch.testing.assert_close(torch.from_numpy(kept[rows]).float(), expected, rtol=2e-3, atol=2e-3)


def test_kept_latents_do_not_depend_on_how_they_are_shared_out(store: Store) -> None:
    whole = open_shards(Path(store.path("latents/validation")), "latents")[:]
    for number, (start, n) in enumerate(ranges(len(whole), 64)):
        encode(Encode(store.url, "data", f"{BELOW}/model", "again", "validation", number, start, n))
    np.testing.assert_array_equal(open_shards(Path(store.path("again/validation")), "latents")[:], whole)


def test_an_exported_model_needs_its_own_folder_alone(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path(f"{ABOVE}/model"), tmp_path / "alone")
    generator, card, described = artifact.load_model(tmp_path / "alone")
    assert described["upstream"]["autoencoder"]["family"] == BELOW
    below, _, _ = artifact.load_model(store.path(f"{BELOW}/model"))
    state = generator.state_dict()
    assert all(torch.equal(state[f"autoencoder.{name}"], value) for name, value in below.state_dict().items())
    images = generate.draw(generator, card, n=3, seed=0, labels=np.arange(3))
    assert images.shape == (3, *tiny.CARD.shape)


def test_batches_carry_the_latents_of_their_images(store: Store) -> None:
    plain = tiny.split()
    kept = np.random.default_rng(0).normal(size=(len(plain), 2, 2, 4, 4)).astype(np.float16)
    split = replace(plain, latents=Shards([kept]))
    batches = Batches(split, 8, seed=3)
    rows = batches.index(batches.positions(11, 1, 2))
    found = batches.at(11, 1, 2)
    torch.testing.assert_close(found.latent, torch.from_numpy(kept[rows]).float(), rtol=0, atol=0)
    assert Batches(plain, 8, 3).at(0).latent is None
    torch.testing.assert_close(held_out(split, 8)[2].latent, torch.from_numpy(kept[16:24]).float())
    with pytest.raises(AssertionError, match="as they are"):
        Batches(split, 8, 3, flips=True)


def test_without_what_it_builds_on_a_family_is_refused() -> None:
    with pytest.raises(InputError, match=f"families.{ABOVE}: it builds on a trained {BELOW}"):
        catalogue.build(ABOVE, {}, tiny.CARD)


def test_the_page_names_what_a_stage_builds_on(tmp_path: Path) -> None:
    stages = [
        {"name": "train", "family": BELOW, "key": "k1", "uri": "store/train/k1", "upstream": []},
        {"name": "train", "family": ABOVE, "key": "k2", "uri": "store/train/k2", "upstream": ["k1"]},
    ]
    store = Store(str(tmp_path))
    store.write_json("runs/r/run.json", {"run_id": "r", "status": "running", "stages": stages})
    page = store.read_text(build_run(store, "r"))
    assert page.count(f"<td>{BELOW}</td>") == 2, "its own line, and the one of what builds on it"
