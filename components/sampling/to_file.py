"""Draw samples of an exported model into a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from components.common.atomic import replacing
from components.common.errors import InputError
from components.families.artifact import load_model
from components.sampling import generate, sheets
from components.sampling.request import SampleOptions, sampling_inputs
from components.sampling.sheets import SHEET_COLUMNS


def sample_to_file(
    model: Path, output: Path, *, n: int, seed: int = 0, options: SampleOptions | None = None
) -> np.ndarray:
    """Draw samples of an exported model, and of nothing else, into one picture; returns them.

    Args:
        model: folder with model.safetensors and config.json.
        output: a .png or .webp file.
        n: how many.
        seed: image i depends on (seed, i).
        options: what to change of the model.

    Raises:
        InputError: the family needs what is not given, or the other way round.
    """
    check_picture(output, n)
    options = options or SampleOptions()
    generator, card, config = load_model(model, options.settings)
    images = generate.draw(
        generator, card, n=n, seed=seed, **sampling_inputs(options, n, generator, card, config)
    )
    write_picture(images, output)
    return images


def check_picture(output: Path, n: int) -> None:
    """Refuse a picture of no sample, or of another kind than we write."""
    if output.suffix.lower() not in (".png", ".webp"):
        raise InputError(f"-o {output}: samples are written as .png or .webp")
    if n < 1:
        raise InputError(f"-n {n}: at least one sample is needed")


def write_picture(images: np.ndarray, output: Path, columns: int = SHEET_COLUMNS) -> None:
    """Images (N, C, H, W) as one picture, whole or not at all."""
    array = sheets.grid(images, min(len(images), columns))
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    with replacing(output) as temporary:
        picture.save(temporary, output.suffix[1:].upper(), lossless=True)
