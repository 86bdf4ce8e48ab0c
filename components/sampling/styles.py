"""The styles of style-based generators: from seeds to w, the truncation trick, and from styles to images.

Karras, Laine & Aila 2019, A Style-Based Generator Architecture for Generative Adversarial Networks,
https://arxiv.org/abs/1812.04948. `models.family.Generator` says what such a generator has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from components.common.errors import Diverged, InputError
from components.common.hashing import digest
from components.common.seeds import derive, seed_of
from components.data.dataset import to_uint8
from components.families.artifact import load_model
from components.families.catalogue import is_style_based
from components.records.model import ModelConfig
from components.sampling.request import UNLABELLED, SampleOptions, class_number
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise
from models.parts.mapping import truncated
from models.registry import FAMILIES

WEIGHTS = "model.safetensors"
MAPPED = 10_000  # random z whose mean w is taken; App. D of Karras et al. 2020
AT_ONCE = 1000  # of these
BATCH = 16  # images that are made at once
MOST_SEEDS = 1000  # of one option
PARTS = ("coarse", "middle", "fine")  # of the layers, a third each

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class StyleOptions(SampleOptions):
    """Options of samples, and those of style-based families, on which no stage's key depends."""

    truncation_mean: str | None = None  # "class": truncation is towards the mean of w of the image's class


@dataclass(frozen=True)
class Key:
    """A point of W with the noise inputs of its image."""

    w: Tensor  # (W,)
    noises: Sequence[Tensor]  # (1, size, size) each
    z: Tensor | None = None  # (Z,); None: w is that of a file
    label: int | None = None


@dataclass(frozen=True)
class Styles:
    """A style-based generator in eval mode, without gradients of its weights.

    Attributes:
        generator: maps z to w, and makes images of styles.
        card: the shape of the images.
        model: its config.json.
        weights: sha256 of its weights.
        psi: of the truncation trick.
        cutoff: layers that are truncated, from the first; None: all.
        by_class: whether truncation is towards the mean of a class.
        label: the class of all images; None: classes in turn.
        class_means: the means of w by class, as far as they are known.
    """

    generator: Any
    card: DataSpec
    model: ModelConfig
    weights: str = ""
    psi: float = 1.0
    cutoff: int | None = None
    by_class: bool = False
    label: int | None = None
    class_means: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def open(cls, model: Path, options: StyleOptions, use: str) -> Self:
        """Open an exported model.

        Args:
            model: folder with model.safetensors and config.json.
            options: of the truncation and the class.
            use: what the model is for, in errors.

        Raises:
            InputError: its family is not style-based, or the options do not fit it.
        """
        generator, card, config = load_model(model, options.settings)
        if not is_style_based(config.family):
            others = ", ".join(name for name in FAMILIES if is_style_based(name))
            raise InputError(f"{use}: {config.family} has no space W of styles; families that have: {others}")
        made = cls(generator.requires_grad_(False), card, config, digest(model / WEIGHTS, "sha256"))
        return made.with_options(options)

    def with_options(self, options: StyleOptions) -> Self:
        """Return the same with the truncation of the model's settings, and the options' class and mean.

        Raises:
            InputError: an option needs a class-conditional model.
        """
        by_class, label = options.truncation_mean == "class", None
        if not self.classes and (options.label is not None or by_class):
            option = "--truncation-mean class" if by_class else f"--label {options.label}"
            raise InputError(f"{option}: {UNLABELLED}")
        if options.label is not None:
            label = class_number(options.label, self.model.labels, self.card)
        config = self.generator.config
        psi, cutoff = config.truncation, config.truncation_cutoff
        if by_class and psi == 1:
            raise InputError("--truncation-mean class: set psi, below 1, with --truncation")
        return replace(self, psi=psi, cutoff=cutoff, by_class=by_class, label=label)

    @property
    def layers(self) -> int:
        """L, the number of styles of an image."""
        return int(self.generator.synthesis.num_styles)

    @property
    def device(self) -> torch.device:
        """Where the generator computes."""
        device: torch.device = self.generator.mapping.mean.device
        return device

    @property
    def classes(self) -> int:
        """The number of classes of a conditional generator; 0 of another."""
        return int(self.generator.mapping.num_classes)

    # From seeds and files to w.

    def keys(self, names: Sequence[int | Path]) -> list[Key]:
        """The points of seeds, which are those of their first samples, and of files of `atelier project`."""
        return [
            self.from_file(name) if isinstance(name, Path) else self.from_seed(name, i)
            for i, name in enumerate(names)
        ]

    @torch.no_grad()
    def from_seed(self, seed: int, turn: int = 0) -> Key:
        """The point of the first sample of a seed; `turn` chooses its class if none is set."""
        noise = Noise([seed_of(seed, 0)], self.device)
        z = noise(self.generator.mapping.latent)
        sizes = self.generator.synthesis.noise_sizes
        noises = [noise(1, size, size)[0] for size in sizes]  # as `sample` draws them
        label = (turn % self.classes if self.label is None else self.label) if self.classes else None
        return Key(self.mapped(z, label)[0], noises, z[0], label)

    def from_file(self, path: Path) -> Key:
        """The point that `atelier project` wrote for this model."""
        try:
            with safe_open(path, "pt") as file:
                about, names = file.metadata() or {}, file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: no file of `atelier project` can be read here: {error}") from None
        if about.get("weights") != self.weights or "w" not in tensors:
            raise InputError(f"{path} was not written by `atelier project` for this model; project again")
        sizes = range(len(self.generator.synthesis.noise_sizes))
        return Key(tensors["w"], [tensors[f"noise.{i}"] for i in sizes])

    def mapped(self, z: Tensor, label: int | None) -> Tensor:
        """W of z (N, Z) of one class, (N, W)."""
        labels = None if label is None else torch.full((len(z),), label, device=self.device)
        w: Tensor = self.generator.mapping(z, labels)
        return w

    @torch.no_grad()
    def mean(self, label: int | None = None, n: int = MAPPED) -> tuple[Tensor, float]:
        """The mean of w (W,) of random z, and sigma, the root of E|w - mean|^2; the same every time.

        Args:
            label: the class of all z; None of a conditional generator: each in turn.
            n: the number of z.
        """
        random = torch.Generator().manual_seed(derive("mean of w"))
        ws = []
        for start in range(0, n, AT_ONCE):
            z = torch.randn(min(AT_ONCE, n - start), self.generator.mapping.latent, generator=random)
            labels = None
            if self.classes:
                turns = torch.arange(start, start + len(z)) % self.classes
                labels = turns if label is None else torch.full_like(turns, label)
                labels = labels.to(self.device)
            ws.append(self.generator.mapping(z.to(self.device), labels))
        w = torch.cat(ws)
        mean = w.mean(0)
        return mean, float((w - mean).square().sum(1).mean().sqrt())

    # From w to images.

    def centre(self, label: int | None) -> Tensor:
        """What truncation moves towards, (W,)."""
        if not self.by_class or label is None:
            centre: Tensor = self.generator.mapping.mean
            return centre
        if label not in self.class_means:
            self.class_means[label] = self.mean(label)[0]
        return self.class_means[label]

    def styles(self, key: Key) -> Tensor:
        """The styles of all layers, (L, W), truncated unless they are those of a file."""
        ws = key.w.expand(self.layers, -1)
        if key.z is None or self.psi == 1:
            return ws
        return truncated(ws[None], self.centre(key.label), self.psi, self.cutoff)[0]

    @torch.no_grad()
    def images(self, ws: Sequence[Tensor], noises: Sequence[Sequence[Tensor]]) -> Iterator[np.ndarray]:
        """Yield the images of styles (L, W), each with its noise inputs, as uint8 (n, C, H, W)."""
        for start in range(0, len(ws), BATCH):
            part = slice(start, start + BATCH)
            inputs = [torch.stack(maps) for maps in zip(*noises[part], strict=True)]
            images = self.generator.synthesis(torch.stack(list(ws[part])), inputs)
            if not torch.isfinite(images).all():
                raise Diverged("the generator returned NaN or infinite pixels; its training has diverged")
            yield to_uint8(images).cpu().numpy()


class TowardsClasses(Generator):
    """A class-conditional generator whose samples are truncated towards the mean w of their classes."""

    def __init__(self, styles: Styles):
        super().__init__()
        self.styles = styles

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """G(z), each truncated towards the mean w of its class."""
        assert batch.label is not None
        centres = torch.stack([self.styles.centre(label) for label in batch.label.tolist()])
        images: Tensor = self.styles.generator.sample(batch, noise, centres)
        return images


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The points (N, Z) at t (N,) on the arcs from a to b, (N, Z), both scaled to unit length.

    Karras, Laine & Aila 2019, Sec. 4.1; mapping networks normalise z, so its length does not matter.
    """
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    cosine = (a * b).sum(1, keepdim=True)
    angle = t[:, None] * cosine.clamp(-1, 1).acos()
    aside = b - cosine * a
    aside = aside / aside.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return angle.cos() * a + angle.sin() * aside


def parsed_seeds(option: str, text: str, least: int = 1) -> list[int | Path]:
    """Return the seeds and files of a list such as "1,2,8-11,face.safetensors".

    Raises:
        InputError: there are fewer than `least`, or a part is no seed and no file of `atelier project`.
    """
    names: list[int | Path] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if match := re.fullmatch(r"(\d+)-(\d+)", part):
            names += range(int(match[1]), min(int(match[2]), int(match[1]) + MOST_SEEDS) + 1)
        elif re.fullmatch(r"-?\d+", part):
            names.append(int(part))
        elif part.endswith(".safetensors"):
            names.append(Path(part))
        else:
            raise InputError(
                f"{option} {part!r} is no seed: give a list such as 1,2,8-11, in which files of "
                "`atelier project` may stand too"
            )
    if not least <= len(names) <= MOST_SEEDS:
        raise InputError(
            f"{option} {text!r} names {len(names):,} points; accepted: {least} to {MOST_SEEDS:,}"
        )
    return names


def parsed_layers(text: str, layers: int) -> slice:
    """Return the layers of coarse, middle or fine, a third each, or of FIRST-LAST, from 0.

    Raises:
        InputError: the text is none of these, or there are no such layers.
    """
    if text in PARTS:
        part = PARTS.index(text)
        return slice(round(part * layers / 3), round((part + 1) * layers / 3))
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, layers)
    if not first <= last < layers:
        raise InputError(
            f"--layers {text} is not accepted: it is coarse, middle, fine, or FIRST-LAST of the layers "
            f"0 to {layers - 1}"
        )
    return slice(first, last + 1)
