"""Write a picture of each image file in a folder to another folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from components.common.atomic import make_folder, temporary_sibling
from components.common.errors import InputError
from components.common.hashing import digest
from components.common.progress import reported
from components.sampling import png
from components.sampling.pictures import open_for_files, pictures
from components.sampling.request import SampleOptions
from components.sampling.source_files import image_files, output_names


def sample_to_folder(
    model: Path, output: Path, options: SampleOptions, *, n: int | None = None, seed: int = 0
) -> list[str]:
    """Write a PNG of the same name for each image below the folder `options.source`; return notes on them.

    Nothing is written unless all images can be, and no file that exists is replaced.

    Args:
        model: folder with model.safetensors and config.json.
        output: a folder; made if it is missing.
        options: with the folder of sources, conditions and changed settings.
        n: number of samples of each image, which may only be 1.
        seed: image i depends on (seed, i), in the order of the names.

    Raises:
        InputError: an image cannot be used, its output exists, or the options do not fit the model.
    """
    assert options.source is not None
    if n not in (None, 1):
        raise InputError(f"-n {n}: a folder of sources gets one sample for each image; leave out -n")
    if output.suffix.lower() in (".png", ".webp") or output.is_file():
        raise InputError(f"-o {output}: a folder of sources needs a folder for its samples")
    names = output_names(paths := image_files(options.source))
    check_new(output, list(names.values()))
    opened, notes = open_for_files(model, options), list[str]()
    with temporary_sibling(output) as temporary:
        drawn = pictures(opened, [options.source / path for path in paths], seed, notes)
        made = png.made_now(model, opened.config, seed, options)
        for i, (path, image) in enumerate(zip(reported(paths, "draw"), drawn, strict=True)):
            file = temporary / names[path]
            file.parent.mkdir(parents=True, exist_ok=True)
            source = digest(options.source / path, "sha256")
            png.save(image, file, png.of_image(made, i, source=source))
        check_new(output, list(names.values()))
        for name in names.values():
            make_folder((output / name).parent)
            os.replace(temporary / name, output / name)
    return [*notes, f"{len(paths):,} images in {output}"]


def check_new(output: Path, names: list[str]) -> None:
    """Raise InputError if one of the files exists, or a file of the name of their folder."""
    folders = sorted({str(folder) for name in names for folder in PurePosixPath(name).parents})
    existing = [name for name in names if (output / name).exists()]
    existing += [name for name in folders if (output / name).is_file()]
    if existing:
        more = f" and {len(existing) - 1:,} more exist" if len(existing) > 1 else " exists"
        raise InputError(f"-o {output}: {existing[0]}{more} already; name another folder, or remove them")
