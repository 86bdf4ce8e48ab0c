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

import torch
from torch import Tensor, nn

from models import family
from models.diffusion_config import DiffusionConfig
from models.family import Batch, Card, Family, Noise, Phase, Study, Terms
from models.parts import processes, samplers
from models.parts.conditions import Condition, condition_of
from models.parts.dit import DiT
from models.parts.layers import adam, to_image
from models.parts.processes import Level
from models.parts.unet import UNet

BUCKETS = 8  # of the times in training, by which the loss is logged


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
