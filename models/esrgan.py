"""Wang et al. 2018, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks.

https://arxiv.org/abs/1809.00219

    D: min -E[log D_Ra(y, G(x))] - E[log(1 - D_Ra(G(x), y))]        D_Ra(a, b) = sigmoid(D(a) - E[D(b)])
    G: min |phi(y) - phi(G(x))| + lambda L_Ra + eta |y - G(x)|

G enlarges a source x 2 or 4 times. It starts from the weights of the PSNR-oriented network (models/rrdb.py),
which is kept beside it: samples may be made with weights between the two (Sec. 3.4). phi are the features of
a frozen network. Real-ESRGAN (Wang et al. 2021, https://arxiv.org/abs/2107.10833) has a U-Net as D:
`{discriminator: unet, norm: none, spectral_norm: true, loss: non_saturating, gan: 0.1, l1: 1.0,
perceptual_layer: all}`.

The relativistic averages are over a shard. The paper trains on images of 128 pixels with `train: {batch: 16}`
and halves the learning rates after 50,000, 100,000, 200,000 and 300,000 of 400,000 steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import interpolate, leaky_relu

from models import rrdb
from models.adversarial import Adversarial
from models.adversarial_config import AdversarialConfig, LossName, Norm
from models.data_spec import DataSpec
from models.family import GENERATOR, Batch, Study, Terms
from models.parts.discriminator import Discriminator, batch_statistics
from models.parts.layers import halvings
from models.parts.losses import l1
from models.parts.patches import with_statistics
from models.parts.perceptual import Layer, perceptual_distance
from models.parts.rrdb import RRDBNet, conv3
from models.rrdb import UpscalingConfig
from models.search_space import tunable

WIDEST = 8  # widths of the widest feature map: 512 channels over 64
SMALLEST = 8  # pixels a side of an image, which the VGG-style D halves once
HIDDEN = 100  # units of the dense layer of the VGG-style D


class ESRGANConfig(AdversarialConfig, UpscalingConfig):
    """Hyperparameters of ESRGAN: the paper's. The size of G is that of the upstream network."""

    # fmt: off
    loss: LossName = tunable("relativistic_average",
        choices=("relativistic_average", "relativistic", "non_saturating"),
        source="Wang et al. 2018, Sec. 3.2: relativistic_average")
    # Lambda, the weight of the adversarial loss of G.
    gan: float = tunable(5e-3, ge=0, low=5e-4, high=0.1, log=True,
        source="Wang et al. 2018, Sec. 4.1: 5e-3; Wang et al. 2021: 0.1")
    # Eta, the weight of |y - G(x)| on pixels in [0, 1].
    l1: float = tunable(1e-2, ge=0, low=1e-3, high=1.0, log=True,
        source="Wang et al. 2018, Sec. 4.1: 1e-2; Wang et al. 2021: 1")
    # Weight of the perceptual loss.
    perceptual: float = tunable(1.0, ge=0, choices=(0.0, 0.1, 1.0), source="Wang et al. 2018, Eq. 4: 1")
    # Its features: the layers of VGG19 before max-pooling, or what corresponds to them.
    perceptual_layer: Layer = tunable(5, choices=(3, 4, 5, "all"),
        source="Wang et al. 2018, Sec. 3.3: conv5_4, the fifth; Wang et al. 2021: all")
    # The frozen network; auto: VGG19 where its weights are at hand, else EfficientNet-Lite0.
    perceptual_network: Literal["auto", "vgg19", "efficientnet"] = "auto"
    # Vgg has a score for the image, unet one for each pixel.
    discriminator: Literal["vgg", "unet"] = tunable("vgg",
        source="Wang et al. 2018, Sec. 4.1: vgg; Wang et al. 2021, Sec. 3.3: unet, with spectral_norm")
    # Channels of D's first feature map.
    width: int = tunable(64, ge=1, choices=(16, 32, 64), source="Wang et al. 2018, authors' code: 64")
    lr: float = tunable(1e-4, gt=0, low=2.5e-5, high=4e-4, log=True,
        source="Wang et al. 2018, Sec. 4.1: 1e-4")
    beta1: float = tunable(0.9, ge=0, lt=1, low=0.0, high=0.9, active_if=("optimizer", "adam"),
        source="Wang et al. 2018, Sec. 4.1: 0.9")
    beta2: float = Field(0.999, ge=0, lt=1)
    norm: Norm = tunable("batch", active_if=("discriminator", "vgg"),
        source="Wang et al. 2018, authors' code: batch")
    # Alpha of samples: 0 the weights of the PSNR-oriented network, 1 those of the GAN.
    interpolate: float = tunable(1.0, ge=0, le=1, low=0.0, high=1.0, sampling=True,
        source="Wang et al. 2018, Sec. 3.4 and 4.4: 0.8 for the perceptual index")
    # fmt: on

    @model_validator(mode="after")
    def _of_unet(self) -> Self:
        if self.discriminator == "unet" and self.norm == "batch":
            raise ValueError("discriminator: unet has no BatchNorm; set norm: none and spectral_norm: true")
        return self


class Generator(rrdb.Generator):
    """G and the PSNR-oriented network, from whose weights it started."""

    config: ESRGANConfig

    def __init__(self, config: ESRGANConfig, card: DataSpec, psnr: RRDBNet):
        super().__init__(config, card, copy.deepcopy(psnr).requires_grad_(True))
        self.psnr = psnr.requires_grad_(False)

    def interpolated(self, alpha: float) -> Callable[[Tensor], Tensor]:
        """Return the network with the weights (1 - alpha) theta_PSNR + alpha theta_GAN. Eq. 5."""
        if alpha in (0, 1):
            return self.network if alpha else self.psnr
        psnr = dict(self.psnr.named_parameters())
        weights = {name: psnr[name].lerp(gan, alpha) for name, gan in self.network.named_parameters()}
        return lambda x: functional_call(self.network, weights, (x,))

    def enlarge(self, x: Tensor) -> Tensor:
        """G(x) with the weights that `interpolate` asks for, (N, C, h, w) -> (N, C, scale h, scale w)."""
        return self.interpolated(self.config.interpolate)(x)


def vgg_discriminator(config: ESRGANConfig, card: DataSpec) -> Discriminator:
    """Return D of SRGAN, Ledig et al. 2017, Fig. 4, for any size: pairs of convolutions, the second halving.

    64-64, 128-128, 256-256, 512-512, 512-512 at the paper's 128 pixels, of which 4 remain; then two dense
    layers.
    """
    normed = config.norm == "batch"

    def layer(before: int, after: int, kernel: int, stride: int, norm: bool) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, kernel, stride, 1, bias=not norm)
        return [convolution, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2)]

    sizes = halvings(card.resolution, smallest=4)
    layers, before = list[nn.Module](), card.channels
    for i in range(len(sizes) - 1):
        after = config.width * min(2**i, WIDEST)
        layers += layer(before, after, 3, 1, normed and i > 0) + layer(after, after, 4, 2, normed)
        before = after
    dense = nn.Linear(before * sizes[-1] ** 2, HIDDEN)
    features = nn.Sequential(*layers, nn.Flatten(), dense, nn.LeakyReLU(0.2))
    return Discriminator(features, HIDDEN, config)


class UNetDiscriminator(nn.Module):
    """A score for each pixel from a U-Net of three levels. Wang et al. 2021, Fig. 4 (b)."""

    def __init__(self, config: ESRGANConfig, card: DataSpec):
        super().__init__()
        widths = [config.width * 2**i for i in range(4)]  # 64, 128, 256, 512
        self.first = conv3(card.channels, widths[0])
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 4, 2, 1, bias=False)
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(after, before, 3, 1, 1, bias=False)
            for before, after in reversed(list(zip(widths, widths[1:], strict=False)))
        )
        self.end = nn.ModuleList(nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False) for _ in range(2))
        statistics = batch_statistics(widths[0], config)
        self.statistics = nn.ModuleList(statistics)
        self.score = conv3(widths[0] + sum(s.width for s in statistics), 1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, H, W); the label is not used."""
        levels = [leaky_relu(self.first(x), 0.2)]
        for layer in self.down:
            levels.append(leaky_relu(layer(levels[-1]), 0.2))
        h = levels.pop()
        for layer in self.up:
            skip = levels.pop()
            h = interpolate(h, size=skip.shape[2:], mode="bilinear", align_corners=False)
            h = leaky_relu(layer(h), 0.2) + skip
        for layer in self.end:
            h = leaky_relu(layer(h), 0.2)
        return self.score(with_statistics(h, self.statistics)).squeeze(1).float()

    @property
    def free_layers(self) -> tuple[nn.Module, ...]:
        """The layers without spectral normalisation, as in the authors' code."""
        return self.first, self.score


class ESRGAN(Adversarial):
    """A GAN that enlarges images, from the weights of the PSNR-oriented network on."""

    Config = ESRGANConfig
    config: ESRGANConfig
    generator: Generator
    task = "upscale"
    selects = "frechet_distance"  # by mse, the first snapshot would be best: the PSNR-oriented network's
    takes = frozenset({"source"})
    upstream = {"psnr": ("rrdb",)}
    paper = (
        "Wang et al. 2018, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks, "
        "https://arxiv.org/abs/1809.00219"
    )

    def networks(self, config: Any, card: DataSpec) -> tuple[Generator, nn.Module]:
        """Return G, with the weights of the PSNR-oriented network, and D."""
        if card.resolution < SMALLEST:
            raise ValueError(f"images have {card.resolution} pixels a side, and must have {SMALLEST} or more")
        psnr = self.given["psnr"]
        assert isinstance(psnr, rrdb.Generator)
        discriminator = (
            vgg_discriminator(config, card)
            if config.discriminator == "vgg"
            else UNetDiscriminator(config, card)
        )
        score = f"{GENERATOR}/score"  # is logged with its weight
        self.bands = {
            key: (low * config.gan, high * config.gan) if key == score else (low, high)
            for key, (low, high) in self.bands.items()
        }
        return Generator(config, card, psnr.network), discriminator

    @classmethod
    def features(cls, config: ESRGANConfig) -> str | None:
        """Return the network of the perceptual loss, if it has a weight."""
        return config.perceptual_network if config.perceptual else None

    @classmethod
    def studies(cls, config: ESRGANConfig, card: DataSpec) -> Sequence[Study]:
        """Compare weights between those of the PSNR-oriented network and those of the GAN, Sec. 4.4."""
        variants = {f"{alpha:g}": {"interpolate": alpha} for alpha in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
        return [Study("interpolate", "From the PSNR-oriented network (0) to the GAN (1)", variants)]

    def fake(self, batch: Batch) -> Tensor:
        """G(x) for each source of `batch`."""
        return self.generator.network(self.generator.source(batch))

    def generator_loss(self, batch: Batch) -> tuple[Terms, Terms]:
        """L_percep + lambda L_Ra + eta L_1, Eq. 4."""
        c, y, fake = self.config, batch.image, self.fake(batch)
        assert y is not None
        terms, observed = self.generator_score(self.discriminator, y, fake, batch)
        terms["score"] = c.gan * terms["score"]
        terms["l1"] = c.l1 * l1(y, fake) / 2  # the paper's pixels are from 0 to 1
        if c.perceptual:
            features: Any = self.given["features"]
            terms["perceptual"] = c.perceptual * perceptual_distance(features, y, fake, c.perceptual_layer)
        return terms, observed
