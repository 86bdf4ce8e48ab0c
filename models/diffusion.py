"""Ho, Jain & Abbeel 2020, Denoising Diffusion Probabilistic Models, and later variants.

https://arxiv.org/abs/2006.11239

    min E[w |F(x_t, t) - (a x_0 + b eps)|^2]   with x_t = alpha x_0 + sigma eps

Process (alpha, sigma), target (a, b), weight w, distribution of t, network, condition and sampler are
settings. The defaults are the rectified flow of Liu et al. 2023 (https://arxiv.org/abs/2209.03003),
F = eps - x_0 at x_t = (1 - t) x_0 + t eps, with the logit-normal times of Esser et al. 2024
(https://arxiv.org/abs/2403.03206). Karras et al. 2022 (https://arxiv.org/abs/2206.00364) is
`noise_schedule: edm, prediction: edm, weighting: edm, timestep_sampling: log_normal, timestep_mean: -1.2,
timestep_std: 1.2`. Guidance is classifier-free, Ho & Salimans 2022 (https://arxiv.org/abs/2207.12598).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from models import family
from models.data_spec import DataSpec
from models.diffusion_config import DiffusionConfig
from models.family import Batch, Family, Noise, Phase, Study, Terms
from models.parts import processes, samplers
from models.parts.conditions import Condition, condition_of
from models.parts.dit import DiT, patch_side
from models.parts.layers import adam, to_image
from models.parts.processes import Level
from models.parts.unet import UNet, space_to_depth

BUCKETS = 8  # of noise levels, for which the loss is logged separately


class Generator(family.Generator):
    """The denoiser and its sampler."""

    def __init__(self, config: DiffusionConfig, card: DataSpec, kinds: frozenset[str] = frozenset()):
        super().__init__()
        self.config, self.card, self.kinds = config, card, kinds
        self.process = processes.process(config.noise_schedule, config.shift, config.zero_terminal_snr)
        self.network = self.build_network(restricted(card, kinds))

    def extra_channels(self) -> int:
        """Channels concatenated with the noisy image."""
        return 0

    def build_network(self, card: DataSpec) -> nn.Module:
        """Return a new network for the image shape, classes and captions of `card`."""
        c, beside, side = self.config, self.extra_channels(), block_side(self.config, card.resolution)
        if c.network == "dit":
            return DiT(
                card,
                width=c.width,
                depth=c.depth,
                heads=c.heads,
                patch=side,
                dropout=c.dropout,
                beside=beside,
            )
        return UNet(
            card,
            width=c.width,
            multipliers=c.channel_multipliers,
            blocks=c.num_res_blocks,
            concatenate=c.skips == "concatenate",
            attention=c.attention,
            attention_levels=c.attention_levels,
            factor=side,
            dropout=c.dropout,
            beside=beside,
        )

    def forward(self, x: Tensor, level: Level, condition: Condition) -> Tensor:
        """F(x, t, condition) in float32, with a level (N, 1, 1, 1)."""
        if (
            self.config.noise_schedule == "edm"
        ):  # c_in: unit variance for the network, Karras et al. 2022, Table 1
            x = x / (level.sigma.square() + self.config.sigma_data**2).sqrt()
        return self.network(x, level.time.flatten(), condition).float()

    def target(self, level: Level) -> tuple[Tensor, Tensor]:
        """Return a and b of the target a x_0 + b eps."""
        return processes.target(self.config.prediction, level, self.config.sigma_data)

    def condition(self, batch: Batch, noise: Noise | None = None) -> Condition:
        """Return the network's condition in a batch."""
        return condition_of(batch, self.kinds)

    def denoised(self, x: Tensor, level: Level, condition: Condition) -> Tensor:
        """The network's estimate of x_0 for x (N, C, H, W), all at one level."""
        level = level.to(x)
        return processes.denoised(x, self(x, level, condition), level, *self.target(level))

    def denoiser(self, condition: Condition) -> samplers.Denoise:
        """Return (x, level) -> x_0, guided if conditional, both passes in one batch."""
        c, null = self.config, self.card.num_classes
        guided = bool(self.kinds) and c.guidance_scale != 1
        both = condition.with_unconditional(null) if guided else condition
        low, high = c.guidance_interval

        def denoise(x: Tensor, level: Level) -> Tensor:
            always = (low, high) == (0, 1)  # and then nothing depends on the level
            if guided and (always or low <= level.sigma / (level.alpha + level.sigma) <= high):
                x_0 = samplers.guided(self.denoised(torch.cat([x, x]), level, both), c.guidance_scale)
            else:
                x_0 = self.denoised(x, level, condition)
            return x_0.clamp(-1, 1) if c.clip_denoised else x_0

        return denoise

    def levels(self, strength: float = 1.0) -> Level:
        """The noise levels of sampling, falling."""
        return processes.levels(
            self.process, self.config.sampler_steps, self.config.timestep_spacing, strength
        )

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Sample from noise, or from a noised image; clamp only at the end."""
        condition = self.sampling_condition(batch, noise)
        return self.decoded(self.integrate(self.denoiser(condition), self.start(batch), noise))

    def start(self, batch: Batch) -> Tensor | None:
        """The image to noise and start from if `strength` is below 1; None: start from noise."""
        return batch.image if self.config.strength < 1 else None

    def integrate(self, denoise: samplers.Denoise, start: Tensor | None, noise: Noise) -> Tensor:
        """Run the sampler and return x_0, (N, C, H, W)."""
        c = self.config
        levels = self.levels(1.0 if start is None else c.strength)
        x = levels[0].sigma * noise(*self.card.shape)
        if start is not None:
            x = levels[0].alpha * start + x
        sampler = samplers.SAMPLERS[c.sampler]
        if c.sampler == "ddim":
            sampler = partial(samplers.ddim, eta=c.eta)
        return sampler(denoise, x, levels, lambda: noise(*self.card.shape))

    def sampling_condition(self, batch: Batch, noise: Noise) -> Condition:
        """Return the condition of samples, the null label or caption if the batch has none."""
        condition, n, device = self.condition(batch, noise), len(noise), noise.device
        label, text, mask = condition.label, condition.text, condition.text_mask
        if "label" in self.kinds and label is None:
            label = torch.full((n,), self.card.num_classes, device=device)
        if "text" in self.kinds and text is None:
            text = torch.zeros(n, 1, self.card.text, device=device)
            mask = torch.zeros(n, 1, dtype=torch.bool, device=device)
        return Condition(label, text, mask, condition.image)

    def decoded(self, x: Tensor) -> Tensor:
        """Convert x_0 of the process to images in [-1, 1]; here it is images already."""
        return to_image(x)

    def trajectory(self, batch: Batch, noise: Noise, frames: int) -> Tensor:
        """Noisy images from noise to the sample: (frames, N, C, H, W) in [-1, 1]."""
        path: dict[float, Tensor] = {}
        denoise = self.denoiser(self.sampling_condition(batch, noise))

        def recording(x: Tensor, level: Level) -> Tensor:
            # Heun evaluates each inner level twice; the second x is the accepted one.
            path[float(level.sigma)] = x / (level.alpha + level.sigma)
            return denoise(x, level)

        x_0 = self.integrate(recording, self.start(batch), noise)
        images = [*path.values(), x_0]
        selected = torch.linspace(0, len(images) - 1, frames).round().int().tolist()
        return torch.stack([self.decoded(images[i]) for i in selected])

    def noised(self, image: Tensor, noise: Noise, frames: int) -> Tensor:
        """Real images along the forward process, from data to noise: (frames, N, C, H, W) in [-1, 1]."""
        eps, levels = noise(*image.shape[1:]), self.levels()
        selected = torch.linspace(len(levels) - 1, 0, frames).round().int().tolist()
        return torch.stack(
            [
                self.decoded((level.alpha * image + level.sigma * eps) / (level.alpha + level.sigma))
                for level in (levels[i] for i in selected)
            ]
        )


def block_side(config: DiffusionConfig, resolution: int) -> int:
    """Return the side of the blocks of pixels that the network reads."""
    if config.network == "dit":
        return config.patch or patch_side(resolution)
    return config.space_to_depth or space_to_depth(resolution)


def restricted(card: DataSpec, kinds: frozenset[str]) -> DataSpec:
    """Return the card without the classes or captions that the network does not use."""
    classes = card.num_classes if "label" in kinds else 0
    return DataSpec(card.channels, card.resolution, classes, card.text if "text" in kinds else 0)


class Diffusion(Family):
    """Diffusion in pixels, unconditional or conditional on the class or a caption."""

    Config = DiffusionConfig
    takes = frozenset({"label", "text"})
    paper = (
        "Ho, Jain & Abbeel 2020, Denoising Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239; "
        "Liu, Gong & Liu 2023, Flow Straight and Fast, https://arxiv.org/abs/2209.03003"
    )

    def __init__(
        self, config: DiffusionConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None
    ):
        super().__init__(config, card, upstream)
        if config.condition == "class" and not card.num_classes:
            raise ValueError("condition=class needs labels, and the data has none")
        if config.condition == "text" and not card.text:
            raise ValueError("condition=text needs encoded captions, and the data has none")
        config.check(self.conditions(config, card))
        self.generator: Generator = self.build_generator()
        self.generator.levels()  # raises if the schedule has fewer steps
        optimizer = adam(self.generator, lr=config.lr, weight_decay=config.weight_decay)
        self.phases = (Phase("denoise", self.loss, optimizer),)

    def build_generator(self) -> Generator:
        """Return a new generator."""
        return Generator(self.config, self.card, self.conditions(self.config, self.card))

    @classmethod
    def conditions(cls, config: DiffusionConfig, card: DataSpec) -> frozenset[str]:
        """Return the conditions of samples, of label and text, even if the data lacks them."""
        automatic = {"label"} if card.num_classes else set()
        kinds = {"auto": automatic, "none": set(), "class": {"label"}, "text": {"text"}}
        return frozenset(kinds[config.condition])

    @classmethod
    def advice(cls, config: DiffusionConfig, card: DataSpec) -> str | None:
        """Advise against noise as the target of a network with fewer channels than a block has values.

        Such a network cannot represent noise, which fills all dimensions of a block, but images, which do
        not. Li & He 2025, https://arxiv.org/abs/2511.13720.
        """
        values = card.channels * block_side(config, card.resolution) ** 2
        if config.prediction == "x_0" or values <= config.width:
            return None
        return (
            f"prediction={config.prediction} contains noise, which {config.width} channels (width) cannot "
            f"represent for blocks of {values} values, so samples will be noisy; set prediction: x_0 and "
            f"weighting: edm, or a width of at least {values}"
        )

    @classmethod
    def studies(cls, config: DiffusionConfig, card: DataSpec) -> Sequence[Study]:
        """Compare numbers of steps, one line per sampler, and scales of guidance."""
        step_counts = {
            "heun": (3, 6, 12, 24),
            "ddim": (5, 10, 20, 50),
            "dpmpp_2m": (5, 10, 20, 50),
            "ancestral": (10, 50, 100),
        }
        steps = {
            f"{sampler} {count}": change
            for sampler, counts in step_counts.items()
            for count in counts
            if config.accepts(change := {"sampler": sampler, "sampler_steps": count, "eta": 0.0})
        }
        studies = [Study("steps", "Quality against the number of steps", steps)]
        if cls.conditions(config, card) and config.condition_dropout:
            guidance = {f"{scale:g}": {"guidance_scale": scale} for scale in (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)}
            studies.append(Study("guidance_scale", "Quality against guidance", guidance))
        return studies

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """E[w |F(x_t, t) - (a x_0 + b eps)|^2] per pixel; observed: the same by noise level."""
        c, g = self.config, self.generator
        x_0 = self.encoded(batch)
        u = processes.stratified(len(batch), x_0.device)
        exact = processes.drawn(
            g.process, c.timestep_sampling, u, c.timestep_mean, c.timestep_std
        )  # in float64
        level = Level(*(part.float()[:, None, None, None] for part in (exact.time, exact.alpha, exact.sigma)))
        eps = torch.randn_like(x_0)
        a, b = g.target(level)
        f = g(level.alpha * x_0 + level.sigma * eps, level, self.training_condition(batch, x_0.device))
        w = processes.weight(c.weighting, level, a, b, c.sigma_data).flatten()
        loss = w * self.per_image((f - (a * x_0 + b * eps)).square(), batch)
        return {c.prediction: loss}, by_noise(loss, (exact.sigma / (exact.alpha + exact.sigma)).float())

    def per_image(self, error: Tensor, batch: Batch) -> Tensor:
        """The mean of errors (N, C, H, W) over the pixels of each image, (N,)."""
        return error.flatten(1).mean(1)

    def encoded(self, batch: Batch) -> Tensor:
        """x_0 of the process, here the images themselves."""
        assert batch.image is not None
        return batch.image

    def training_condition(self, batch: Batch, device: torch.device) -> Condition:
        """The condition of a batch, dropped for each image with probability `condition_dropout`."""
        condition = self.generator.condition(batch)
        if not self.generator.kinds:
            return condition
        drop = torch.rand(len(batch), device=device) < self.config.condition_dropout
        return condition.dropped(drop, self.card.num_classes)


def by_noise(loss: Tensor, share: Tensor) -> Terms:
    """Mean and variance of losses (N,) at rising shares of noise (N,), and mean share, in BUCKETS parts."""
    if len(loss) < 2 * BUCKETS:
        return {}
    losses, shares = (t[: len(t) // BUCKETS * BUCKETS].unflatten(0, (BUCKETS, -1)) for t in (loss, share))
    summary = {"loss": losses.mean(1), "var": losses.var(1), "noise": shares.mean(1)}
    return {f"{name}_t{k}": values[k] for name, values in summary.items() for k in range(BUCKETS)}
