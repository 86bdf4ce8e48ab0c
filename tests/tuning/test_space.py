"""Search spaces stand beside what they are of, fit it, and become what a sweep searches."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from components.common.errors import InputError
from components.config.train import Train
from components.records.sweep import Winner
from components.records.trial import ScheduleEntry
from components.stages import code_digest
from components.tuning.space import applied, full_schedule, hyperparameters, resolve
from flows.cli import app
from models.registry import FAMILIES
from models.search_space import SEARCH_ARGUMENTS, Choice, Range, searchable, tunable
from tests.stages.test_code_digest import (
    changed,
    edit,
    forget,
    sources,  # noqa: F401
)

# Fields whose range does not hold their default, and why.
OUTSIDE = {
    "lr_discriminator": "None is the generator's learning rate",
    "ada_target": "None is no adaptation",
    "r1": "None follows a rule",
}


def values(space: Range | Choice) -> tuple[Any, ...]:
    return space.values if isinstance(space, Choice) else (space.low, space.high)


# Beside the hyperparameters.


class Toy(BaseModel):
    lr: float = tunable(1e-3, gt=0, low=1e-4, high=1e-2, log=True, source="A")
    kind: str = tunable("a", choices=("a", "b"), recommended="b", sampling=True, source="B")
    norm: Literal["batch", "none"] = tunable("none", source="C", active_if=("kind", "a"))
    flag: bool = tunable(False, source="D", advises=False)
    both: Annotated[int, "something else"] = tunable(3, ge=1, low=1, high=5, source="E")
    plain: Annotated[int, "something else"] = Field(3, ge=1)


def test_spaces_are_read_from_a_config() -> None:
    result = searchable(Toy)
    assert result == {
        "lr": Range(1e-4, 1e-2, "log", source="A"),
        "kind": Choice(("a", "b"), source="B", recommended="b", sampling=True),
        "norm": Choice(("batch", "none"), source="C", active_if=("kind", "a")),
        "flag": Choice((False, True), source="D", advises=False),
        "both": Range(1, 5, source="E"),
    }


def test_a_searchable_field_has_its_default_and_its_bounds_and_accepts_values_outside_the_space() -> None:
    assert Toy().model_dump() == {
        "lr": 1e-3, "kind": "a", "norm": "none", "flag": False, "both": 3, "plain": 3,
    }  # fmt: skip
    assert Toy(lr=1.0, kind="other", both=9).both == 9
    for wrong, message in (
        ({"lr": 0}, "Input should be greater than 0"),
        ({"both": 0}, "Input should be greater than or equal to 1"),
        ({"norm": "layer"}, "Input should be 'batch' or 'none'"),
    ):
        with pytest.raises(ValidationError) as refusal:
            Toy(**wrong)
        assert [error["msg"] for error in refusal.value.errors()] == [message]


def test_a_subclass_that_declares_anew_has_its_own_or_none() -> None:
    class Other(Toy):
        lr: float = 2e-3
        kind: str = tunable("a", choices=("c",), source="F")

    class Third(Other):
        """Declares nothing anew."""

    for config in (Other, Third):
        assert set(searchable(config)) == {"kind", "norm", "flag", "both"}
        assert searchable(config)["kind"] == Choice(("c",), source="F")
    assert "lr" in searchable(Toy)


def test_an_impossible_space_is_a_mistake_in_the_source() -> None:
    for wrong in (lambda: Range(1, 1, source=""), lambda: Range(0, 1, "log", source="")):
        with pytest.raises(AssertionError):
            wrong()
    with pytest.raises(AssertionError):
        Choice((), source="")
    for arguments in ({"low": 1}, {"high": 1}, {"low": 1, "high": 1}, {"low": 1, "high": 2, "choices": (1,)}):
        with pytest.raises(AssertionError):
            tunable(1, source="", **arguments)

    class Wrong(BaseModel):
        lr: float = tunable(1.0, source="neither a range nor choices")

    with pytest.raises(AssertionError):
        searchable(Wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_spaces_fit_their_fields(family: str) -> None:
    result = hyperparameters(family)
    assert {"lr", "train.batch"} <= set(result)
    for name, each in result.items():
        assert each.space.source, name
        if name not in OUTSIDE:
            assert each.default in each.space, f"{name}: {each.default} is not in {each.space}"
        for value in (*values(each.space), *([each.space.recommended] if each.space.advises else [])):
            assert refused(family, name, value) in (None, ()), f"{name}={value}"
        if isinstance(each.space, Choice):
            assert len(set(each.space.values)) == len(each.space.values), name


def refused(family: str, name: str, value: Any) -> tuple[Any, ...] | None:
    """The part of a field that does not accept a value; () where it does not fit other settings."""
    block = applied({}, {name: value})
    try:
        Train(**block.pop("train", {}))
        FAMILIES[family].Config(**block)
    except ValidationError as error:
        return error.errors()[0]["loc"]
    return None


def test_what_the_issue_asks_for_is_searchable() -> None:
    adversarial = {"lr", "lr_discriminator", "beta1", "n_critic", "loss", "gradient_penalty", "r1", "r2"}
    adversarial |= {
        "spectral_norm",
        "minibatch_discrimination",
        "instance_noise",
        "latent",
        "width",
        "augment",
    }
    diffusion = {
        "lr",
        "noise_schedule",
        "prediction",
        "weighting",
        "timestep_sampling",
        "dropout",
        "width",
        "channel_multipliers",
        "depth",
    }
    sampling = {"sampler", "sampler_steps", "guidance_scale", "guidance_interval", "eta"}
    training = {"train.batch", "train.ema_rampup_ratio", "train.schedule", "train.clip_grad_norm"}
    assert adversarial | training <= set(hyperparameters("dcgan"))
    result = hyperparameters("diffusion")
    assert diffusion | sampling | training <= set(result)
    assert sampling <= {name for name, each in result.items() if each.sampling}
    assert not any(result[name].sampling for name in diffusion | training)
    assert {"latent", "beta", "widths", "free_bits"} <= set(hyperparameters("vae"))
    assert {"latent", "noise", "widths"} <= set(hyperparameters("autoencoder"))


def test_the_recommended_is_the_source_s_or_the_default() -> None:
    result = hyperparameters("dcgan")
    assert result["width"].space.recommended == 128 and result["width"].default == 32
    noise = result["instance_noise"]
    assert noise.space.recommended is None and noise.default == 0  # some, says the source, not how much


# They change no key.


def digest() -> dict[str, str]:
    forget()
    families = {family.__module__ for family in FAMILIES.values()}
    return code_digest.code("components.training.job", *families)


def test_another_range_changes_no_key(sources: Path) -> None:  # noqa: F811
    before, file = digest(), sources / "models" / "adversarial_config.py"
    assert "models.search_space" not in before
    edit(file, "low=1e-4, high=4e-4, log=True, source=", "low=1e-5, high=4e-3, sampling=True, source=")
    edit(file, 'source="Radford et al. 2016, Sec. 4: 2e-4"', 'source="somebody else", recommended=1e-4')
    edit(file, "choices=(32, 64, 100, 128)", "choices=(8, 16)")
    edit(file, ' active_if=("optimizer", "adam"),', "")
    edit(sources / "models" / "search_space.py", '"""One of `values`."""', '"""One."""\n\n    more: int = 3')
    assert digest() == before
    for old, new in (("tunable(2e-4, gt=0", "tunable(3e-4, gt=0"), ("ge=0, lt=1, low", "ge=0, le=1, low")):
        was = digest()
        edit(file, old, new)
        assert changed(was, digest()) == {"models.adversarial_config"}


def test_without_any_space_the_key_is_the_same(sources: Path) -> None:  # noqa: F811
    before = digest()
    files = [file for file in (sources / "models").rglob("*.py") if "= tunable(" in file.read_text()]
    for file in files:
        if file.stem != "search_space":
            without_spaces(file)
    assert len(files) > 15 and digest() == before


def without_spaces(file: Path) -> None:
    """Declares every searchable field of a module as one that is not."""
    text = file.read_text()
    for call in reversed([n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]):
        if ast.unparse(call.func) == "tunable":
            old = ast.get_source_segment(text, call)
            call.keywords = [k for k in call.keywords if k.arg not in SEARCH_ARGUMENTS]
            call.func = ast.Name("Field")
            text = text.replace(old, ast.unparse(call if call.keywords else call.args[0]))
    text = text.replace("from models.search_space import tunable\n", "")
    if "Field" not in text.split("\nclass ")[0]:
        text = text.replace("\nfrom models", "\nfrom pydantic import Field\n\nfrom models", 1)
    assert "tunable" not in text and 'source="' not in text
    file.write_text(text)


def test_other_arguments_of_a_field_stay_in_the_key(sources: Path) -> None:  # noqa: F811
    file = sources / "models" / "dcgan.py"
    before = digest()
    edit(file, "32, ge=1, choices=", "32, ge=1, multiple_of=2, choices=")
    assert changed(before, digest()) == {"models.dcgan"}


def test_what_describes_the_search_is_every_argument_by_name() -> None:
    assert {"low", "high", "log", "choices", "source", "recommended", "active_if"} <= SEARCH_ARGUMENTS
    assert not {"default", "constraints"} & SEARCH_ARGUMENTS


# What a sweep asks for.


def test_a_sweep_takes_a_range_gives_values_or_gives_a_range() -> None:
    result = resolve(
        "dcgan",
        {
            "lr": None,
            "n_critic": {"low": 1, "high": 3},
            "loss": ["hinge", "non_saturating"],
            "beta2": {"low": 0.9, "high": 0.999},
            "train.batch": [32, 64],
            "train.ema_rampup_ratio": {"low": "1e-2", "high": 0.1},
            "augment": [[], ["translation"]],
        },
    )
    assert list(result)[0] == "lr" and len(result) == 7
    assert (result["lr"].space.low, result["lr"].space.high, result["lr"].space.scale) == (1e-4, 4e-4, "log")
    assert not result["lr"].integer and result["n_critic"].integer
    assert (result["n_critic"].space.low, result["n_critic"].space.high) == (1, 3)
    assert result["beta2"].space.scale == "linear"
    ramp = result["train.ema_rampup_ratio"].space
    assert (ramp.low, ramp.scale) == (0.01, "log")
    assert result["augment"].space.values == ((), ("translation",))
    assert result["train.batch"].default == 128


def test_the_block_gives_the_defaults() -> None:
    block = {"lr": 3e-4, "norm": "none", "train": {"batch": 64}}
    result = resolve("dcgan", {"lr": None, "train.batch": None, "spectral_norm": None}, block)
    assert (result["lr"].default, result["train.batch"].default) == (3e-4, 64)
    assert result["lr"].space.recommended == 2e-4


def test_values_that_need_each_other_are_accepted_together() -> None:
    with pytest.raises(InputError, match=r"search\.prediction='edm' is not accepted: prediction=edm is for"):
        resolve("diffusion", {"prediction": ["velocity", "edm"]})
    result = resolve("diffusion", {"prediction": ["velocity", "edm"], "noise_schedule": ["flow", "edm"]})
    assert result["prediction"].space.values == ("velocity", "edm")


def test_what_another_setting_turns_on_can_be_searched_with_it() -> None:
    assert set(resolve("vae", {"widths": None, "network": ["conv", "dense"]})) == {"widths", "network"}
    assert set(resolve("vae", {"widths": None}, {"network": "dense"})) == {"widths"}
    assert set(resolve("diffusion", {"eta": None, "sampler": None})) == {"eta", "sampler"}
    assert set(resolve("diffusion", {"timestep_mean": None}, {"timestep_sampling": "log_normal"})) == {
        "timestep_mean"
    }
    with pytest.raises(
        InputError, match="guidance_scale has no effect: it needs condition=auto or class or text"
    ):
        resolve("diffusion", {"guidance_scale": None}, {"condition": "none"})


@pytest.mark.parametrize("family", FAMILIES)
def test_conditions_name_settings_and_values_that_there_are(family: str) -> None:
    for name, each in hyperparameters(family).items():
        if each.space.active_if:
            other, *values = each.space.active_if
            assert values and other in FAMILIES[family].Config.model_fields, name
            for value in values:
                assert refused(family, other, value) in (None, ()) or other == "quantizer", f"{name}: {value}"


def test_as_json() -> None:
    result = resolve("vae", {"beta": None, "widths": [[100], [200, 50]]}, {"network": "dense"})
    beta, widths = (each.described().to_json() for each in result.values())
    assert json.loads(json.dumps(beta)) == beta
    assert {"name": "beta", "kind": "range", "low": 0.1, "high": 4.0, "scale": "log"}.items() <= beta.items()
    assert (beta["values"], beta["integer"], beta["default"], beta["recommended"]) == (None, False, 1.0, 1.0)
    assert "Kingma" in beta["source"]
    assert (widths["kind"], widths["values"], widths["low"]) == ("choice", [[100], [200, 50]], None)
    assert widths["default"] == [400]


def test_values_are_put_in_their_places() -> None:
    block = {"lr": 1e-3, "train": {"steps": 5, "batch": 8}}
    whole = applied(block, {"lr": 2e-3, "train.batch": 16, "width": 8})
    assert whole == {"lr": 2e-3, "width": 8, "train": {"steps": 5, "batch": 16}}
    assert block == {"lr": 1e-3, "train": {"steps": 5, "batch": 8}}
    assert applied({}, {"lr": 1}) == {"lr": 1}


MISTAKES: list[tuple[str, Mapping[str, Any], list[str]]] = [
    ("nothing", {"lr": None}, ["nothing", "known: ", "dcgan"]),
    ("dcgan", {}, ["search must name", "lr"]),
    ("dcgan", {"learning_rate": None}, ["search.learning_rate", "dcgan has no such", "lr, ", "train.batch"]),
    ("dcgan", {"train.workers": [1, 2]}, ["search.train.workers", "no such hyperparameter"]),
    ("dcgan", {"beta2": None}, ["search.beta2", "no range is declared", "list of values"]),
    ("dcgan", {"lr": {"low": 1e-3, "high": 1e-4}}, ["search.lr", "empty", "low=0.001", "high=0.0001"]),
    ("dcgan", {"lr": {"low": 1e-3, "high": 1e-3}}, ["search.lr", "empty"]),
    ("dcgan", {"lr": {"low": 0, "high": 1}}, ["search.lr", "log scale", "above 0"]),
    ("dcgan", {"lr": []}, ["search.lr", "list is empty"]),
    ("dcgan", {"lr": 2e-4}, ["search.lr=0.0002", "list of values"]),
    ("dcgan", {"loss": "hinge"}, ["search.loss='hinge'", "list of values"]),
    ("dcgan", {"lr": {"low": 1e-4}}, ["search.lr", "low, high", "this has low"]),
    ("dcgan", {"lr": {"low": 1e-4, "high": 1e-3, "step": 2}}, ["search.lr", "step"]),
    ("dcgan", {"lr": {"low": "a", "high": 1}}, ["search.lr.low='a'", "number"]),
    ("dcgan", {"lr": {"low": 1e-4, "high": float("inf")}}, ["search.lr.high=inf", "number"]),
    (
        "dcgan",
        {"lr": {"low": 1e-4, "high": 1, "scale": "cubic"}},
        ["search.lr.scale='cubic'", "linear or log"],
    ),
    ("dcgan", {"n_critic": {"low": 1, "high": 2.5}}, ["search.n_critic.high=2.5", "whole number"]),
    ("dcgan", {"beta1": {"low": 0, "high": 1}}, ["search.beta1=1", "less than 1"]),
    ("dcgan", {"loss": ["hinge", "cosine"]}, ["search.loss='cosine'", "not accepted", "'hinge'"]),
    ("dcgan", {"loss": {"low": 0, "high": 1}}, ["search.loss", "certain values", "list of values"]),
    ("dcgan", {"spectral_norm": None}, ["search.spectral_norm=True", "needs norm: none"]),
    ("dcgan", {"train.batch": [0]}, ["search.train.batch=0", "greater than or equal to 1"]),
    ("diffusion", {"width": {"low": 32, "high": 64}}, ["search.width", "multiples of 16", "list of values"]),
    (
        "diffusion",
        {"guidance_scale": None, "sampler": None, "lr": None},
        ["guidance_scale, sampler", "lr", "two sweeps"],
    ),
    (
        "vae",
        {"widths": None},
        ["search.widths", "no effect", "network=dense", "is conv", "set or search network"],
    ),
    ("diffusion", {"eta": [0, 1], "sampler": ["heun", "euler"]}, ["search.eta", "ddim", "heun or euler"]),
    (
        "diffusion",
        {"timestep_mean": None, "timestep_sampling": ["uniform"]},
        ["search.timestep_mean", "no effect", "timestep_sampling=logit_normal or log_normal", "is uniform"],
    ),
    ("diffusion", {"eta": None, "train.batch": None}, ["eta", "train.batch", "two sweeps"]),
]


@pytest.mark.parametrize(("family", "search", "words"), MISTAKES)
def test_mistakes_are_told_in_a_sentence(family: str, search: Mapping[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        resolve(family, search)
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_block_that_is_not_accepted_is_told_first() -> None:
    with pytest.raises(InputError, match=r"unknown key families\.dcgan\.lrr"):
        resolve("dcgan", {"lr": None}, {"lrr": 1})
    with pytest.raises(InputError, match=r"families\.dcgan\.train\.batch=0 is not accepted"):
        resolve("dcgan", {"lr": None}, {"train": {"batch": 0}})


def test_reading_it_does_not_load_torch() -> None:
    code = "import sys, components.tuning.space; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


# On the command line.


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        app.main(arguments)
    out, err = capsys.readouterr()
    return int(exit.value.code or 0), out, err


def test_hyperparameters_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    code, out, _ = call(capsys, "families", "--hyperparameters", "diffusion", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and rows["sampler_steps"]["sampling"] and rows["lr"]["kind"] == "range"
    code, out, _ = call(capsys, "families", "--hyperparameters", "dcgan")
    line = next(line for line in out.splitlines() if line.startswith("lr "))
    for word in ("0.0002", "0.0001 to 0.0004", "log", "training", "Radford et al. 2016"):
        assert word in line
    code, out, err = call(capsys, "families", "--hyperparameters", "nothing")
    assert code == 2 and not out and "known: " in err


def test_a_schedule_is_stretched_to_the_full_budget() -> None:
    block = {"lr": 1.0, "train": {"steps": 1000, "setting_changes": []}}
    schedule = [ScheduleEntry(values={"lr": 2.0}), ScheduleEntry(step=50, values={"lr": 3.0}, donor=2)]
    whole = full_schedule(block, Winner(number=1, schedule=schedule, values={"lr": 3.0}), 200)
    assert whole["lr"] == 2.0 and whole["train"]["setting_changes"] == [{"step": 250, "change": {"lr": 3.0}}]
    assert full_schedule(block, Winner(number=1, values={"lr": 4.0}), 200)["lr"] == 4.0
