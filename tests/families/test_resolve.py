"""What a family builds on is added to an experiment."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.errors import InputError
from components.config.experiment import Experiment
from components.families.resolve import resolved, with_upstream
from tests.families.test_upstream import experiment

BELOW, ABOVE = "kl_vae", "latent_diffusion"


def test_what_a_family_builds_on_is_added_before_it() -> None:
    made = experiment({"vae": {}, ABOVE: {}}, train={"steps": 7})
    assert list(made.families) == ["vae", BELOW, ABOVE]
    assert made.families[BELOW]["downsampling"] == 4 and made.training(BELOW).steps == 7


def test_its_own_block_counts_wherever_it_stands() -> None:
    made = experiment({ABOVE: {}, BELOW: {"downsampling": 2}})
    assert list(made.families) == [BELOW, ABOVE] and made.families[BELOW]["downsampling"] == 2


def test_only_keeps_what_is_built_on() -> None:
    whole = Experiment(families={"vae": {}, ABOVE: {}, BELOW: {"downsampling": 2}})
    assert with_upstream(whole, [ABOVE]).families == {BELOW: {"downsampling": 2}, ABOVE: {}}
    assert list(with_upstream(whole, ["vae"]).families) == ["vae"]


def test_the_network_of_a_perceptual_loss_is_resolved() -> None:
    def resolve(**settings: Any) -> Any:
        families = {"esrgan": settings}
        return resolved(Experiment(families=families), "cpu", "float32", lambda name: f"{name}?").families

    assert resolve()["esrgan"]["perceptual_network"] == "auto?" and list(resolve()) == ["rrdb", "esrgan"]
    assert resolve(perceptual=0)["esrgan"]["perceptual_network"] == "auto"


def test_classes_are_held_out_of_families_that_encode_images() -> None:
    """This is said when the config is read, before a run of it is recorded."""
    held_out = {"held_out_classes": "all"}
    with pytest.raises(InputError, match="needs a family that encodes images; none of dcgan, wgan does"):
        resolved(Experiment(families={"dcgan": {}, "wgan": {}}, evaluate=held_out), "cpu", "float32")
    assert resolved(Experiment(families={"dcgan": {}, "vae": {}}, evaluate=held_out), "cpu", "float32")
