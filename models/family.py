"""The interface of a model family: its batches, its training phases and its generator.

The unit of training is the phase: one optimizer update. A family declares which losses to minimise, over
which parameters and how often; the training loop does the rest. A loss is a function of the batch that reads
like its equation: it never freezes, detaches, scales, accumulates or synchronises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.optim import Optimizer

from models.data_spec import DataSpec

Terms = dict[str, Tensor]
"""The terms of a loss by name. The sum of their means is minimised; each mean is logged."""

Loss = Callable[["Batch"], Terms | tuple[Terms, Terms]]
"""A loss returns its terms, or (terms, observed): observed values are reduced and logged, never minimised."""

DISCRIMINATOR, GENERATOR = "discriminator", "generator"  # roles of the phases of an adversarial family


class Config(BaseModel):
    """The hyperparameters of one family. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Batch:
    """One batch; axis 0 of every tensor is the batch."""

    n: int
    image: Tensor | None = None  # (N, C, H, W) in [-1, 1], the target of generation; None when sampling
    label: Tensor | None = None  # (N,) int64
    source: Tensor | None = None  # (N, C', H', W') in [-1, 1]: edge map, low resolution, or the other domain
    text: Tensor | None = None  # (N, L, D) encoded captions
    text_mask: Tensor | None = None  # (N, L) bool
    mask: Tensor | None = None  # (N, 1, H, W) for inpainting
    latent: Tensor | None = None  # (N, 2, c, h, w) cached mean and log variance of an upstream encoder

    def __len__(self) -> int:
        return self.n

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with `function` applied to each of its tensors."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        changes: dict[str, Any] = {name: function(value) for name, value in tensors.items()}
        return dataclasses.replace(self, **changes)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on `device`."""
        return self.map(lambda t: t.to(device, non_blocking=True))

    def __getitem__(self, index: slice) -> Batch:
        part = self.map(lambda t: t[index])
        return dataclasses.replace(part, n=len(range(*index.indices(self.n))))


class Noise:
    """Random numbers for sampling, from one generator per image: image i depends only on its own seed."""

    def __init__(self, seeds: Iterable[int], device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        # Always on the CPU, so that a seed gives the same image on every device.
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self.generators)

    def __call__(self, *shape: int) -> Tensor:
        """Return standard normal noise, (N, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Return uniform noise in [0, 1), (N, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)


@dataclass(frozen=True)
class Phase:
    """One optimizer update: a loss, the optimizer whose parameters it updates, and its schedule."""

    name: str
    loss: Loss
    optimizer: Optimizer
    every: int = 1  # in steps; WGAN's n_critic and StyleGAN2's lazy regularisation are both this number
    # Called after each update with the terms reduced over shards and ranks.
    after: Callable[[Terms], None] | None = None
    role: str | None = None  # DISCRIMINATOR or GENERATOR; None: the name is the role

    def is_due(self, step: int) -> bool:
        """Whether the phase runs at `step` (from 0): the first time after `every` steps."""
        return (step + 1) % self.every == 0

    @property
    def plays(self) -> str:
        """The role in an adversarial game; the name for other phases."""
        return self.role or self.name

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that this phase updates."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


@dataclass(frozen=True)
class Motion:
    """A rotation about the centre of images, and a shift after it; one of each for every image."""

    angle: Tensor  # (N,) in radians, from x (right) to y (down)
    shift: Tensor  # (N, 2) along x and y, in image sides

    def __len__(self) -> int:
        return len(self.angle)


@dataclass(frozen=True)
class Remedy:
    """A treatment for a training problem: a change of the family's settings."""

    name: str
    paper: str  # the source of the advice
    change: Mapping[str, Any]  # fields of the family's Config and their new values
    start: str | None = None  # field that holds the step at which the treatment starts, if it counts steps

    def change_at(self, step: int) -> dict[str, Any]:
        """Return the change for a treatment that starts at `step`."""
        return dict(self.change) | ({self.start: step} if self.start else {})


@dataclass(frozen=True)
class Study:
    """A comparison of sampling settings: every variant uses the same weights, seeds and conditions.

    The variant "ddim 4" is the point x = 4 of the line "ddim"; "1.5" is a point of the only line. If a name
    does not end in a number, the comparison is a table without a plot.
    """

    name: str  # also the name of x
    title: str
    variants: Mapping[str, Mapping[str, Any]]  # name -> fields of Config that only sampling reads


class Generator(nn.Module):
    """The networks that remain after training.

    A generator that samples step by step may return images in [-1, 1], (frames, N, C, H, W), of both
    directions:

        trajectory(batch, noise, frames)    `sample` from noise to the sample, which is the last frame
        noised(image, noise, frames)        real images (N, C, H, W) to noise, the image itself first

    and calls its network through

        denoiser(condition)                 (x, level) -> x_0, with x (N, C, H, W) and one level for all
        levels()                            the noise levels of sampling, falling
        decoded(x)                          the images of x_0, (N, C, H, W) in [-1, 1]

    A generator that reads buffers to decide how it samples has

        fix()                               decide now, so that torch.export can trace `sample`

    A generator that encodes images into vectors (Family.codes) has `latent`, the dimensions of a code, and

        code(batch)                         the codes of batch.image, (N, Z); the mean of a distribution
        picture(z, batch)                   the images of codes (N, Z), (N, C, H, W) in [-1, 1]

    and, if its codes have a distribution,

        posterior(batch)                    mean and log variance of q(z|x), (N, Z) each
        has_likelihood                      whether log p(x) is defined
        log_weights(batch, noise, k)        log p(x|z) p(z) / q(z|x) for k draws from q(z|x), (N, k), in nats

    A generator that enlarges sources of any size, also in `sample`, has

        enlarge(x)                          sources (N, C, h, w), enlarged

    A generator that translates between two domains without pairs has, besides `sample` from x to y,

        backward(batch, noise)              the images of the other direction, F(y) with y = batch.source
        forward_cycle(batch, noise)         F(G(x)) with x = batch.source
        backward_cycle(batch, noise)        G(F(y)) with y = batch.source

    A style-based generator maps z to w, and makes images of a style w for each layer. It has

        mapping(z, label)                   w (N, W) of z (N, mapping.latent); `mapping.mean` is the mean w,
                                            and `mapping.num_classes` is 0 if there are no classes
        styles(z, label)                    the same w for each layer, (N, L, W), L = synthesis.num_styles
        synthesis(ws, noises)               the images of styles, (N, C, H, W), not clipped, with noise inputs
                                            (N, 1, s, s) for each s of `synthesis.noise_sizes`
        config                              with the fields `truncation` and `truncation_cutoff`

    and its samples draw z first, then the noise inputs in order.

    A generator whose input can be rotated and shifted has

        can_move                            True
        moved(batch, noise, motion)         the samples with their input moved, (N, C, H, W), not clipped

    The batch carries the labels if the generator is class-conditional.
    """

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1]; image i depends only on weights, condition i and noise i."""
        raise NotImplementedError


class Family(nn.Module):
    """A generative model family: its networks, its losses, and the phases that train them.

    Subclasses set the class attributes, build their networks as direct children (every trained parameter
    belongs to one of them) and fill `phases`.
    """

    Config: ClassVar[type[Config]]
    paper: ClassVar[str]  # authors, year, title, link
    task: ClassVar[str] = "generate"  # one of components/families/tasks.py: results compare within a task
    # The metric that its snapshots are compared by, where it is not that of its task.
    selects: ClassVar[Literal["frechet_distance", "mse"] | None] = None
    needs: ClassVar[frozenset[str]] = frozenset()  # of label, source, text: required in a batch
    takes: ClassVar[frozenset[str]] = frozenset()  # conditions it uses if the data has them
    # Trained models it builds on: name -> accepted families, the first being the default.
    upstream: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    codes: ClassVar[bool] = False  # whether its generator encodes images into vectors and back
    cached_upstream: ClassVar[str | None] = (
        None  # the upstream model whose encodings of the images are cached
    )

    # Healthy ranges from the literature by row key ("discriminator/D(x)"), drawn in plots.
    bands: Mapping[str, tuple[float, float]] = {}

    # Factor on the learning rates of the step for which `begin` was called, besides that of the schedule.
    lr_factor: float = 1.0

    generator: Generator
    phases: Sequence[Phase]

    def __init__(self, config: Any, card: DataSpec, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__()
        self.config, self.card = config, card
        # Frozen generators by the names in `upstream`, and the network of `features`; not part of the state.
        self.given = dict(upstream or {})
        if missing := [families for name, families in self.upstream.items() if name not in self.given]:
            raise ValueError(f"it builds on a trained {' or '.join(missing[0])}, which is missing")
        if "source" in self.needs and card.source is None:
            raise ValueError("it makes images from sources, and the data has none")

    @classmethod
    def conditions(cls, config: Any, card: DataSpec) -> frozenset[str]:
        """Return the conditions of its samples, of label and text, with these settings and data."""
        available = {"label": bool(card.num_classes), "text": bool(card.text)}
        return frozenset(kind for kind in cls.needs | cls.takes if available.get(kind))

    @classmethod
    def features(cls, config: Any) -> str | None:
        """Return the frozen network in whose features a loss compares images; None: no loss does.

        Training passes it as `given["features"]`, called as models/parts/perceptual.py says; sampling does
        not need it.
        """
        return None

    @classmethod
    def advice(cls, config: Any, card: DataSpec) -> str | None:
        """Return a sentence on settings that are valid but do not suit the data; None: they do."""
        return None

    @classmethod
    def for_batch(cls, config: Any, card: DataSpec, batch: int) -> Any:
        """Return the settings with those filled in that depend on the images per step, of all workers.

        Raises:
            ValueError: One of them is not set, and no rule gives it.
        """
        return config

    @classmethod
    def for_images(cls, config: Any, card: DataSpec, images: int, *, smoke: bool = False) -> Any:
        """Return the settings for a training of this number of images.

        Args:
            config: The settings.
            card: The data.
            images: Steps times images per step.
            smoke: Whether the training only shows that everything works; settings may be shortened.

        Raises:
            ValueError: The training is too short for its settings.
        """
        return config

    def check_shard(self, images: int) -> None:
        """Raise ValueError, in one sentence, if shards of this number of images cannot be trained on."""

    def begin(self, step: int) -> None:
        """Set the state that depends on the step (fade-in, blur, augmentation): a pure function of `step`."""

    @classmethod
    def studies(cls, config: Any, card: DataSpec) -> Sequence[Study]:
        """Return useful comparisons of sampling settings for these settings and data."""
        return ()

    def remedies(self, disease: str) -> Sequence[Remedy]:
        """Return the remaining treatments for a training problem (components/training/health), best first."""
        return ()

    def changed(self, change: Mapping[str, Any]) -> Self:
        """Return the same family with some settings changed, newly initialised."""
        config = type(self.config)(**(self.config.model_dump() | dict(change)))
        return type(self)(config, self.card, self.given)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The distinct optimizers, in the order of the phases; two phases may share one."""
        return list(dict.fromkeys(phase.optimizer for phase in self.phases))
