"""Ho, Jain & Abbeel 2020, Denoising Diffusion Probabilistic Models, and what became of them.

https://arxiv.org/abs/2006.11239

    min E[w |F(x_t, t) - (a x_0 + b eps)|^2]   with x_t = alpha x_0 + sigma eps

The process (alpha, sigma), the target (a, b), the weight w and the times t are settings, and so are network,
condition and sampler. The defaults are the rectified flow of Liu et al. 2023 (https://arxiv.org/abs/2209.03003),
F = eps - x_0 at x_t = (1 - t) x_0 + t eps, with the logit-normal times of Esser et al. 2024
(https://arxiv.org/abs/2403.03206); Karras et al. 2022 (https://arxiv.org/abs/2206.00364) is `process: edm,
target: edm, weighting: edm, times: log_normal, time_mean: -1.2, time_std: 1.2`. Guidance is classifier-free,
Ho & Salimans 2022 (https://arxiv.org/abs/2207.12598).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, ValidationError, model_validator
from torch import Tensor, nn

from models import family, processes, samplers
from models.conditions import Condition, condition_of
from models.dit import DiT
from models.family import Batch, Card, Config, Family, Noise, Phase, Study, Terms
from models.layers import adam, to_image
from models.processes import Level
from models.search import Choice, Range
from models.unet import UNet

CONDITIONED = ("condition", "auto", "class", "text")  # what guidance is read with
NORMAL = ("times", "logit_normal", "log_normal")  # what a mean and a deviation of times are read with
BUCKETS = 8  # of the times in training, by which the loss is logged
HARDLY, MUCH = (
    5e-3,
    0.1,
)  # alpha at the end of a process: too little for eps, too much to start from noise alone


class DiffusionConfig(Config):
    """Hyperparameters of the process, the network, the condition and the sampler."""

    # The network: a U-Net, or a transformer over patches (models/dit.py).
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


class Generator(family.Generator):
    """The denoiser and the way from noise to images with it."""

    def __init__(self, config: DiffusionConfig, card: Card, kinds: frozenset[str] = frozenset()):
        super().__init__()
        self.config, self.card, self.kinds = config, card, kinds
        self.process = processes.process(config.process, config.shift, config.zero_terminal_snr)
        self.network = self.built(conditioned(card, kinds))

    def beside(self) -> int:
        """Channels of an image that is laid beside the noisy one."""
        return 0

    def built(self, card: Card) -> nn.Module:
        """The network, for images of this shape, its classes and captions."""
        c, beside = self.config, self.beside()
        if c.network == "dit":
            return DiT(
                card,
                width=c.width,
                depth=c.depth,
                heads=c.heads,
                patch=c.patch,
                dropout=c.dropout,
                beside=beside,
            )
        return UNet(
            card,
            width=c.width,
            multipliers=c.multipliers,
            blocks=c.blocks,
            concatenate=c.skips == "concatenate",
            attention=c.attention,
            attention_levels=c.attention_levels,
            factor=c.space_to_depth,
            dropout=c.dropout,
            beside=beside,
        )

    def forward(self, x: Tensor, level: Level, condition: Condition) -> Tensor:
        """F(x, t, condition) in float32, with a level (N, 1, 1, 1)."""
        if self.config.process == "edm":  # c_in: unit variance for the network, Karras et al. 2022, Table 1
            x = x / (level.sigma.square() + self.config.sigma_data**2).sqrt()
        return self.network(x, level.time.flatten(), condition).float()

    def target(self, level: Level) -> tuple[Tensor, Tensor]:
        """The a and b of what is predicted, a x_0 + b eps."""
        return processes.target(self.config.target, level, self.config.sigma_data)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """What of a batch the network is told."""
        return condition_of(batch, self.kinds)

    def denoised(self, x: Tensor, level: Level, condition: Condition) -> Tensor:
        """x_0 as the network sees it, with one level for all."""
        level = level.to(x)
        return processes.denoised(x, self(x, level, condition), level, *self.target(level))

    def denoiser(self, condition: Condition) -> samplers.Denoise:
        """(x, level) -> x_0, guided where there is a condition to be guided by; both passes in one."""
        c, null = self.config, self.card.num_classes
        guided = bool(self.kinds) and c.guidance != 1
        both = condition.beside_nothing(null) if guided else condition

        def denoise(x: Tensor, level: Level) -> Tensor:
            low, high = c.guidance_interval
            if guided and low <= level.sigma / (level.alpha + level.sigma) <= high:
                x_0 = samplers.guided(self.denoised(torch.cat([x, x]), level, both), c.guidance)
            else:
                x_0 = self.denoised(x, level, condition)
            return x_0.clamp(-1, 1) if c.clip else x_0

        return denoise

    def levels(self, strength: float = 1.0) -> Level:
        """What sampling goes through."""
        return processes.levels(self.process, self.config.sampler_steps, self.config.spacing, strength)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """From noise, or from a noised image, to data; clamped only at the end."""
        condition = self.told(batch, noise)
        return self.decoded(self.walked(self.denoiser(condition), self.start(batch), noise))

    def start(self, batch: Batch) -> Tensor | None:
        """What is noised to start from where `strength` is below 1; else, and without it, noise alone."""
        return batch.image if self.config.strength < 1 else None

    def walked(self, denoise: samplers.Denoise, start: Tensor | None, noise: Noise) -> Tensor:
        """x_0 (N, C, H, W) by the sampler."""
        c = self.config
        levels = self.levels(1.0 if start is None else c.strength)
        x = levels[0].sigma * noise(*self.card.shape)
        if start is not None:
            x = levels[0].alpha * start + x
        sampler = samplers.SAMPLERS[c.sampler]
        if c.sampler == "ddim":
            sampler = partial(samplers.ddim, eta=c.eta)
        return sampler(denoise, x, levels, lambda: noise(*self.card.shape))

    def told(self, batch: Batch, noise: Noise) -> Condition:
        """The condition of samples, with "nothing" for what the batch does not have."""
        condition, n, device = self.condition(batch, noise), len(noise), noise.device
        label, text, mask = condition.label, condition.text, condition.text_mask
        if "label" in self.kinds and label is None:
            label = torch.full((n,), self.card.num_classes, device=device)
        if "text" in self.kinds and text is None:
            text = torch.zeros(n, 1, self.card.text, device=device)
            mask = torch.zeros(n, 1, dtype=torch.bool, device=device)
        return Condition(label, text, mask, condition.image)

    def decoded(self, x: Tensor) -> Tensor:
        """What the process works on as images in [-1, 1]; here it is images."""
        return to_image(x)

    def trajectory(self, batch: Batch, noise: Noise, frames: int) -> Tensor:
        """Noisy images on the way of `sample`, the last the sample: (frames, N, C, H, W) in [-1, 1]."""
        seen: dict[float, Tensor] = {}
        denoise = self.denoiser(self.told(batch, noise))

        def watched(x: Tensor, level: Level) -> Tensor:
            # Heun comes twice to a level, the second time to stay.
            seen[float(level.sigma)] = x / (level.alpha + level.sigma)
            return denoise(x, level)

        end = self.walked(watched, self.start(batch), noise)
        way = [*seen.values(), end]
        picked = torch.linspace(0, len(way) - 1, frames).round().int().tolist()
        return torch.stack([self.decoded(way[i]) for i in picked])

    def noised(self, image: Tensor, noise: Noise, frames: int) -> Tensor:
        """Real images along the forward process, from data to noise: (frames, N, C, H, W) in [-1, 1]."""
        eps, levels = noise(*image.shape[1:]), self.levels()
        picked = torch.linspace(len(levels) - 1, 0, frames).round().int().tolist()
        way = [levels[i] for i in picked]
        return torch.stack(
            [self.decoded((at.alpha * image + at.sigma * eps) / (at.alpha + at.sigma)) for at in way]
        )


def conditioned(card: Card, kinds: frozenset[str]) -> Card:
    """The card with only the classes and captions that a network is told of."""
    classes = card.num_classes if "label" in kinds else 0
    return Card(card.channels, card.resolution, classes, card.text if "text" in kinds else 0)


class Diffusion(Family):
    """Diffusion in pixels, conditional on the class, on a caption, or on nothing."""

    Config = DiffusionConfig
    takes = frozenset({"label", "text"})
    paper = (
        "Ho, Jain & Abbeel 2020, Denoising Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239; "
        "Liu, Gong & Liu 2023, Flow Straight and Fast, https://arxiv.org/abs/2209.03003"
    )

    def __init__(self, config: DiffusionConfig, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        if config.condition == "class" and not card.num_classes:
            raise ValueError("condition=class needs labels, and the data has none")
        if config.condition == "text" and not card.text:
            raise ValueError("condition=text needs encoded captions, and the data has none")
        config.check(self.conditions(config, card))
        self.generator: Generator = self.built()
        self.generator.levels()  # refuses more steps than there are
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("denoise", self.loss, optimizer),)

    def built(self) -> Generator:
        """The generator of this kind of diffusion."""
        return Generator(self.config, self.card, self.conditions(self.config, self.card))

    @classmethod
    def conditions(cls, config: DiffusionConfig, card: Card) -> frozenset[str]:
        """What samples depend on, of label and text, whether the data has it or not."""
        automatic = {"label"} if card.num_classes else set()
        kinds = {"auto": automatic, "none": set(), "class": {"label"}, "text": {"text"}}
        return frozenset(kinds[config.condition])

    @classmethod
    def studies(cls, config: DiffusionConfig, card: Card) -> Sequence[Study]:
        """Quality against the number of steps, a line a sampler, and against guidance."""
        few = {
            "heun": (3, 6, 12, 24),
            "ddim": (5, 10, 20, 50),
            "dpmpp_2m": (5, 10, 20, 50),
            "ancestral": (10, 50, 100),
        }
        steps = {
            f"{sampler} {count}": change
            for sampler, counts in few.items()
            for count in counts
            if config.accepts(change := {"sampler": sampler, "sampler_steps": count, "eta": 0.0})
        }
        told = [Study("steps", "Quality against the number of steps", steps)]
        if cls.conditions(config, card) and config.condition_dropout:
            guidance = {f"{scale:g}": {"guidance": scale} for scale in (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)}
            told.append(Study("guidance", "Quality against guidance", guidance))
        return told

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """E[w |F(x_t, t) - (a x_0 + b eps)|^2] per pixel; observed: the same by share of noise."""
        c, g = self.config, self.generator
        x_0 = self.encoded(batch)
        u = processes.stratified(len(batch), x_0.device)
        drawn = processes.drawn(g.process, c.times, u, c.time_mean, c.time_std)
        level = Level(*(part.float()[:, None, None, None] for part in (drawn.time, drawn.alpha, drawn.sigma)))
        eps = torch.randn_like(x_0)
        a, b = g.target(level)
        f = g(level.alpha * x_0 + level.sigma * eps, level, self.withheld(batch, x_0.device))
        w = processes.weight(c.weighting, level, a, b, c.sigma_data).flatten()
        loss = w * (f - (a * x_0 + b * eps)).square().flatten(1).mean(1)
        return {c.target: loss}, by_noise(loss, (drawn.sigma / (drawn.alpha + drawn.sigma)).float())

    def encoded(self, batch: Batch) -> Tensor:
        """What the process works on: here the images themselves."""
        assert batch.image is not None
        return batch.image

    def withheld(self, batch: Batch, device: torch.device) -> Condition:
        """What the network is told of a batch: nothing, with probability `condition_dropout` by image."""
        condition = self.generator.condition(batch)
        if not self.generator.kinds:
            return condition
        drop = torch.rand(len(batch), device=device) < self.config.condition_dropout
        return condition.withheld(drop, self.card.num_classes)


def by_noise(loss: Tensor, share: Tensor) -> Terms:
    """Losses (N,) at rising shares of noise (N,), in BUCKETS equal parts: mean, variance, mean share."""
    if len(loss) < 2 * BUCKETS:
        return {}
    losses, shares = (t[: len(t) // BUCKETS * BUCKETS].unflatten(0, (BUCKETS, -1)) for t in (loss, share))
    told = {"loss": losses.mean(1), "var": losses.var(1), "noise": shares.mean(1)}
    return {f"{name}_t{k}": values[k] for name, values in told.items() for k in range(BUCKETS)}
