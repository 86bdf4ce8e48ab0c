"""All that a family promises: what a batch carries, what a phase minimises, what outlives training.

The unit of training is the PHASE, one optimizer update. A family says WHAT to minimise, over WHICH
parameters and HOW OFTEN; the training loop says how. A loss is a function of the batch that
reads like its equation: it never freezes, detaches, scales, accumulates or synchronises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.optim import Optimizer

Terms = dict[str, Tensor]
"""A loss, term by term. The sum of the means is minimised; each mean is logged."""

Loss = Callable[["Batch"], Terms | tuple[Terms, Terms]]
"""A loss returns its terms, or (terms, observed): observed values are reduced and logged, never minimised."""


DISCRIMINATOR, GENERATOR = "discriminator", "generator"  # the roles by which an adversarial family is known


class Config(BaseModel):
    """The hyperparameters of one family: typed, with defaults, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class SourceShape:
    """The shape of a source image."""

    channels: int
    resolution: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C', H', W') of one source."""
        return self.channels, self.resolution, self.resolution


@dataclass(frozen=True)
class Card:
    """What a network must know of the data: shape of an image and of a source, classes, encoded captions."""

    channels: int
    resolution: int
    num_classes: int = 0  # 0: unlabelled
    text: int = 0  # numbers in a token of an encoded caption; 0: no captions, or none encoded
    source: SourceShape | None = None  # None: the data has no sources, or the family takes none

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.channels, self.resolution, self.resolution

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, without a source where there is none."""
        values = dataclasses.asdict(self)
        return values if self.source else {key: v for key, v in values.items() if key != "source"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Card:
        """Returns the card that `to_json` wrote."""
        source = values.get("source")
        return cls(**{**values, "source": SourceShape(**source) if source else None})


@dataclass(frozen=True)
class Batch:
    """One batch; axis 0 of every tensor is the batch."""

    n: int
    image: Tensor | None = (
        None  # (N, C, H, W) in [-1, 1]: what the family learns to generate; None when sampling
    )
    label: Tensor | None = None  # (N,) int64
    source: Tensor | None = None  # (N, C', H', W') in [-1, 1]: edge map, low resolution, or the other domain
    text: Tensor | None = None  # (N, L, D) encoded captions
    text_mask: Tensor | None = None  # (N, L) bool
    mask: Tensor | None = None  # (N, 1, H, W) for inpainting
    latent: Tensor | None = None  # (N, 2, c, h, w) mean and log variance of an upstream encoder, kept

    def __len__(self) -> int:
        return self.n

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every tensor in it."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed: dict[str, Any] = {
            name: function(value) for name, value in values.items() if isinstance(value, Tensor)
        }
        return dataclasses.replace(self, **changed)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`."""
        return self.map(lambda t: t.to(device, non_blocking=True))

    def __getitem__(self, index: slice) -> Batch:
        part = self.map(lambda t: t[index])
        return dataclasses.replace(part, n=len(range(*index.indices(self.n))))


class Noise:
    """Random numbers for sampling.

    One generator per image, so image i depends on its own seed and on nothing else.
    """

    def __init__(self, seeds: Iterable[int], device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        # Always drawn on the CPU: the same seed then gives the same image on every device.
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self.generators)

    def __call__(self, *shape: int) -> Tensor:
        """Standard normal noise, (N, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform noise in [0, 1), (N, *shape)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators]).to(self.device)


@dataclass(frozen=True)
class Phase:
    """One optimizer update: a loss, the optimizer whose parameters it moves, and when it is due."""

    name: str
    loss: Loss
    optimizer: Optimizer
    every: int = 1  # in steps; WGAN's n_critic and StyleGAN2's lazy regularisation are both this number
    after: Callable[[Terms], None] | None = (
        None  # once after each update, with terms reduced over shards and ranks
    )
    role: str | None = None  # DISCRIMINATOR or GENERATOR; None: as its name says

    def is_due(self, step: int) -> bool:
        """Whether the phase runs at `step` (from 0): the first time after `every` steps."""
        return (step + 1) % self.every == 0

    @property
    def plays(self) -> str:
        """The part it plays in an adversarial game, where it plays one."""
        return self.role or self.name

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters this phase moves."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


@dataclass(frozen=True)
class Remedy:
    """What can be done about a disease of training: a change of the family's settings."""

    name: str
    paper: str  # who found that it helps
    change: Mapping[str, Any]  # fields of the family's Config and their new values


@dataclass(frozen=True)
class Study:
    """Settings of sampling to be compared: the same weights, seeds and conditions for every variant.

    A variant called "ddim 4" is the point x = 4 of the line ddim, and "1.5" the point of an only line; where
    a name does not end in a number, the study is a table without a plot.
    """

    name: str  # also what x is
    title: str
    variants: Mapping[str, Mapping[str, Any]]  # name -> fields of Config that nothing but sampling reads


class Generator(nn.Module):
    """What outlives training.

    One that samples step by step may also show its way, in images in [-1, 1], (frames, N, C, H, W):

        trajectory(batch, noise, frames)    of `sample`, from noise to the sample, which is the last frame
        noised(image, noise, frames)        of real images (N, C, H, W) to noise, the image itself first

    One that encodes images into vectors (Family.codes) also has `latent`, the numbers in one, and

        code(batch)                         of batch.image, (N, Z); where it is uncertain, the mean
        picture(z, batch)                   what codes (N, Z) stand for, (N, C, H, W) in [-1, 1]

    and, where its codes have a distribution,

        posterior(batch)                    mean and log variance of q(z|x), (N, Z) each
        has_likelihood                      whether there is a log p(x)
        log_weights(batch, noise, k)        log p(x|z) p(z) / q(z|x) for k draws from q(z|x), (N, k), in nats

    The batch carries the labels, where it is conditional.
    """

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], image i a function of weights, condition i and noise i alone."""
        raise NotImplementedError


class Family(nn.Module):
    """A generative model family: its networks, its losses, and the phases that train them.

    Subclasses set the class attributes, build their networks as direct children (all that a phase trains
    hangs below one or more of them) and fill `phases`.
    """

    Config: ClassVar[type[Config]]
    paper: ClassVar[str]  # authors, year, title, link
    task: ClassVar[str] = "generate"  # one of components/families/tasks.py: whom its numbers compete with
    needs: ClassVar[frozenset[str]] = frozenset()  # of label, source, text: what a batch must carry
    takes: ClassVar[frozenset[str]] = frozenset()  # of the same: what it makes use of where the data has it
    # Trained models it builds on: name -> families that it may be of, the first where none of them is named.
    upstream: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    codes: ClassVar[bool] = False  # whether its generator encodes images into vectors, and back
    caches: ClassVar[str | None] = None  # the one of these whose encodings of the images are kept for it

    # What the literature calls healthy, by row key ("discriminator/D(x)"): advice that plots show.
    bands: Mapping[str, tuple[float, float]] = {}

    generator: Generator
    phases: Sequence[Phase]

    def __init__(self, config: Any, card: Card, upstream: Mapping[str, nn.Module] | None = None):
        super().__init__()
        self.config, self.card = config, card
        self.given = dict(upstream or {})  # generators, by the names in `upstream`; frozen
        if missing := [families for name, families in self.upstream.items() if name not in self.given]:
            raise ValueError(f"it builds on a trained {' or '.join(missing[0])}, which was not given")
        if "source" in self.needs and card.source is None:
            raise ValueError("it makes images from sources, and the data has none")

    @classmethod
    def conditions(cls, config: Any, card: Card) -> frozenset[str]:
        """What its samples depend on, of label and text, with these settings and data."""
        there = {"label": bool(card.num_classes), "text": bool(card.text)}
        return frozenset(kind for kind in cls.needs | cls.takes if there.get(kind))

    def check_shard(self, images: int) -> None:
        """Raises ValueError, in one sentence, where it cannot be trained on shards of so many images."""

    def begin(self, step: int) -> None:
        """Set whatever depends on the step (fade-in, blur, augmentation strength).

        A pure function of `step`.
        """

    @classmethod
    def studies(cls, config: Any, card: Card) -> Sequence[Study]:
        """Comparisons of sampling settings that are worth making with these settings and data."""
        return ()

    def remedies(self, disease: str) -> Sequence[Remedy]:
        """What can still be done about a disease of training (components/training/health), in turn."""
        return ()

    def changed(self, change: Mapping[str, Any]) -> Self:
        """The same family with some settings changed, newly initialised."""
        config = type(self.config)(**(self.config.model_dump() | dict(change)))
        return type(self)(config, self.card, self.given)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The distinct optimizers, in the order of the phases; two phases may share one."""
        return list(dict.fromkeys(phase.optimizer for phase in self.phases))
