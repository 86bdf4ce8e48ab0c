"""Write samples of an exported model as one picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from components.common.atomic import replacing
from components.common.errors import InputError
from components.families.catalogue import task_of
from components.sampling import generate, png, sheets
from components.sampling.pictures import changes_to, open_for_files, pictures
from components.sampling.request import SampleOptions, sampling_inputs
from components.sampling.sheets import LARGEST_WEBP, SHEET_COLUMNS

SAMPLES = 16  # by default; of a source that a family needs, one


def sample_to_file(
    model: Path,
    output: Path,
    *,
    n: int | None = None,
    seed: int = 0,
    options: SampleOptions | None = None,
    notes: list[str] | None = None,
    rows: int = 1,
) -> np.ndarray:
    """Sample from an exported model, write the samples as one picture and return them, uint8 (n, C, H, W).

    One sample of a source is written as `pictures` makes it: with the file's transparency, if it is enlarged.

    Args:
        model: folder with model.safetensors and config.json.
        output: a .png or .webp file.
        n: number of samples; None: one of a source, if the family needs one, or SAMPLES.
        seed: image i depends on (seed, i).
        options: conditions and changed settings.
        notes: gets sentences on what was done to the source to fit the model.
        rows: lines of images in a picture for each line of samples, for another picture made of them.

    Raises:
        InputError: the model does not support an option, or needs one that is missing.
    """
    check_picture(output, n)
    options = options or SampleOptions()
    opened = open_for_files(model, options)
    generator, card, config = opened.generator, opened.card, opened.config
    if options.source is not None and n in (None, 1) and task_of(config.family).made_from == "source":
        (image,) = pictures(opened, [options.source], seed, notes)
        made = png.of_image(png.made_now(model, config, seed, options), 0)
        save_picture(np.asarray(image), output, made)
        opaque = np.asarray(image.convert("L" if card.channels == 1 else "RGB"))
        return opaque.reshape(1, *opaque.shape[:2], card.channels).transpose(0, 3, 1, 2)
    n = n or SAMPLES
    check_size(output, n, card.resolution, rows)
    inputs = sampling_inputs(options, n, generator, card, config)
    if options.source is not None and notes is not None:
        notes += changes_to(opened, options.source)
    images = generate.draw(generator, card, n=n, seed=seed, method=opened.method, **inputs)
    made = png.made_now(model, config, seed, options)
    labels = inputs.get("labels")
    each = [
        png.of_image(made, i, labels=labels, names=config.labels, prompts=options.prompts) for i in range(n)
    ]
    write_picture(images, output, made=png.of_sheet(each))
    return images


def check_picture(output: Path, n: int | None) -> None:
    """Raise InputError if there are no images or the file type is not supported."""
    if output.suffix.lower() not in (".png", ".webp"):
        raise InputError(f"-o {output}: pictures are written as .png or .webp; a folder's name ends in /")
    check_count(n)


def check_count(n: int | None) -> None:
    """Raise InputError if there are no images."""
    if n is not None and n < 1:
        raise InputError(f"-n {n}: at least one is needed")


def check_size(output: Path, n: int, resolution: int, rows: int = 1) -> None:
    """Raise InputError if `n` samples, each with `rows` images, do not fit into a picture of this type."""
    columns = min(n, SHEET_COLUMNS)
    height, width = (rows * resolution * math.ceil(n / columns)), resolution * columns
    if output.suffix.lower() == ".webp" and max(height, width) > LARGEST_WEBP:
        most = LARGEST_WEBP // (rows * resolution) * SHEET_COLUMNS
        raise InputError(
            f"-n {n}: a .webp has at most {LARGEST_WEBP} pixels along a side, which {most} samples of this "
            "model fill; write a .png, fewer samples, or a file of each with -o FOLDER/"
        )


def write_picture(
    images: np.ndarray, output: Path, columns: int = SHEET_COLUMNS, made: png.Made | None = None
) -> None:
    """Write images (N, C, H, W) as one picture, atomically; a PNG says how they were `made`."""
    save_picture(sheets.grid(images, min(len(images), columns)), output, made)


def save_picture(array: np.ndarray, output: Path, made: png.Made | None = None) -> None:
    """Write a picture (H, W, C) or (H, W) atomically; raise InputError if it is too large for WebP."""
    if output.suffix.lower() == ".webp":
        sheets.check_webp(array[..., None] if array.ndim == 2 else array)
    picture = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    with replacing(output) as temporary:
        if output.suffix.lower() == ".png":
            png.save(picture, temporary, made)
        else:
            picture.save(temporary, "WEBP", lossless=True)
