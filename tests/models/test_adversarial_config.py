"""Settings of adversarial families that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models import remedies
from models.adversarial_config import AdversarialConfig
from models.data_spec import DataSpec
from models.dcgan import DCGANConfig
from models.gan import GAN, GANConfig
from models.r3gan import R3GANConfig
from models.wgan import WGANConfig
from models.wgan_gp import WGANGPConfig


def test_adaptive_augmentation_stops_where_the_loss_becomes_wasserstein() -> None:
    config = GANConfig(augment=("cutout",), augment_p=0.3, ada_target=0.6)
    offered = {remedy.name: remedy.change for remedy in remedies.remedies(config, "mode_collapse")}
    changed = GANConfig(**(config.model_dump() | dict(offered["Wasserstein loss with gradient penalty"])))
    assert (changed.ada_target, changed.augment_p, changed.augment) == (None, 0.3, ("cutout",))


@pytest.mark.parametrize(("kimg", "batch", "steps"), [(500, 100, 5000), (0.1, 1000, 1), (None, 100, 7)])
def test_the_speed_of_p_may_be_given_in_images(kimg: float | None, batch: int, steps: int) -> None:
    config = GANConfig(augment=("ada_blit",), ada_target=0.6, ada_steps=7, ada_kimg=kimg)
    assert GAN.for_batch(config, DataSpec(1, 8), batch).ada_steps == steps


ADAPTIVE: dict[str, Any] = {"augment": ["cutout"], "ada_target": 0.6}


REFUSED: list[tuple[type[AdversarialConfig], dict[str, Any], str]] = [
    (
        DCGANConfig,
        {"gradient_penalty": 1.0},
        "gradient_penalty needs norm: none, since BatchNorm makes a score",
    ),
    (DCGANConfig, {"r1": 1.0}, "r1 needs norm: none"),
    (DCGANConfig, {"r2": 1.0}, "r2 needs norm: none"),
    (DCGANConfig, {"spectral_norm": True}, "spectral_norm needs norm: none"),
    (WGANGPConfig, {"norm": "batch"}, "gradient_penalty needs norm: none"),
    (GANConfig, {"n_critic": 2, "n_generator": 2}, "n_critic and n_generator cannot both be more than 1"),
    (WGANConfig, {"label_smoothing": 0.1}, "label_smoothing needs a loss with labels, and loss: wasserstein"),
    (GANConfig, {"label_smoothing": 0.1, "loss": "relativistic"}, "label_smoothing needs a loss with labels"),
    (WGANConfig, {"spectral_norm": True, "norm": "none"}, "clip_weights and spectral_norm both bound"),
    (GANConfig, {"unrolled_steps": 1, "r1": 1.0}, "unrolled_steps and r1 cannot be combined"),
    (WGANGPConfig, {"unrolled_steps": 1}, "unrolled_steps and gradient_penalty cannot be combined"),
    (
        GANConfig,
        {"unrolled_steps": 1, "spectral_norm": True, "r2": 1.0},
        "unrolled_steps and r2 cannot be combined",
    ),
    (GANConfig, {"ada_target": 0.6}, "ada_target adapts augmentations; list them in augment"),
    (WGANConfig, ADAPTIVE, "ada_target needs .* sign of D.x., which loss: wasserstein lacks"),
    (R3GANConfig, ADAPTIVE, "ada_target needs .* sign of D.x., which loss: relativistic lacks"),
    (GANConfig, {"augment": ["mirror"]}, "augment"),
    (GANConfig, {"label_smoothing": 0.5}, "label_smoothing"),
    (GANConfig, {"n_critic": 0}, "n_critic"),
    (GANConfig, {"loss": "absent"}, "loss"),
]


@pytest.mark.parametrize(("kind", "settings", "sentence"), REFUSED)
def test_settings_that_contradict_each_other_are_refused(
    kind: type[AdversarialConfig], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        kind(**settings)
