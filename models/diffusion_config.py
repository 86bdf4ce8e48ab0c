"""Settings shared by all diffusion families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, ValidationError, model_validator

from models.family import Config
from models.parts import processes
from models.search_space import tunable

# Conditions under which other settings have an effect, for `active_if`.
UNET = ("network", "unet")
CONDITIONED = ("condition", "auto", "class", "text")
NORMAL = ("timestep_sampling", "logit_normal", "log_normal")

MIN_ALPHA_OF_EPS = 5e-3  # at the end of a process: eps determines x_0 badly below
MAX_ALPHA_OF_NOISE = 0.1  # at the start of sampling: pure noise is a bad substitute above


class DiffusionConfig(Config):
    """Hyperparameters of the process, the network, the condition and the sampler."""

    # fmt: off
    # The network: a U-Net, or a transformer over patches (models/parts/dit.py).
    network: Literal["unet", "dit"] = "unet"
    # Channels at the first level, or of a transformer's tokens.
    width: int = tunable(32, ge=16, multiple_of=16, choices=(32, 48, 64, 96, 128), recommended=128,
        source="Ho et al. 2020, authors' code for CIFAR-10: 128")
    # Channels of each level, in widths.
    channel_multipliers: tuple[PositiveInt, ...] = tunable((1, 2, 2), min_length=1,
        choices=((1, 2), (1, 2, 2), (2, 2), (2, 2, 2), (1, 2, 2, 2)), recommended=(1, 2, 2, 2),
        source="Ho et al. 2020 for CIFAR-10: 1, 2, 2, 2; Karras et al. 2022: 2, 2, 2", active_if=UNET)
    # Residual blocks per level, on the way down and on the way up.
    num_res_blocks: int = tunable(1, ge=1, le=100, low=1, high=3, recommended=2, active_if=UNET,
        source="Ho et al. 2020, App. B: 2; Nichol & Dhariwal 2021: 3")
    # Skip connections add or concatenate features; concatenation takes 1.5 times as long.
    skips: Literal["add", "concatenate"] = tunable("add", recommended="concatenate",
        source="Ho et al. 2020: concatenate", active_if=UNET)
    attention: bool = True  # at the lowest level
    attention_levels: tuple[int, ...] = ()  # levels, from 0, with attention after every block
    space_to_depth: int | None = Field(None, ge=1)  # side of a block of pixels; None: by resolution
    dropout: float = tunable(0.0, ge=0, lt=1, low=0.0, high=0.3, recommended=0.1,  # within residual blocks
        source="Ho et al. 2020, App. B: 0.1; Karras et al. 2022: 0.13; Nichol & Dhariwal 2021: 0.3")
    depth: int = tunable(4, ge=1, le=1000, low=2, high=12, recommended=12, active_if=("network", "dit"),
        source="Peebles & Xie 2023, Table 1: 12 for S and B")  # blocks of a transformer
    heads: int | None = Field(None, ge=1)  # of a transformer; None: by its width
    patch: int | None = Field(None, ge=1)  # side of a transformer's patch in pixels; None: by resolution

    # The process and the loss.
    noise_schedule: Literal["flow", "linear", "cosine", "sigmoid", "edm"] = tunable("flow",
        source="Esser et al. 2024: flow; Nichol & Dhariwal 2021: cosine rather than linear")
    # Factor on sigma / alpha, above 1 for larger images; Esser et al. 2024, Eq. 23.
    shift: float = tunable(1.0, gt=0, low=0.5, high=3.0, log=True,
        source="Esser et al. 2024: 3 for images of 1024 pixels a side, 1 for small")
    zero_terminal_snr: bool = False  # end the schedule in pure noise; Lin et al. 2024
    # eps and edm are not searched: eps is for schedules only, edm for process: edm only.
    prediction: Literal["velocity", "eps", "x_0", "v", "edm"] = tunable("velocity",
        choices=("velocity", "v", "x_0"), source="Liu et al. 2023: velocity; Salimans & Ho 2022: v")
    weighting: Literal["plain", "min_snr", "p2", "edm"] = tunable("plain",
        source="Hang et al. 2023: min_snr; Choi et al. 2022: p2; Karras et al. 2022: edm")
    timestep_sampling: Literal["uniform", "logit_normal", "log_normal"] = tunable("logit_normal",
        source="Esser et al. 2024, Table 1: logit_normal; Karras et al. 2022: log_normal")
    # Mean of logit(t), or of log(sigma / alpha).
    timestep_mean: float = tunable(0.0, low=-1.2, high=0.8, active_if=NORMAL,
        source="Esser et al. 2024, Table 1: 0; Karras et al. 2022, Table 1: -1.2")
    timestep_std: float = tunable(1.0, gt=0, low=0.5, high=1.6, active_if=NORMAL,
        source="Esser et al. 2024, Table 1: 1; Karras et al. 2022, Table 1: 1.2")
    sigma_data: float = Field(0.5, gt=0)  # standard deviation of pixels, for EDM's formulas

    # The condition.
    condition: Literal["auto", "none", "class", "text"] = "auto"  # auto: the class if the data has classes
    # Probability of training on an image without its condition, for guidance.
    condition_dropout: float = tunable(0.1, ge=0, le=1, low=0.05, high=0.5, active_if=CONDITIONED,
        source="Ho & Salimans 2022: 0.1 or 0.2, and not 0.5")
    # 1: no guidance; samples follow their condition more closely above 1.
    guidance_scale: float = tunable(1.5, ge=0, low=1.0, high=4.0, recommended=1.3, sampling=True,
        source="Ho & Salimans 2022: 1.1 to 1.3 for the best FID, 5 and more for the best IS",
        active_if=CONDITIONED)
    # Range of sigma / (alpha + sigma) with guidance; Kynkaanniemi et al. 2024.
    guidance_interval: tuple[float, float] = tunable((0.0, 1.0), advises=False, sampling=True,
        choices=((0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.0, 0.8), (0.2, 1.0)), active_if=CONDITIONED,
        source="Kynkaanniemi et al. 2024: at neither high nor low noise levels")

    # The sampler.
    sampler: Literal["heun", "euler", "ddim", "dpmpp_2m", "ancestral"] = tunable("heun", sampling=True,
        source="Karras et al. 2022, Sec. 3: heun; Lu et al. 2022: dpmpp_2m for few steps")
    # heun evaluates the network twice per step, except in the last.
    sampler_steps: int = tunable(12, ge=1, le=100_000, low=4, high=50, log=True, recommended=18,
        sampling=True,
        source="Karras et al. 2022 for CIFAR-10: 18 of heun; Song et al. 2021: 20 to 100 of ddim")
    timestep_spacing: Literal["auto", "linspace", "leading", "trailing"] = tunable("auto",
        recommended="trailing", sampling=True, source="Lin et al. 2024: trailing")  # steps of a schedule
    eta: float = tunable(0.0, ge=0, le=1, low=0.0, high=1.0, sampling=True, active_if=("sampler", "ddim"),
        source="Song et al. 2021, Table 1: 0 for few steps")  # of DDIM: 0 follows the ODE, 1 is ancestral
    # Clamp x_0 to [-1, 1] in every step, as Ho et al. 2020 do.
    clip_denoised: bool = tunable(False, recommended=True, sampling=True, source="Ho et al. 2020: true")
    strength: float = Field(1.0, gt=0, le=1)  # start time of sampling from a noised image; 1: pure noise

    lr: float = tunable(1e-3, gt=0, low=1e-4, high=4e-3, log=True,  # of AdamW
        source="Karras et al. 2022 for CIFAR-10: 1e-3; Ho et al. 2020, App. B: 2e-4")
    weight_decay: float = Field(0.01, ge=0)
    # fmt: on

    @model_validator(mode="after")
    def _predicts(self) -> Self:
        """Check that process, target and weighting are compatible."""
        scheduled = self.noise_schedule in processes.SCHEDULES
        if self.zero_terminal_snr and not scheduled:
            raise ValueError(
                f"zero_terminal_snr is for {', '.join(processes.SCHEDULES)}, not {self.noise_schedule}"
            )
        if self.prediction == "eps" and (self.zero_terminal_snr or self.noise_schedule == "flow"):
            raise ValueError(
                "prediction=eps does not determine x_0 without a signal, as at the end of a flow and with "
                "zero_terminal_snr; use v, velocity or x_0"
            )
        if (
            self.prediction == "eps"
            and scheduled
            and (alpha := self.final_alpha()) < MIN_ALPHA_OF_EPS
            and not self.clip_denoised
        ):
            raise ValueError(
                f"prediction=eps multiplies errors of x_0 by {1 / alpha:,.0f} at the end of "
                f"noise_schedule={self.noise_schedule} with shift={self.shift:g}; use v, velocity or x_0, "
                "or, in pixels, set clip_denoised: true"
            )
        if self.prediction == "edm" and self.noise_schedule != "edm":
            raise ValueError(f"prediction=edm is for noise_schedule=edm, not {self.noise_schedule}")
        if self.prediction == "v" and self.noise_schedule == "edm":
            raise ValueError(
                "prediction=v grows with sigma, which reaches 80 with noise_schedule=edm; use edm, eps or x_0"
            )
        if self.zero_terminal_snr and self.weighting in ("min_snr", "p2"):
            raise ValueError(
                f"weighting={self.weighting} gives zero weight to the last step of zero_terminal_snr, "
                "at which sampling starts; use plain or edm"
            )
        if self.shift != 1 and self.noise_schedule == "edm":
            raise ValueError(
                "shift is for the flow and for schedules; change timestep_mean with noise_schedule=edm"
            )
        return self

    @model_validator(mode="after")
    def _samples(self) -> Self:
        """Check that sampling starts near the end of the process."""
        if self.timestep_spacing != "auto" and self.noise_schedule not in processes.SCHEDULES:
            raise ValueError(
                f"timestep_spacing={self.timestep_spacing} selects steps of a schedule; "
                f"{self.noise_schedule} has none"
            )
        if self.zero_terminal_snr and self.timestep_spacing == "leading":
            raise ValueError(
                "timestep_spacing=leading skips the last step, which zero_terminal_snr changes; use trailing"
            )
        if (
            self.noise_schedule in processes.SCHEDULES
            and (alpha := self.final_alpha(self.sampler_steps)) > MAX_ALPHA_OF_NOISE
        ):
            leading = self.timestep_spacing == "leading"
            raise ValueError(
                f"timestep_spacing={self.timestep_spacing} starts at alpha={alpha:.2f} with "
                f"sampler_steps={self.sampler_steps} and "
                f"noise_schedule={self.noise_schedule}, too far from pure noise; use "
                + ("trailing, or other sampler_steps" if leading else "a larger shift")
            )
        if not 0 <= self.guidance_interval[0] <= self.guidance_interval[1] <= 1:
            raise ValueError("guidance_interval must rise within [0, 1]")
        return self

    @model_validator(mode="after")
    def _attends(self) -> Self:
        """Check that a U-Net's attention levels exist, and that captions are attended to."""
        if self.network != "unet":
            return self
        if not all(0 <= k < len(self.channel_multipliers) for k in self.attention_levels):
            raise ValueError(
                f"attention_levels={list(self.attention_levels)} must be levels from 0 to "
                f"{len(self.channel_multipliers) - 1}, since there are {len(self.channel_multipliers)} "
                "channel_multipliers"
            )
        if self.condition == "text" and not (self.attention or self.attention_levels):
            raise ValueError(
                "condition=text needs attention to captions; set attention: true, or attention_levels"
            )
        return self

    def accepts(self, change: Mapping[str, Any]) -> bool:
        """Whether the settings are valid with `change`."""
        try:
            return bool(type(self)(**{**self.model_dump(), **change}))
        except ValidationError:
            return False

    @processes.on_cpu
    def final_alpha(self, steps: int | None = None) -> float:
        """Return alpha at the start of sampling in `steps` steps; None: at the end of the process."""
        process = processes.process(self.noise_schedule, self.shift, self.zero_terminal_snr)
        time = torch.ones(1) if steps is None else process.times(steps, self.timestep_spacing)[:1]
        return float(process.at(time).alpha)

    def check(self, kinds: frozenset[str]) -> None:
        """Raise ValueError if guidance by these conditions needs predictions that are never trained."""
        if not kinds:
            return
        if self.condition_dropout == 0 and self.guidance_scale != 1:
            raise ValueError(
                f"guidance_scale={self.guidance_scale:g} needs unconditional predictions, which "
                "condition_dropout=0 never trains; set guidance_scale: 1, or a condition_dropout such as 0.1"
            )
        if self.condition_dropout == 1:
            raise ValueError("condition_dropout=1 never trains the condition; set condition: none instead")
