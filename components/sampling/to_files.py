"""Write samples of an exported model to a folder, one file each, as other evaluation tools read them.

Each file's text says from what it was drawn, so that an interrupted command goes on where it stopped, and
samples of other settings are never mixed with these.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from components.cluster.resources import cores
from components.common.atomic import remove_unfinished, temporary_sibling
from components.common.chunks import CHUNK, ranges
from components.common.errors import InputError
from components.common.progress import report
from components.families.catalogue import task_of
from components.sampling import generate, png
from components.sampling.pictures import as_picture, changes_to, open_for_files
from components.sampling.request import SampleOptions, sampling_inputs
from components.sampling.to_file import SAMPLES, check_count

DRAWN = partial(report, activity="draw")
DIGITS = 6  # of a file's name, at least, so that names sort as numbers do


def sample_to_files(
    model: Path,
    output: Path,
    *,
    n: int | None = None,
    seed: int = 0,
    options: SampleOptions | None = None,
    progress: Callable[[int, int], None] = DRAWN,
) -> list[str]:
    """Write sample i of `n` to `output`/00000i.png, unless it is there; return notes on what was done.

    Args:
        model: folder with model.safetensors and config.json.
        output: a folder; made if it is missing.
        n: number of samples; None: as in `sample_to_file`.
        seed: image i depends on (seed, i).
        options: conditions and changed settings.
        progress: called with the number of files that are there and `n`, before the first is drawn too.

    Raises:
        InputError: the model does not support an option, or the folder holds samples of other settings.
    """
    check_count(n)
    options = options or SampleOptions()
    opened = open_for_files(model, options)
    if n is None:
        n = 1 if task_of(opened.config.family).made_from == "source" else SAMPLES
    inputs = sampling_inputs(options, n, opened.generator, opened.card, opened.config)
    made, labels = png.made_now(model, opened.config, seed, options), inputs.get("labels")

    def how(i: int) -> png.Made:
        return png.of_image(made, i, labels=labels, names=opened.config.labels, prompts=options.prompts)

    files = [output / name for name in names(n)]
    remove_unfinished(output, deep=False)
    missing = [i for i, file in enumerate(files) if not is_drawn(file, how(i))]
    notes = changes_to(opened, options.source) if options.source is not None else []
    if len(missing) < n:
        notes.append(f"{n - len(missing):,} of {n:,} samples were there already")
    output.mkdir(parents=True, exist_ok=True)

    def draw(start: int, length: int) -> np.ndarray:
        return generate.draw(
            opened.generator, opened.card, n=length, start=start, seed=seed, method=opened.method, **inputs
        )

    absent, done = set(missing), n - len(missing)
    progress(done, n)
    with ThreadPoolExecutor(cores()) as pool:
        for start, length in ranges(n, CHUNK):
            if wanted := [i for i in range(start, start + length) if i in absent]:
                images = draw(start, length)
                drawn, targets = [images[i - start] for i in wanted], [files[i] for i in wanted]
                list(pool.map(write, drawn, targets, map(how, wanted)))  # raises what a write raises
                done += len(wanted)
                progress(done, n)
    return [*notes, f"{n:,} samples in {output}"]


def names(n: int) -> list[str]:
    """Return the names of `n` files, which sort in the order of the samples."""
    width = max(DIGITS, len(str(n - 1)))
    return [f"{i:0{width}}.png" for i in range(n)]


def is_drawn(file: Path, made: png.Made) -> bool:
    """Return whether a file is there and whole; raise InputError if it was not made in this way."""
    if not file.exists():
        return False
    try:
        with Image.open(file) as image:
            text = image.info.get(png.MADE)
            image.load()
    except OSError:  # cut short, as by a power failure
        return False
    if text != png.text_of(made):
        raise InputError(
            f"-o {file.parent}: {file.name} exists already and is no sample of this model, seed and "
            "settings; name another folder, or remove it"
        )
    return True


def write(image: np.ndarray, file: Path, made: png.Made) -> None:
    """Write a sample, uint8 (C, H, W), as a PNG that says how it was made."""
    with temporary_sibling(file) as temporary:
        png.save(as_picture(image), temporary, made)
        os.replace(temporary, file)
