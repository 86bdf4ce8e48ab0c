"""Settings: typed, closed, and every mistake one clear sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.common.hashing import sha256
from components.config import loading
from components.config.train import Initial
from components.families.catalogue import build
from components.store import Store
from flows import setup
from models.data_spec import DataSpec
from models.registry import FAMILIES
from tests.registry.exports import export

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.name)
def test_patience_can_run_out(path: Path) -> None:
    experiment = setup.experiment(path, [])
    for family in experiment.families:
        train = experiment.training(family)
        assert train.patience is None or train.patience * train.validate_every < train.steps, family


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.name)
def test_every_config_is_accepted(path: Path) -> None:
    experiment = setup.experiment(path, [])
    assert set(experiment.families) <= set(FAMILIES)
    header = path.read_text().split("\n\n")[0]
    assert all(word in header for word in ("command", "hardware", "expect")), "a config tells its story"


def test_resolved_leaves_nothing_to_choose() -> None:
    experiment = setup.experiment(QUICKSTART, [])
    for family in experiment.families:
        settings = experiment.training(family)
        assert settings.precision in ("float32", "bfloat16")
        assert set(FAMILIES[family].Config.model_fields) < set(experiment.families[family])


def test_set_reaches_any_key() -> None:
    changes = ["families.vae.lr=2e-4", "data.name=mine", "train.seed=3", "families.dcgan.train.steps=7"]
    experiment = setup.experiment(QUICKSTART, changes)
    assert experiment.families["vae"]["lr"] == 2e-4
    assert experiment.data.name == "mine"
    assert experiment.training("dcgan").seed == 3 and experiment.training("dcgan").steps == 7


def test_a_family_that_the_config_lacks_is_refused_alike() -> None:
    with pytest.raises(
        InputError, match="--only cgan: cgan is not in .*quickstart.yaml .did you mean 'dcgan'"
    ):
        setup.experiment(QUICKSTART, [], ["cgan"])
    with pytest.raises(InputError, match="--set families.cgan.train.steps: cgan is not in .*quickstart.yaml"):
        setup.experiment(QUICKSTART, ["families.cgan.train.steps=3"])
    added = setup.experiment(QUICKSTART, ["families.cgan={}", "families.cgan.train.steps=3"], ["cgan"])
    assert added.training("cgan").steps == 3


def test_a_change_that_the_families_override_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    setup.experiment(QUICKSTART, ["train.steps=300", "train.seed=1"], ["dcgan"])
    assert capsys.readouterr().err == (
        "atelier: --set train.steps=300 has no effect on dcgan: the config sets train.steps for each; "
        "use --set families.dcgan.train.steps=300\n"
    )


@pytest.mark.parametrize(
    ("value", "classes"),
    [("3", ("3",)), ('"3"', ("3",)), ("[3, 7]", ("3", "7")), ("cat", ("cat",)), ("[all]", ("all",))]
    + [("all", "all"), ("[]", ()), ("[yes, 1e5]", ("yes", "1e5"))],
)
def test_classes_are_held_out_by_any_name(value: str, classes: tuple[str, ...] | str) -> None:
    experiment = setup.experiment(
        ROOT / "configs" / "cpu" / "anomaly.yaml", [f"evaluate.held_out_classes={value}"]
    )
    assert experiment.evaluate.held_out_classes == classes


def test_the_model_to_begin_with_is_resolved(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    export(store, "r1", "vae", {"model.safetensors": b"weights"})
    changes = [f"store.url={store.url}", "families.vae.train.initial=latest/vae"]
    experiment = setup.experiment(QUICKSTART, changes)
    assert experiment.training("vae").initial == Initial(model="r1/vae", sha256=sha256(b"weights"))
    assert experiment.training("dcgan").initial is None
    with pytest.raises(InputError, match="there is no run 'r2' in the store"):
        setup.experiment(QUICKSTART, [changes[0], "families.vae.train.initial=r2/vae"])


def test_only_and_smoke() -> None:
    experiment = setup.experiment(QUICKSTART, [], ["vae"], smoke=True)
    assert list(experiment.families) == ["vae"]
    assert experiment.training("vae").steps == setup.SMOKE["steps"]
    assert experiment.training("vae").batch == setup.SMOKE_PART * experiment.training("vae").micro_batches
    assert experiment.training("vae").snapshot_samples == setup.SMOKE_MOST["snapshot_samples"]
    assert experiment.evaluate.analysis_images == setup.SMOKE_EVALUATE["analysis_images"]
    assert experiment.evaluate.ablation_samples == 16


def test_smoke_samples_in_as_few_steps_as_the_settings_accept() -> None:
    def steps(**settings: object) -> int:
        changes = [f"families.diffusion.{name}={value}" for name, value in settings.items()]
        experiment = setup.experiment(QUICKSTART, changes, ["diffusion"], smoke=True)
        return int(experiment.families["diffusion"]["sampler_steps"])

    assert steps() == setup.SMOKE_SAMPLER_STEPS and steps(sampler_steps=2) == 2
    leading = {"noise_schedule": "cosine", "prediction": "v", "timestep_spacing": "leading"}
    assert setup.SMOKE_SAMPLER_STEPS < steps(**leading, sampler_steps=50) < 50


def test_smoke_networks_are_small_unless_they_begin_with_a_model(tmp_path: Path) -> None:
    def made(family: str, *, initial: bool = False, **settings: object) -> dict[str, Any]:
        changes = [f"families.{family}={json.dumps(settings)}", f"store.url={tmp_path / 'store'}"]
        changes += [f"families.{family}.train.initial=r1/vae"] if initial else []
        return setup.experiment(QUICKSTART, changes, [family], smoke=True).families[family]

    assert made("stylegan3").items() > {"width": 16, "layers": 4, "channel_base": 128}.items()
    assert made("rrdb").items() > {"width": 16, "blocks": 2}.items()
    assert made("vae", width=8)["width"] == 8, "nothing grows"
    build("diffusion", without_training(made("diffusion", network="dit", width=48, heads=6)), DataSpec(3, 64))
    build("r3gan", without_training(made("r3gan", width=96, group_width=24)), DataSpec(3, 64))
    export(Store(str(tmp_path / "store")), "r1", "vae", {"model.safetensors": b"weights"})
    assert made("vae", initial=True, width=64)["width"] == 64


def without_training(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "train"}


def test_smoke_adds_nothing_that_an_experiment_leaves_out() -> None:
    changes = [
        "train.snapshot_samples=0",
        "families.vae.train.sample_images=4",
        "evaluate.ablation_samples=0",
    ]
    experiment = setup.experiment(QUICKSTART, changes, ["vae", "diffusion"], smoke=True)
    assert [experiment.training(name).snapshot_samples for name in ("vae", "diffusion")] == [0, 0]
    assert experiment.training("vae").sample_images == 4
    assert experiment.evaluate.ablation_samples == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("families.vae.lrr=1", ["families.vae.lrr", "lr", "latent"]),
        ("families.vea.lr=1", ["vea", "vae"]),
        ("families.vae.lr=-1", ["families.vae.lr", "-1", "greater than 0"]),
        ("families.vae.train.stepps=1", ["families.vae.train.stepps", "steps"]),
        ("train.batch=0", ["train.batch", "0"]),
        ("train.precision=float16", ["train.precision", "float16", "bfloat16"]),
        ("data.name=../etc", ["data.name", "../etc"]),
        ("evaluate.samplez=3", ["evaluate.samplez", "samples"]),
        (
            "evaluate.held_out_classes={a: 1}",
            ["evaluate.held_out_classes", "give names of classes, such as [3, 7]"],
        ),
        ("nonsense=3", ["nonsense", "families"]),
        ("families=3", ["families", "3"]),
        ("no equals sign", ["no equals sign", "key.subkey=value"]),
        ("data.name.deeper=1", ["data.name.deeper"]),
    ],
)
def test_a_mistake_is_named(change: str, words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        setup.experiment(QUICKSTART, [change])
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "word"),
    [("a: [", "YAML"), ("- a", "list"), ("", "NoneType"), ("data: {name: x}", "families is missing")],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=word) as raised:
        setup.experiment(file, [])
    assert "bad.yaml" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no config file"):
        loading.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({}, "sweep.search is missing"),
        ({"search": {}}, "at least 1 item"),
        (
            {"search": {"lr": None}, "trails": 3},
            "unknown key sweep.trails (did you mean 'trials'?); known here: ",
        ),
        (
            {"search": {"lr": None}, "steps": 100, "evaluations": 8},
            "steps=100 cannot be cut into evaluations=8",
        ),
        ({"search": {"lr": None}, "grace_period": 9}, "grace_period=9 is more than evaluations=8"),
        ({"search": {"lr": None}, "scheduler": "pbt", "searcher": "grid"}, "searcher: random"),
        ({"search": {"lr": None}, "scheduler": "pbt", "trials": 3}, "at least 4 trials, not trials=3"),
        ({"search": {"lr": None}, "cost": True}, "cost: true needs searcher: optuna and scheduler: none"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_clear_sentence(sweep: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        loading.parse({"families": {"dcgan": {}}, "sweep": sweep}, "x.yaml")


def test_the_minutes_of_a_config_are_what_its_header_states() -> None:
    assert setup.stated_minutes(QUICKSTART).startswith("quickstart.yaml states in minutes: 5 on two recent")
    assert setup.stated_minutes(ROOT / "configs/gpu/diffusion-64.yaml") == ""


def test_a_config_for_gpus_says_so_on_a_machine_without_one() -> None:
    gpu, cpu = ROOT / "configs/gpu/diffusion-64.yaml", ROOT / "configs/cpu/diffusion.yaml"
    assert setup.advice_on_hardware(gpu, "cpu") == (
        "diffusion-64.yaml is for one GPU of 24 GB, and this machine has no GPU that can be used; "
        "`atelier init NAME` writes a config for data and machine"
    )
    assert setup.advice_on_hardware(gpu, "cuda") == setup.advice_on_hardware(cpu, "cpu") == ""
