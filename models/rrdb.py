"""Wang et al. 2018, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks.

https://arxiv.org/abs/1809.00219. This is its PSNR-oriented network, Sec. 3.1 and 4.1.

    min E[|y - G(x)|]

G enlarges a source x 2 or 4 times, deterministically. Sources are those of the data, or antialiased bicubic
reductions of its images. The paper trains G on images of 128 pixels with `train: {batch: 16}`, and halves the
learning rate every 200,000 steps.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator
from torch import Tensor, nn

from models import family
from models.data_spec import DataSpec
from models.family import Batch, Config, Family, Noise, Phase, Terms
from models.parts.layers import adam, to_image
from models.parts.losses import l1
from models.parts.resizing import enlarged, reduced
from models.parts.rrdb import SCALES, RRDBNet
from models.parts.tiles import tiled
from models.search_space import tunable

OVERLAP = 32  # pixels of the source that neighbouring tiles share at least


class UpscalingConfig(Config):
    """Settings of sampling that both stages share."""

    # Largest side of a source in pixels that is enlarged whole; a larger one is cut into tiles of this side.
    tile: int = Field(192, ge=3 * OVERLAP)


class RRDBConfig(UpscalingConfig):
    """Hyperparameters of the PSNR-oriented network: the paper's."""

    # fmt: off
    scale: int | None = None  # 2 or 4; None: that of the data's sources, else 4 if it divides the resolution
    # Channels of feature maps.
    width: int = tunable(64, ge=1, choices=(16, 32, 64), source="Wang et al. 2018, authors' code: 64")
    # Channels that each convolution of a dense block adds.
    growth: int = tunable(32, ge=1, choices=(8, 16, 32), source="Wang et al. 2018, authors' code: 32")
    # Residual-in-residual dense blocks.
    blocks: int = tunable(23, ge=1, choices=(2, 4, 8, 16, 23), source="Wang et al. 2018, Sec. 4.1: 23")
    # Learning rate.
    lr: float = tunable(2e-4, gt=0, low=1e-4, high=2e-3, log=True, source="Wang et al. 2018, Sec. 4.1: 2e-4")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    # fmt: on

    @field_validator("scale")
    @classmethod
    def _doubles(cls, scale: int | None) -> int | None:
        if scale not in (None, *SCALES):
            raise ValueError(f"scale={scale}: the network doubles an image once or twice, so set 2 or 4")
        return scale


def scale_of(scale: int | None, card: DataSpec) -> int:
    """Return the scale: that of the data's sources, `scale`, or the largest that divides the resolution.

    Raises:
        ValueError: Sources have another scale or other channels, or the scale does not divide the resolution.
    """
    source, side = card.source, card.resolution
    if source is None:
        if scale is None:
            scale = next((s for s in reversed(SCALES) if side % s == 0), SCALES[0])
        if side % scale:
            raise ValueError(f"scale={scale} must divide the resolution, {side}")
        return scale
    card.check_same_colours()
    accepted = SCALES if scale is None else (scale,)
    if side not in (s * source.resolution for s in accepted):
        times = " or ".join(str(s) for s in accepted)
        raise ValueError(
            f"sources have {source.resolution} pixels a side and images {side}, and the network enlarges "
            f"{times} times"
        )
    return side // source.resolution


class Generator(family.Generator):
    """G(x), for sources of any size."""

    config: UpscalingConfig

    def __init__(self, config: UpscalingConfig, card: DataSpec, network: RRDBNet):
        super().__init__()
        self.config, self.card, self.network = config, card, network

    @property
    def source_resolution(self) -> int:
        """Side of a source of the data's images, in pixels."""
        return self.card.resolution // self.network.scale

    def source(self, batch: Batch) -> Tensor:
        """Return the sources of a batch, or its images reduced, (N, C, h, w)."""
        if batch.source is not None:
            return batch.source
        assert batch.image is not None
        return reduced(batch.image, self.source_resolution)

    def conditioning_image(self, batch: Batch, noise: Noise) -> Tensor:
        """Return the sources enlarged by bicubic interpolation, (N, C, H, W) in [-1, 1]."""
        return enlarged(self.source(batch), self.card.resolution)

    def enlarge(self, x: Tensor) -> Tensor:
        """G(x), (N, C, h, w) -> (N, C, scale h, scale w), with the settings of sampling."""
        return self.network(x)

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(x), in tiles if a source has a side above `tile`; the noise is not used."""
        x = self.source(batch)
        if max(x.shape[2:]) <= self.config.tile:
            return to_image(self.enlarge(x))
        return to_image(tiled(self.enlarge, x, self.network.scale, self.config.tile, OVERLAP))


class RRDB(Family):
    """An RRDB network trained for the smallest absolute error."""

    Config = RRDBConfig
    config: RRDBConfig
    task = "upscale"
    takes = frozenset({"source"})
    paper = (
        "Wang et al. 2018, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks "
        "(its PSNR-oriented network), https://arxiv.org/abs/1809.00219"
    )
    generator: Generator

    def __init__(self, config: RRDBConfig, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__(config, card, upstream)
        network = RRDBNet(
            card.channels,
            scale=scale_of(config.scale, card),
            width=config.width,
            growth=config.growth,
            blocks=config.blocks,
        )
        self.generator = Generator(config, card, network)
        optimizer = adam(self.generator, lr=config.lr, betas=(config.beta1, config.beta2))
        self.phases = (Phase("pixels", self.loss, optimizer),)

    def loss(self, batch: Batch) -> Terms:
        """|y - G(x)|, the mean over pixels."""
        assert batch.image is not None
        return {"l1": l1(batch.image, self.generator.network(self.generator.source(batch)))}
