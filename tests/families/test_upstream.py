"""Families that build on trained models: what is planned, trained first, kept, refused and exported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.common.chunks import ranges
from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DataCard
from components.data.dataset import Batches, Shards, open_shards, open_split, to_float
from components.families import artifact, catalogue
from components.families.resolve import resolved, with_upstream
from components.pipeline.plan import Plan
from components.report import build_run
from components.report.data import builds_on
from components.sampling import generate
from components.store import Store
from components.training import job, request
from components.training.latents import Encode, encode
from components.training.validation import held_out
from flows import pipeline
from flows.start import after
from tests import tiny
from tests.stages.test_cache import changed

BELOW, ABOVE = "kl_vae", "latent_diffusion"
DATA = DataCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)  # fmt: skip


def experiment(families: dict[str, Any], **others: Any) -> Experiment:
    return resolved(Experiment(families=families, **others), "cpu", "float32")


def keys(families: dict[str, Any], **others: Any) -> dict[str, str]:
    return {spec.title: spec.key for spec in Plan(experiment(families, **others), "0.dir", DATA).known()}


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
    assert after(plan.train(ABOVE)) == after(plan.latents(ABOVE)) == ["vqvae"]
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
    assert "latents latent_diffusion" not in {spec.title for spec in plan.known()}
    assert set(plan.train(ABOVE).upstream) == {"prepare", "extractor", "reference", f"train/{BELOW}"}


def test_the_plan_and_the_record_say_what_is_built_on() -> None:
    plan = Plan(experiment({ABOVE: {}}), "0.dir", DATA)
    assert after(plan.train(ABOVE)) == after(plan.latents(ABOVE)) == [BELOW]
    assert after(plan.train(BELOW)) == after(plan.evaluate(ABOVE)) == []
    entries = [
        {"name": s.stage, "family": s.family, "key": s.key, "upstream": sorted(s.upstream.values())}
        for s in plan.known()
    ]
    said = {(e["name"], e["family"]): builds_on(e, entries) for e in entries}
    assert said.pop(("latents", ABOVE)) == said.pop(("train", ABOVE)) == [BELOW]
    assert not any(said.values())


# What is run


class Run:
    """A run whose trainings are named when they begin."""

    def __init__(self) -> None:
        self.plan = Plan(experiment({"vae": {}, ABOVE: {}}), "0.dir", DATA)
        self.refused: dict[str, str] = {}

    def refuse(self, family: str, sentence: str) -> None:
        self.refused[family] = sentence


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    seen: list[tuple[str, dict[str, Any]]] = []

    def train(run: Any, family: str, basis: Any, models: dict[str, Any]) -> str:
        seen.append((family, models))
        return f"training {family}"

    monkeypatch.setattr(pipeline, "train", train)
    return seen


def test_a_family_waits_for_what_it_builds_on_and_others_do_not(begun: list[Any]) -> None:
    run: Any = Run()
    waiting, trained, lost = list(run.plan.experiment.families), {}, set[str]()
    assert set(pipeline.begun(run, None, waiting, trained, lost).values()) == {"vae", BELOW}
    trained["vae"] = "done vae"
    assert not pipeline.begun(run, None, waiting, trained, lost)
    trained[BELOW] = "done below"
    assert set(pipeline.begun(run, None, waiting, trained, lost).values()) == {ABOVE}
    assert begun[-1] == (ABOVE, {"autoencoder": "done below"}) and not waiting


def test_a_failure_below_is_one_sentence_above(begun: list[Any]) -> None:
    run: Any = Run()
    waiting = list(run.plan.experiment.families)
    trainings = pipeline.begun(run, None, waiting, {}, {BELOW})
    assert run.refused == {ABOVE: f"it builds on {BELOW}, which could not be trained"}
    assert ABOVE not in trainings.values() and ABOVE not in waiting


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
