"""Families that build on trained models: what is planned, trained first, kept, refused and exported."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.families import catalogue
from components.families.resolve import resolved, with_upstream
from components.pipeline import evaluate, latents, train
from components.pipeline.graph import STAGES
from components.pipeline.plan import Plan
from components.records.run import RunManifest, StageEntry
from flows import pipeline
from flows.views import after
from tests import tiny
from tests.stage_specs import specs
from tests.stages.test_code_digest import changed

BELOW, ABOVE = "kl_vae", "latent_diffusion"
DATA = DatasetCard(
    name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
    labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
)  # fmt: skip


def experiment(families: dict[str, Any], **others: Any) -> Experiment:
    return resolved(Experiment(families=families, **others), "cpu", "float32")


def keys(families: dict[str, Any], **others: Any) -> dict[str, str]:
    return {spec.title: spec.key for spec in specs(Plan(experiment(families, **others), "0.dir", DATA))}


# What is planned


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


def test_the_gan_builds_on_the_psnr_oriented_network() -> None:
    gan = {"esrgan": {"perceptual_network": "efficientnet"}}
    before = keys(gan)
    redone = changed(before, keys({**gan, "rrdb": {"lr": 0.5}}))
    assert {"train rrdb", "evaluate rrdb", "train esrgan", "evaluate esrgan"} <= redone
    redone = changed(before, keys({"esrgan": {"perceptual_network": "vgg19"}}))
    assert "train esrgan" in redone and not {"train rrdb", "evaluate rrdb"} & redone


def test_mirrored_images_have_no_kept_latents() -> None:
    plan = Plan(experiment({ABOVE: {}}, data={"horizontal_flip": True}), "0.dir", DATA)
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
    upstream = {(entry.name, entry.family): run.builds_on(entry) for entry in entries}
    assert upstream.pop(("latents", ABOVE)) == upstream.pop(("train", ABOVE)) == [BELOW]
    assert not any(upstream.values())


# What is run


class Run:
    """A run whose stages end as soon as they begin, but for a training that fails."""

    def __init__(self, fails: str = "") -> None:
        self.run_id, self.fails = "r", fails
        self.plan = Plan(experiment({"vae": {}, ABOVE: {}}), "0.dir", DATA)
        self.refused: dict[str, str] = {}
        self.began: list[str] = []
        self.under_way = [0]  # the numbers of stages at once, from the begin to the end
        self.results: dict[str, Any] = dict.fromkeys(("prepare", "extractor", "reference"))

    def refuse(self, family: str, sentence: str) -> None:
        self.refused[family] = sentence


class Future:
    """The outcome of a stage."""

    def __init__(self, run: Run, completed: bool):
        self.run, self.state = run, SimpleNamespace(is_completed=lambda: completed)
        run.under_way.append(run.under_way[-1] + 1)

    def wait(self) -> None:
        """It is over."""
        self.run.under_way.append(self.run.under_way[-1] - 1)


@pytest.fixture
def family_stages(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Runs the stages of all families of a run."""

    def submit(run: Run, stage: str, family: str) -> Future:
        run.began.append(f"{stage}/{family}")
        if fine := f"{stage}/{family}" != run.fails:
            run.results[f"{stage}/{family}"] = None
        return Future(run, fine)

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


@pytest.mark.parametrize("cores", [1, 2])
def test_of_the_steps_that_can_begin_the_first_family_leads(
    family_stages: Any, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(pipeline.resources, "concurrent_trainings", lambda _: cores)
    run = Run()
    run.plan = Plan(experiment({"diffusion": {}, "vae": {}, "dcgan": {}}), "0.dir", DATA)
    family_stages(run)
    assert run.began[:4] == ["train/diffusion", "train/vae", "train/dcgan", "evaluate/diffusion"]
    assert run.began[4:7] == ["evaluate/vae", "evaluate/dcgan", "export/diffusion"]
    assert max(run.under_way) == cores  # no stage waits for a thread while another could come before it


# What is trained, kept and exported


def test_without_what_it_builds_on_a_family_is_refused() -> None:
    with pytest.raises(InputError, match=f"families.{ABOVE}: it builds on a trained {BELOW}"):
        catalogue.build(ABOVE, {}, tiny.CARD)
