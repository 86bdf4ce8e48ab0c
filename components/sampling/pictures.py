"""Make a picture of each of a user's files: translated, filled in, or enlarged with its transparency.

Files are read outside of all stages, so no key depends on this module (stages.NEUTRAL).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from components.common.chunks import CHUNK
from components.common.errors import InputError
from components.common.progress import advance
from components.common.seeds import seed_of
from components.data.dataset import to_float, to_uint8
from components.data.sources.images import colour_of
from components.families.artifact import load_model
from components.families.catalogue import is_style_based, task_of
from components.records.model import ModelConfig
from components.sampling import generate
from components.sampling.read_image import alpha_of, own_size
from components.sampling.request import SampleOptions, directed, sampling_inputs, source_card
from components.sampling.source_files import SourceFiles
from components.sampling.styles import StyleOptions, Styles, TowardsClasses
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

PIXELS = 2**22  # of a batch of samples, beyond which a batch has fewer than CHUNK images


@dataclass(frozen=True)
class OpenModel:
    """An exported model, ready to make pictures of files.

    Attributes:
        generator: its networks.
        card: shapes of its samples and sources, in the direction asked for.
        config: its config.json.
        method: the method of the generator that makes samples.
        options: what was asked for.
    """

    generator: Generator
    card: DataSpec
    config: ModelConfig
    method: str
    options: SampleOptions

    @property
    def enlarges(self) -> bool:
        """Whether samples are larger than sources, so that transparency is enlarged as well."""
        return task_of(self.config.family).smaller_source

    @property
    def any_size(self) -> bool:
        """Whether sources may have any size."""
        return self.enlarges and hasattr(self.generator, "enlarge")


def open_for_files(model: Path, options: SampleOptions) -> OpenModel:
    """Open an exported model with the settings of the options; raise InputError if they do not fit it.

    It reports its samples as progress, to those who count them.
    """
    opened = with_options(*load_model(model, options.settings), options)
    draw = getattr(opened.generator, opened.method)

    def counted(batch: Batch, noise: Noise) -> Tensor:
        images: Tensor = draw(batch, noise)
        advance(len(images))
        return images

    setattr(opened.generator, opened.method, counted)
    advance(0)
    return opened


def with_options(
    generator: Generator, card: DataSpec, config: ModelConfig, options: SampleOptions
) -> OpenModel:
    """Return a model loaded with the settings of the options; raise InputError if they do not fit."""
    method, card = directed(options, generator, card, config.family)
    if isinstance(options, StyleOptions) and options.truncation_mean == "class":
        if not is_style_based(config.family):
            raise InputError(f"--truncation-mean class: {config.family} has no such setting")
        generator = TowardsClasses(Styles(generator, card, config).with_options(options))
    return OpenModel(generator, card, config, method, options)


def pictures(
    model: OpenModel, paths: Sequence[Path], seed: int, notes: list[str] | None = None
) -> Iterator[Image.Image]:
    """Yield the picture of each file in order; image i depends on (seed, i). Memory is that of a batch.

    Args:
        model: makes the pictures.
        paths: the files, at least one.
        seed: of the samples.
        notes: gets a sentence on what was done to files to fit the model, if anything was.

    Raises:
        InputError: a file cannot be used, or the options do not fit the model.
    """
    if model.any_size:
        yield from (enlarged_file(model, path, seed, i) for i, path in enumerate(paths))
        return
    n, card = len(paths), model.card
    options = replace(model.options, source=paths[0])
    inputs = sampling_inputs(options, n, model.generator, card, model.config)
    kind = "sources" if "sources" in inputs else "images"
    files = source_files(model, paths)
    batch = max(1, min(CHUNK, n, PIXELS // card.resolution**2))
    settings: dict[str, Any] = {**inputs, kind: files, "method": model.method, "batch": batch}
    drawn = generate.generate(model.generator, card, n=n, seed=seed, **settings)
    for path, image in zip(paths, (image for chunk in drawn for image in chunk), strict=True):
        yield picture(image, path, model)
    if notes is not None and files.note:
        notes.append(files.note)


def changes_to(model: OpenModel, path: Path) -> list[str]:
    """Return what is done to a file to fit the model, as a sentence; none if nothing is."""
    files = source_files(model, [path])
    files[[0]]
    return [files.note] if files.note else []


def source_files(model: OpenModel, paths: Sequence[Path]) -> SourceFiles:
    """Return files in the shape of the model's sources."""
    shape = source_card(model.generator, model.card)
    return SourceFiles(paths, shape, model.config.background, exact=model.enlarges)


def enlarged_file(model: OpenModel, path: Path, seed: int, row: int) -> Image.Image:
    """Return the picture of a file of any size, for generators that take one."""
    options = model.options
    for option, value in (("label", options.label), ("prompt", options.prompts), ("mask", options.mask)):
        if value:
            raise InputError(f"--{option}: {model.config.family} takes an image alone")
    source = own_size(path, source_card(model.generator, model.card), model.config.background)
    batch, noise = Batch(1, source=to_float(source[None])), Noise([seed_of(seed, row)])
    with generate.eval_mode(model.generator), torch.no_grad():
        image = to_uint8(model.generator.sample(batch, noise))[0].numpy()
    return picture(image, path, model)


def picture(image: np.ndarray, path: Path, model: OpenModel) -> Image.Image:
    """Return a sample, uint8 (C, H, W), as a picture; one that is enlarged gets its file's transparency back.

    Its colours are then such that on the model's background the picture looks like the sample.
    """
    alpha = alpha_of(path) if model.enlarges else None
    if alpha is None:
        return as_picture(image)
    height, width = image.shape[1:]
    large = Image.fromarray(alpha, "L").resize((width, height), Image.Resampling.BICUBIC)
    opacity = np.asarray(large, np.float64) / 255
    background = np.array(colour_of(model.config.background or "white"), np.float64)
    behind = background.mean() if len(image) == 1 else background[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        colours = np.where(opacity > 0, (image - (1 - opacity) * behind) / opacity, image)
    restored = as_picture(colours.round().clip(0, 255).astype(np.uint8))
    restored.putalpha(large)
    return restored


def as_picture(image: np.ndarray) -> Image.Image:
    """Return uint8 (C, H, W) as a grey or RGB picture."""
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
