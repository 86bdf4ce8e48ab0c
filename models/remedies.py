"""Treatments from the literature for the known problems of adversarial training, in the order to try them.

A remedy is a change of settings. It is offered only if it changes the configuration and goes with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.family import Remedy

if TYPE_CHECKING:
    from models.adversarial_config import AdversarialConfig

Change = Callable[["AdversarialConfig"], Mapping[str, Any]]
"""From the settings to the changed ones; empty if nothing needs to change."""

GOODFELLOW = "Goodfellow 2016, NIPS tutorial, Sec. 4.3, https://arxiv.org/abs/1701.00160"
RADFORD = "Radford et al. 2016, Sec. 3, https://arxiv.org/abs/1511.06434"
SALIMANS = "Salimans et al. 2016, Sec. 3.2, https://arxiv.org/abs/1606.03498"
METZ = "Metz et al. 2017, https://arxiv.org/abs/1611.02163"
GULRAJANI = "Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028"
HEUSEL = "Heusel et al. 2017, https://arxiv.org/abs/1706.08500"
SONDERBY = "Sonderby et al. 2017, https://arxiv.org/abs/1610.04490"
MESCHEDER = "Mescheder et al. 2018, https://arxiv.org/abs/1801.04406"
MIYATO = "Miyato et al. 2018, https://arxiv.org/abs/1802.05957"


def fewer_discriminator_steps(config: AdversarialConfig) -> Mapping[str, Any]:
    """Reduce D to one step per G step, then to one per two; leave a Wasserstein critic as it is."""
    if config.loss == "wasserstein" and config.gradient_penalty:
        return {}
    if config.n_critic > 1:
        return {"n_critic": 1}
    return {} if config.n_generator > 1 else {"n_generator": 2}


def more_discriminator_steps(config: AdversarialConfig) -> Mapping[str, Any]:
    """Raise D to one step per G step, then to two, then to five."""
    if config.n_generator > 1:
        return {"n_generator": 1}
    return {} if config.n_critic >= 5 else {"n_critic": 2 if config.n_critic == 1 else 5}


def slower_discriminator(config: AdversarialConfig) -> Mapping[str, Any]:
    """Lower D's learning rate to G's."""
    return {"lr_discriminator": config.lr} if config.lr_d > config.lr else {}


def slower_generator(config: AdversarialConfig) -> Mapping[str, Any]:
    """Lower G's learning rate to a quarter of D's."""
    return {"lr": config.lr_d / 4, "lr_discriminator": config.lr_d} if config.lr > config.lr_d / 4 else {}


def calmer_moments(config: AdversarialConfig) -> Mapping[str, Any]:
    """Set Adam's beta1 to at most 0.5 and beta2 to at least 0.999: DCGAN's values."""
    if config.optimizer != "adam" or (config.beta1 <= 0.5 and config.beta2 >= 0.9):
        return {}
    return {"beta1": min(config.beta1, 0.5), "beta2": max(config.beta2, 0.999)}


def lower_learning_rates(config: AdversarialConfig) -> Mapping[str, Any]:
    """Divide both learning rates by four."""
    return {"lr": config.lr / 4, "lr_discriminator": config.lr_d / 4}


def discrimination(config: AdversarialConfig) -> Mapping[str, Any]:
    """Add 16 kernels of minibatch discrimination, unless unrolling has replaced it."""
    if config.minibatch_discrimination or config.unrolled_steps:
        return {}
    return {"minibatch_discrimination": 16}


def unrolling(config: AdversarialConfig) -> Mapping[str, Any]:
    """Unroll five steps, without minibatch discrimination, which is too expensive to unroll."""
    return {} if config.unrolled_steps else {"unrolled_steps": 5, "minibatch_discrimination": 0}


def wasserstein(config: AdversarialConfig) -> Mapping[str, Any]:
    """Use the Wasserstein loss with the gradient penalty and the settings they need."""
    if config.loss == "wasserstein" and config.gradient_penalty:
        return {}
    return {
        "loss": "wasserstein",
        "gradient_penalty": 10.0,
        "clip_weights": None,
        "norm": "none",
        "n_critic": max(config.n_critic, 3),
        "n_generator": 1,
        "label_smoothing": 0.0,
        "ada_target": None,
        "unrolled_steps": 0,
        "r1": 0.0,
        "r2": 0.0,
        "spectral_norm": False,
        "optimizer": "adam",
        "lr_discriminator": config.lr,
        "beta1": min(config.beta1, 0.5),
        "beta2": 0.9,
    }


def noise(config: AdversarialConfig) -> Mapping[str, Any]:
    """Add decaying instance noise of a tenth of the pixel range."""
    return {} if config.instance_noise else {"instance_noise": 0.2}


def penalty(config: AdversarialConfig) -> Mapping[str, Any]:
    """Add R1, the gradient penalty on images."""
    return {} if config.r1 or config.gradient_penalty else {"r1": 1.0, "norm": "none"}


def spectral(config: AdversarialConfig) -> Mapping[str, Any]:
    """Normalise every layer of D spectrally."""
    return {} if config.spectral_norm else {"spectral_norm": True, "norm": "none", "clip_weights": None}


LOWER_RATES = ("lower learning rates", RADFORD, lower_learning_rates)
CALMER = ("calmer moments of Adam", RADFORD, calmer_moments)
WASSERSTEIN = ("Wasserstein loss with gradient penalty", GULRAJANI, wasserstein)
PENALTY = ("R1 penalty", MESCHEDER, penalty)
SPECTRAL = ("spectral normalisation", MIYATO, spectral)
BALANCE = ("discriminator no faster than the generator", HEUSEL, slower_discriminator)

TABLE: dict[str, tuple[tuple[str, str, Change], ...]] = {
    "mode_collapse": (
        ("minibatch discrimination", SALIMANS, discrimination),
        ("unrolled discriminator steps", METZ, unrolling),
        WASSERSTEIN,
    ),
    "vanishing_gradients": (
        BALANCE,
        ("fewer discriminator steps", GOODFELLOW, fewer_discriminator_steps),
        WASSERSTEIN,
        ("instance noise", SONDERBY, noise),
    ),
    "generator_too_strong": (
        ("more discriminator steps", GOODFELLOW, more_discriminator_steps),
        ("slower generator", HEUSEL, slower_generator),
        WASSERSTEIN,
    ),
    "oscillation": (CALMER, BALANCE, LOWER_RATES, PENALTY, SPECTRAL),
    "divergence": (CALMER, BALANCE, LOWER_RATES, SPECTRAL, PENALTY),
    "non_finite": (CALMER, BALANCE, LOWER_RATES, SPECTRAL),
}


# Settings with an effect that depends on the steps since they were set: the field of the step.
STARTS = {"instance_noise": "instance_noise_from"}


def remedies(config: AdversarialConfig, disease: str) -> Sequence[Remedy]:
    """Return the remaining treatments for `disease`, the first to try first."""
    changes = ((name, paper, dict(change(config))) for name, paper, change in TABLE.get(disease, ()))
    return [
        Remedy(name, paper, change, next((STARTS[key] for key in change if key in STARTS), None))
        for name, paper, change in changes
        if _composes(config, change)
    ]


def _composes(config: AdversarialConfig, change: Mapping[str, Any]) -> bool:
    """Whether `change` is not empty and valid with the other settings."""
    try:
        return bool(change) and bool(type(config)(**(config.model_dump() | dict(change))))
    except ValidationError:
        return False
