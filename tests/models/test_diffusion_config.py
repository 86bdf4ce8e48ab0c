"""Settings of diffusion that contradict each other."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from models.diffusion_config import DiffusionConfig


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"noise_schedule": "linear", "prediction": "eps", "zero_terminal_snr": True},
            "prediction=eps does not determine x_0",
        ),
        ({"prediction": "eps"}, "prediction=eps does not determine x_0"),
        ({"zero_terminal_snr": True}, "zero_terminal_snr is for linear, cosine, sigmoid, not flow"),
        ({"prediction": "edm"}, "prediction=edm is for noise_schedule=edm"),
        ({"timestep_spacing": "leading"}, "selects steps of a schedule"),
        ({"noise_schedule": "edm", "prediction": "v"}, "prediction=v grows with sigma"),
        (
            {"noise_schedule": "linear", "prediction": "v", "shift": 0.05},
            "starts at alpha=0.1. with .*larger shift",
        ),
        ({"noise_schedule": "edm", "prediction": "edm", "shift": 2.0}, "change timestep_mean"),
        ({"guidance_interval": (0.7, 0.2)}, "must rise"),
        ({"sampler_steps": 0}, "greater than or equal to 1"),
        ({"noise_schedule": "cosine", "prediction": "eps"}, "set clip_denoised: true"),
        (
            {"noise_schedule": "linear", "prediction": "eps", "shift": 3.0},
            "errors of x_0 by 47. .* with shift=3",
        ),
        (
            {"noise_schedule": "cosine", "timestep_spacing": "leading", "sampler_steps": 10},
            "alpha=0.1. with sampler_steps=10",
        ),
        (
            {"noise_schedule": "linear", "timestep_spacing": "leading", "sampler_steps": 501},
            "starts at alpha=0.28",
        ),
        (
            {
                "noise_schedule": "cosine",
                "prediction": "v",
                "zero_terminal_snr": True,
                "weighting": "min_snr",
            },
            "zero weight to the last step",
        ),
        ({"condition": "text", "attention": False}, "condition=text needs attention to captions"),
        (
            {
                "noise_schedule": "cosine",
                "prediction": "v",
                "zero_terminal_snr": True,
                "timestep_spacing": "leading",
            },
            "skips the last",
        ),
        ({"attention_levels": (5,)}, "attention_levels=.5. must be levels from 0 to"),
        ({"guidance_scale": float("inf")}, "finite number"),
        ({"timestep_mean": float("nan")}, "finite number"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        DiffusionConfig(**changes)  # type: ignore[arg-type]
