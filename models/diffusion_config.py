"""Settings of diffusion families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, ValidationError, model_validator

from models.family import Config
from models.parts import processes
from models.search_space import Choice, Range

CONDITIONED = ("condition", "auto", "class", "text")  # what guidance is read with

NORMAL = ("times", "logit_normal", "log_normal")  # what a mean and a deviation of times are read with

HARDLY, MUCH = (
    5e-3,
    0.1,
)  # alpha at the end of a process: too little for eps, too much to start from noise alone


class DiffusionConfig(Config):
    """Hyperparameters of the process, the network, the condition and the sampler."""

    # The network: a U-Net, or a transformer over patches (models/parts/dit.py).
    network: Literal["unet", "dit"] = "unet"
    # Channels at the first level; of a transformer, all along.
    width: Annotated[
        int,
        Choice(
            (32, 48, 64, 96, 128), source="Ho et al. 2020, authors' code for CIFAR-10: 128", recommended=128
        ),
    ] = Field(32, ge=16, multiple_of=16)
    # Channels, in widths; a level each.
    multipliers: Annotated[
        tuple[PositiveInt, ...],
        Choice(
            ((1, 2), (1, 2, 2), (2, 2), (2, 2, 2), (1, 2, 2, 2)),
            source="Ho et al. 2020 for CIFAR-10: 1, 2, 2, 2; Karras et al. 2022: 2, 2, 2",
            where=("network", "unet"),
            recommended=(1, 2, 2, 2),
        ),
    ] = Field((1, 2, 2), min_length=1)
    # Residual blocks by level, down and up alike.
    blocks: Annotated[
        int,
        Range(
            1,
            3,
            source="Ho et al. 2020, App. B: 2; Nichol & Dhariwal 2021: 3",
            where=("network", "unet"),
            recommended=2,
        ),
    ] = Field(1, ge=1)
    # What is left on the way down is added on the way up, or laid beside it, which takes half as long again.
    skips: Annotated[
        Literal["add", "concatenate"],
        Choice(
            ("add", "concatenate"),
            source="Ho et al. 2020: concatenate",
            where=("network", "unet"),
            recommended="concatenate",
        ),
    ] = "add"
    attention: bool = True  # at the lowest level
    attention_levels: tuple[int, ...] = ()  # and after every block of these levels, from 0
    space_to_depth: int | None = Field(None, ge=1)  # side of a block of pixels; None: by resolution
    # Within residual blocks.
    dropout: Annotated[
        float,
        Range(
            0.0,
            0.3,
            source="Ho et al. 2020, App. B: 0.1; Karras et al. 2022: 0.13; Nichol & Dhariwal 2021: 0.3",
            recommended=0.1,
        ),
    ] = Field(0.0, ge=0, lt=1)
    # Blocks of a transformer.
    depth: Annotated[
        int,
        Range(
            2,
            12,
            source="Peebles & Xie 2023, Table 1: 12 for S and B",
            where=("network", "dit"),
            recommended=12,
        ),
    ] = Field(4, ge=1)
    heads: int | None = Field(None, ge=1)  # of a transformer; None: by its width
    patch: int | None = Field(None, ge=1)  # pixels a side of a transformer's token; None: by resolution

    # The process and the loss.
    process: Annotated[
        Literal["flow", "linear", "cosine", "sigmoid", "edm"],
        Choice(
            ("flow", "linear", "cosine", "sigmoid", "edm"),
            source="Esser et al. 2024: flow; Nichol & Dhariwal 2021: cosine rather than linear",
            recommended="flow",
        ),
    ] = "flow"
    # Of sigma / alpha: above 1 for larger images; Esser et al. 2024, Eq. 23.
    shift: Annotated[
        float,
        Range(0.5, 3.0, "log", source="Esser et al. 2024: 3 for images of 1024 pixels a side, 1 for small"),
    ] = Field(1.0, gt=0)
    zero_terminal_snr: bool = False  # end the schedule in noise alone; Lin et al. 2024
    # Of the others, eps is for schedules and edm for its own process.
    target: Annotated[
        Literal["velocity", "eps", "x_0", "v", "edm"],
        Choice(
            ("velocity", "v", "x_0"),
            source="Liu et al. 2023: velocity; Salimans & Ho 2022: v",
            recommended="velocity",
        ),
    ] = "velocity"
    weighting: Annotated[
        Literal["plain", "min_snr", "p2", "edm"],
        Choice(
            ("plain", "min_snr", "p2", "edm"),
            source="Hang et al. 2023: min_snr; Choi et al. 2022: p2; Karras et al. 2022: edm",
        ),
    ] = "plain"
    times: Annotated[
        Literal["uniform", "logit_normal", "log_normal"],
        Choice(
            ("uniform", "logit_normal", "log_normal"),
            source="Esser et al. 2024, Table 1: logit_normal; Karras et al. 2022: log_normal",
            recommended="logit_normal",
        ),
    ] = "logit_normal"
    # Of logit(t), or of log(sigma / alpha).
    time_mean: Annotated[
        float,
        Range(
            -1.2,
            0.8,
            source="Esser et al. 2024, Table 1: 0; Karras et al. 2022, Table 1: -1.2",
            where=NORMAL,
            recommended=0.0,
        ),
    ] = 0.0
    time_std: Annotated[
        float,
        Range(
            0.5,
            1.6,
            source="Esser et al. 2024, Table 1: 1; Karras et al. 2022, Table 1: 1.2",
            where=NORMAL,
            recommended=1.0,
        ),
    ] = Field(1.0, gt=0)
    sigma_data: float = Field(0.5, gt=0)  # standard deviation of pixels, which EDM's formulas need

    # The condition.
    condition: Literal["auto", "none", "class", "text"] = "auto"  # auto: the class, where there are classes
    # How often an image's is withheld, for guidance.
    condition_dropout: Annotated[
        float,
        Range(
            0.05,
            0.5,
            source="Ho & Salimans 2022: 0.1 or 0.2, and not 0.5",
            where=CONDITIONED,
            recommended=0.1,
        ),
    ] = Field(0.1, ge=0, le=1)
    # 1: none; above, samples keep closer to their condition.
    guidance: Annotated[
        float,
        Range(
            1.0,
            4.0,
            source="Ho & Salimans 2022: 1.1 to 1.3 for the best FID, 5 and more for the best IS",
            where=CONDITIONED,
            recommended=1.3,
            sampling=True,
        ),
    ] = Field(1.5, ge=0)
    # Of sigma / (alpha + sigma); Kynkaanniemi et al. 2024.
    guidance_interval: Annotated[
        tuple[float, float],
        Choice(
            ((0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.0, 0.8), (0.2, 1.0)),
            source="Kynkaanniemi et al. 2024: neither where noise is high nor where it is low",
            where=CONDITIONED,
            advises=False,
            sampling=True,
        ),
    ] = (0.0, 1.0)

    # The sampler.
    sampler: Annotated[
        Literal["heun", "euler", "ddim", "dpmpp_2m", "ancestral"],
        Choice(
            ("heun", "euler", "ddim", "dpmpp_2m", "ancestral"),
            source="Karras et al. 2022, Sec. 3: heun; Lu et al. 2022: dpmpp_2m for few steps",
            recommended="heun",
            sampling=True,
        ),
    ] = "heun"
    # Heun evaluates the network twice in all but the last.
    sampler_steps: Annotated[
        int,
        Range(
            4,
            50,
            "log",
            source="Karras et al. 2022 for CIFAR-10: 18 of heun; Song et al. 2021: 20 to 100 of ddim",
            recommended=18,
            sampling=True,
        ),
    ] = Field(12, ge=1)
    # Of the steps of a schedule.
    spacing: Annotated[
        Literal["auto", "linspace", "leading", "trailing"],
        Choice(
            ("auto", "linspace", "leading", "trailing"),
            source="Lin et al. 2024: trailing",
            recommended="trailing",
            sampling=True,
        ),
    ] = "auto"
    # Of DDIM: 0 follows the ODE, 1 is ancestral.
    eta: Annotated[
        float,
        Range(
            0.0,
            1.0,
            source="Song et al. 2021, Table 1: 0 for few steps",
            where=("sampler", "ddim"),
            recommended=0.0,
            sampling=True,
        ),
    ] = Field(0.0, ge=0, le=1)
    # Keep x_0 within [-1, 1] all along, as Ho et al. 2020 do.
    clip: Annotated[
        bool, Choice((False, True), source="Ho et al. 2020: true", recommended=True, sampling=True)
    ] = False
    strength: float = Field(
        1.0, gt=0, le=1
    )  # of the noise laid on an image to start from, where one is given

    # Of AdamW.
    lr: Annotated[
        float,
        Range(
            1e-4,
            4e-3,
            "log",
            source="Karras et al. 2022 for CIFAR-10: 1e-3; Ho et al. 2020, App. B: 2e-4",
            recommended=1e-3,
        ),
    ] = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    @model_validator(mode="after")
    def _predicts(self) -> Self:
        """Process, target and weighting go together."""
        scheduled = self.process in processes.SCHEDULES
        if self.zero_terminal_snr and not scheduled:
            raise ValueError(f"zero_terminal_snr is for {', '.join(processes.SCHEDULES)}, not {self.process}")
        if self.target == "eps" and (self.zero_terminal_snr or self.process == "flow"):
            raise ValueError(
                "target=eps says nothing of x_0 where no data is left, as at the end of a flow and with "
                "zero_terminal_snr; take v, velocity or x_0"
            )
        if self.target == "eps" and scheduled and (left := self.left()) < HARDLY and not self.clip:
            raise ValueError(
                f"target=eps makes errors of x_0 {1 / left:,.0f} times its own at the end of "
                f"process={self.process} with shift={self.shift:g}; take v, velocity or x_0, or, of pixels, "
                "set clip: true"
            )
        if self.target == "edm" and self.process != "edm":
            raise ValueError(f"target=edm is for process=edm, not {self.process}")
        if self.target == "v" and self.process == "edm":
            raise ValueError(
                "target=v grows with sigma, which process=edm has up to 80; take edm, eps or x_0"
            )
        if self.zero_terminal_snr and self.weighting in ("min_snr", "p2"):
            raise ValueError(
                f"weighting={self.weighting} gives the last step of zero_terminal_snr no weight at all, and "
                "sampling starts there; take plain or edm"
            )
        if self.shift != 1 and self.process == "edm":
            raise ValueError("shift is for the flow and for schedules; with process=edm move time_mean")
        return self

    @model_validator(mode="after")
    def _samples(self) -> Self:
        """Sampling begins where the process ends."""
        if self.spacing != "auto" and self.process not in processes.SCHEDULES:
            raise ValueError(f"spacing={self.spacing} picks steps of a schedule; {self.process} has none")
        if self.zero_terminal_snr and self.spacing == "leading":
            raise ValueError(
                "spacing=leading never visits the last step, which zero_terminal_snr is about; take trailing"
            )
        if self.process in processes.SCHEDULES and (left := self.left(self.sampler_steps)) > MUCH:
            leading = self.spacing == "leading"
            raise ValueError(
                f"spacing={self.spacing} begins at alpha={left:.2f} in sampler_steps={self.sampler_steps} of "
                f"process={self.process}, where data is left that noise alone does not have; take "
                + ("trailing, or other sampler_steps" if leading else "a larger shift")
            )
        if not 0 <= self.guidance_interval[0] <= self.guidance_interval[1] <= 1:
            raise ValueError("guidance_interval must rise within [0, 1]")
        return self

    @model_validator(mode="after")
    def _attends(self) -> Self:
        """A U-Net has attention at levels that there are, and some where there are captions."""
        if self.network != "unet":
            return self
        if not all(0 <= k < len(self.multipliers) for k in self.attention_levels):
            raise ValueError(
                f"attention_levels={list(self.attention_levels)} must be levels from 0 to "
                f"{len(self.multipliers) - 1}, since there are {len(self.multipliers)} multipliers"
            )
        if self.condition == "text" and not (self.attention or self.attention_levels):
            raise ValueError(
                "condition=text needs attention to captions: attention: true, or attention_levels"
            )
        return self

    def accepts(self, change: Mapping[str, Any]) -> bool:
        """Whether these settings may be changed so."""
        try:
            return bool(type(self)(**{**self.model_dump(), **change}))
        except ValidationError:
            return False

    def left(self, steps: int | None = None) -> float:
        """The alpha at which sampling in so many steps begins; None: that at which the process ends."""
        process = processes.process(self.process, self.shift, self.zero_terminal_snr)
        time = torch.ones(1) if steps is None else process.times(steps, self.spacing)[:1]
        return float(process.at(time).alpha)

    def check(self, kinds: frozenset[str]) -> None:
        """Raises ValueError where samples of these conditions would be guided by what training never sees."""
        if not kinds:
            return
        if self.condition_dropout == 0 and self.guidance != 1:
            raise ValueError(
                f"guidance={self.guidance:g} goes away from what is drawn without the condition, which "
                "condition_dropout=0 never trains; set guidance: 1, or a condition_dropout such as 0.1"
            )
        if self.condition_dropout == 1:
            raise ValueError("condition_dropout=1 never trains the condition; set condition: none instead")
