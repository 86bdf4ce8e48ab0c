"""The autoencoder of Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models.

https://arxiv.org/abs/2112.10752

    min E[-log p(x|z)] + w KL(q(z|x) || N(0, I))     z a small image (c, h, w), w tiny (quantizer: none)
    min E[-log p(x|e)] + b |z - sg(e)|^2             e the nearest of K codes, pixel by pixel (quantizer: vq)

The second is van den Oord et al. 2017, Neural Discrete Representation Learning
(https://arxiv.org/abs/1711.00937), with moving averages as codes (App. A.1). Unused codes restart at random
latents, Dhariwal et al. 2020, Sec. 3.1 (https://arxiv.org/abs/2005.00341). As in Rombach et al. quantisation
is part of the decoder, so that a model of latents works on z.

We omit the perceptual loss and the discriminator of the paper, which are for large photographs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models import family
from models.data_spec import DataSpec
from models.family import Batch, Config, Family, Noise, Phase, Terms
from models.parts.attention import SelfAttention, group_norm, zero
from models.parts.layers import adam, to_image
from models.parts.statistics import gathered
from models.search_space import tunable
from models.vae import kl_to_prior

LOG_VARIANCE = (-30.0, 20.0)  # bounds of log sigma^2, as in the authors' code
INITIAL_LOG_VARIANCE = -6.0  # w is tiny, so sigma becomes small; starting there saves many steps
DEAD_SHARE = 0.05  # a code restarts if it is nearest to less than this share of the mean number of latents
MIN_WEIGHT = 0.01  # of the newest batch in the running moments of the latents


class KLVAEConfig(Config):
    """Hyperparameters of the autoencoder."""

    # fmt: off
    # Side of an image over side of its latent.
    downsampling: Literal[2, 4, 8] = tunable(4,
        source="Rombach et al. 2022, Sec. 4.1: 4 or 8 for large images")
    latent: int = tunable(4, ge=1, choices=(2, 3, 4, 8, 16), recommended=3,  # channels of z
        source="Rombach et al. 2022: 3 at factor 4, 4 at factor 8")
    # Channels at the images' size; doubled at each halving.
    width: int = tunable(32, ge=16, multiple_of=16, choices=(16, 32, 64, 128), recommended=128,
        source="Rombach et al. 2022, authors' code: 128")
    max_width: int = Field(128, ge=16, multiple_of=16)  # doubling stops here
    num_res_blocks: int = tunable(1, ge=1, le=100, low=1, high=2, recommended=2,  # at each size, down and up
        source="Rombach et al. 2022, authors' code: 2")
    attention: bool = True  # at the latents' size
    # Of pixels in [-1, 1], with a scale of 1.
    likelihood: Literal["gaussian", "l1"] = tunable("l1", source="Rombach et al. 2022, authors' code: l1")
    # w. Both terms are sums over an image in the paper (1e-6 there); here both are divided by its dimensions.
    kl_weight: float = tunable(1e-6, ge=0, low=1e-7, high=1e-3, log=True, active_if=("quantizer", "none"),
        source="Rombach et al. 2022, App. G: 1e-6")
    quantizer: Literal["none", "vq"] = "none"
    codebook_size: int = tunable(512, ge=2, choices=(128, 256, 512, 1024), active_if=("quantizer", "vq"),  # K
        source="van den Oord et al. 2017, Sec. 4: 512")
    commitment: float = tunable(0.25, ge=0, low=0.1, high=2.0, log=True, active_if=("quantizer", "vq"),
        source="van den Oord et al. 2017, Sec. 3.2: 0.25, of 0.1 to 2.0")  # b; the error is a mean over z
    codebook_decay: float = tunable(0.99, ge=0, lt=1, choices=(0.9, 0.95, 0.99, 0.995),  # of moving averages
        source="van den Oord et al. 2017, App. A.1: 0.99", active_if=("quantizer", "vq"))
    lr: float = tunable(1e-3, gt=0, low=1e-4, high=4e-3, log=True, advises=False,  # of Adam
        source="this project: Rombach et al. 2022 have 4.5e-6 an image, for far longer training")
    # fmt: on

    @property
    def widths(self) -> list[int]:
        """Channels by size, the images' first: 32, 64, 128."""
        return [min(self.width * 2**i, self.max_width) for i in range(int(math.log2(self.downsampling)) + 1)]

    def sizes(self, resolution: int) -> list[int]:
        """Sides of the feature maps, halved rounding up: 28, 14, 7, or 15, 8, 4."""
        sizes = [resolution]
        for _ in self.widths[1:]:
            sizes.append((sizes[-1] + 1) // 2)
        return sizes


# The networks, bottom-up


def conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution; a stride of 2 halves the size, rounding up."""
    return nn.Conv2d(before, after, 3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.body = nn.Sequential(
            group_norm(before),
            nn.SiLU(),
            conv(before, after),
            group_norm(after),
            nn.SiLU(),
            zero(conv(after, after)),
        )
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return self.skip(x) + self.body(x)


def stack(before: int, after: int, blocks: int) -> list[nn.Module]:
    """Residual blocks at one size."""
    return [ResidualBlock(before if i == 0 else after, after) for i in range(blocks)]


def middle(config: KLVAEConfig) -> list[nn.Module]:
    """Residual blocks, and attention between them if set, at the latents' size."""
    width = config.widths[-1]
    attention = [SelfAttention(width)] if config.attention else []
    return [ResidualBlock(width, width), *attention, ResidualBlock(width, width)]


def encoder(config: KLVAEConfig, card: DataSpec) -> nn.Sequential:
    """Images (N, C, H, W) -> mean and log variance (N, 2 c, h, w); with quantizer: vq, z (N, c, h, w)."""
    widths, parameters = config.widths, 2 if config.quantizer == "none" else 1
    layers: list[nn.Module] = [conv(card.channels, widths[0])]
    for level, width in enumerate(widths):
        before = widths[max(level - 1, 0)]
        layers += [conv(before, before, stride=2)] if level > 0 else []
        layers += stack(before, width, config.num_res_blocks)
    layers += [*middle(config), group_norm(widths[-1]), nn.SiLU()]
    last = conv(widths[-1], parameters * config.latent)
    if parameters == 2 and last.bias is not None:
        nn.init.constant_(last.bias[config.latent :], INITIAL_LOG_VARIANCE)
    return nn.Sequential(*layers, last)


def decoder(config: KLVAEConfig, card: DataSpec) -> nn.Sequential:
    """Latents (N, c, h, w) -> the mean of p(x|z), (N, C, H, W)."""
    widths, sizes = config.widths, config.sizes(card.resolution)
    layers: list[nn.Module] = [conv(config.latent, widths[-1]), *middle(config)]
    for level in reversed(range(len(widths))):
        before = widths[min(level + 1, len(widths) - 1)]
        if level < len(widths) - 1:
            layers += [nn.Upsample(size=(sizes[level], sizes[level])), conv(before, before)]
        layers += stack(before, widths[level], config.num_res_blocks)
    layers += [group_norm(widths[0]), nn.SiLU()]
    return nn.Sequential(*layers, conv(widths[0], card.channels))


class Codebook(nn.Module):
    """K codes, each the moving average of the latents nearest to it. van den Oord et al. 2017, Eq. 6 to 8."""

    code: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, codes: int, dim: int):
        super().__init__()
        self.register_buffer("code", torch.randn(codes, dim))
        self.register_buffer("count", torch.zeros(codes))  # N_i
        self.register_buffer("total", torch.zeros(codes, dim))  # m_i

    def nearest(self, z: Tensor) -> Tensor:
        """Return the index of the code nearest to each pixel of z (N, c, h, w): (N, h, w)."""
        pixels = z.detach().float().permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, c)
        with torch.autocast(z.device.type, enabled=False):
            return torch.cdist(pixels, self.code).argmin(1).view(z.shape[0], *z.shape[2:])

    def codes_of(self, index: Tensor) -> Tensor:
        """Look up the codes of indices (N, h, w): (N, c, h, w)."""
        return self.code[index].permute(0, 3, 1, 2)

    def forward(self, z: Tensor) -> Tensor:
        """The nearest codes with the gradient of z: z + sg(e - z). Sec. 3.2."""
        return z + (self.codes_of(self.nearest(z)) - z).detach()

    def batch_statistics(self, z: Tensor, index: Tensor) -> Tensor:
        """Return the count n_i, the sum of latents and a random latent for each code, (K, 1 + 2 c)."""
        z, index = z.detach().permute(0, 2, 3, 1).flatten(0, 2), index.flatten()
        count, total = torch.zeros_like(self.count), torch.zeros_like(self.total)
        count.index_add_(0, index, torch.ones_like(z[:, 0]))
        total.index_add_(0, index, z)
        random = z[torch.randint(len(z), (len(count),), device=z.device)]
        return torch.cat([count[:, None], total, random], 1)

    def move(self, statistics: Tensor, decay: float) -> None:
        """N_i <- g N_i + (1 - g) n_i, m_i likewise, e_i = m_i / N_i; dead codes restart at random latents.

        Args:
            statistics: Of S shards, (S, K, 1 + 2 c).
            decay: g.
        """
        dim = self.code.shape[1]
        count, total, _ = statistics.sum(0).split([1, dim, dim], 1)
        self.count.lerp_(count[:, 0], 1 - decay)
        self.total.lerp_(total, 1 - decay)
        share = self.count.mean()
        dead = self.count < DEAD_SHARE * share
        # Code i takes its latent from shard i mod S: the number of workers makes no difference.
        code = torch.arange(len(dead), device=dead.device)
        random = statistics[code % len(statistics), code, -dim:]
        self.count.copy_(torch.where(dead, share, self.count))
        self.total.copy_(torch.where(dead[:, None], share * random, self.total))
        self.code.copy_(self.total / self.count[:, None])


class Generator(family.Generator):
    """Encoder, decoder, and the running moments that scale latents to a variance of 1."""

    latent_mean: Tensor
    latent_square: Tensor
    settled: Tensor

    def __init__(self, config: KLVAEConfig, card: DataSpec):
        super().__init__()
        self.config, self.size = config, config.sizes(card.resolution)[-1]
        self.encoder, self.decoder = encoder(config, card), decoder(config, card)
        self.codebook = Codebook(config.codebook_size, config.latent) if config.quantizer == "vq" else None
        self.register_buffer("latent_mean", torch.zeros(()))
        self.register_buffer("latent_square", torch.ones(()))
        self.register_buffer("settled", torch.zeros(()))  # number of updates of the moments

    def latents(self, card: DataSpec) -> DataSpec:
        """Return the card of the latents of a data set."""
        return dataclasses.replace(card, channels=self.config.latent, resolution=self.size)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), (N, c, h, w) each; with a codebook the variance is negligible."""
        out = self.encoder(x).float()
        if self.codebook is not None:
            return out, torch.full_like(out, LOG_VARIANCE[0])
        mean, log_variance = out.chunk(2, 1)
        return mean, log_variance.clamp(*LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z), or of p(x|e) with e the codes nearest to z, (N, C, H, W)."""
        return self.decoder(z if self.codebook is None else self.codebook(z)).float()

    def scale(self) -> Tensor:
        """1 / std over all elements of all latents. Rombach et al. 2022, App. G."""
        return (self.latent_square - self.latent_mean.square()).clamp(min=1e-8).rsqrt()

    def settle(self, mean: Tensor, square: Tensor) -> None:
        """Update the running moments: the mean over all updates at first, then an exponential average."""
        weight = (1 / (self.settled + 1)).clamp(min=MIN_WEIGHT)
        self.latent_mean.lerp_(mean, weight)
        self.latent_square.lerp_(square, weight)
        self.settled.add_(1)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Reconstructions of `batch.image` from the means of q(z|x); `noise` is not used."""
        assert batch.image is not None
        return to_image(self.decode(self.encode(batch.image)[0]))


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of q(z|x), mean + sigma eps. Kingma & Welling 2014, Eq. 10."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def perplexity(count: Tensor) -> Tensor:
    """exp(entropy) of the codes' frequencies: the effective number of codes in use."""
    return torch.special.entr(count / count.sum()).sum().exp()


class KLVAE(Family):
    """A convolutional autoencoder whose spatial latents other models work in."""

    Config = KLVAEConfig
    paper = (
        "Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, "
        "https://arxiv.org/abs/2112.10752"
    )
    task = "reconstruct"

    def __init__(self, config: KLVAEConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        self.generator: Generator = Generator(config, card)
        self.dimensions = math.prod(card.shape)
        if (latent := math.prod(self.generator.latents(card).shape)) >= self.dimensions:
            raise ValueError(
                f"latent={config.latent} with downsampling={config.downsampling} gives latents of {latent} "
                f"dimensions; they must have fewer than an image, {self.dimensions}"
            )
        self.statistics: list[Tensor] = []  # of the codes, from the shards of the current update
        self.phases = (
            Phase("autoencode", self.loss, adam(self.generator, lr=config.lr), after=self.after_update),
        )

    def loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """-log p(x|z) + w KL(q(z|x) || N(0, I)), or -log p(x|e) + b |z - sg(e)|^2; per image dimension."""
        assert batch.image is not None
        mean, log_variance = self.generator.encode(batch.image)
        observed: Terms = {}
        if self.generator.codebook is None:
            z = sampled(mean, log_variance)
            kl = kl_to_prior(mean.flatten(1), log_variance.flatten(1))
            prior = {"kl": self.config.kl_weight * kl / self.dimensions}
        else:
            z = mean
            prior, observed = self.commitment(self.generator.codebook, z)
        error = self.generator.decode(z) - batch.image
        error = error.abs() if self.config.likelihood == "l1" else error.square() / 2
        moments = {"latent_mean": z.detach().mean(), "latent_square": z.detach().square().mean()}
        return {"reconstruction": error.flatten(1).mean(1)} | prior, moments | observed

    def commitment(self, codebook: Codebook, z: Tensor) -> tuple[Terms, Terms]:
        """The commitment b |z - sg(e)|^2, Eq. 3, per dimension of z; observed: use of the codes."""
        index = codebook.nearest(z)
        distance = (z - codebook.codes_of(index)).square().flatten(1).mean(1)
        statistics = codebook.batch_statistics(z, index)
        if self.training:
            self.statistics.append(statistics)
        count = statistics[:, 0]
        observed = {"perplexity": perplexity(count), "codes_used": (count > 0).float().mean()}
        return {"commitment": self.config.commitment * distance}, observed

    def after_update(self, terms: Terms) -> None:
        """Update the moments of the latents and the codes."""
        self.generator.settle(terms["latent_mean"], terms["latent_square"])
        if self.generator.codebook is not None:
            statistics = gathered(torch.stack(self.statistics))
            self.statistics.clear()
            self.generator.codebook.move(statistics, self.config.codebook_decay)
