"""Interpolations between points of W or z: stills on one picture, animations, and frames in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from components.common.atomic import make_folder, replacing, temporary_sibling
from components.common.errors import InputError
from components.sampling import sheets
from components.sampling.pictures import as_picture
from components.sampling.sheets import SHEET_COLUMNS
from components.sampling.styles import Key, Progress, Styles, slerp
from components.sampling.to_file import save_picture
from components.sampling.to_files import names
from components.sampling.to_folder import check_new

Space = Literal["w", "z"]

ANIMATIONS = {".webp": "WEBP", ".gif": "GIF", ".apng": "PNG"}  # and the names of Pillow's formats
STILLS, FRAMES = 8, 24  # by default, from one point to the next, of a picture and of others
FASTEST = 50  # frames in a second: browsers slow down faster animations


def interpolate(styles: Styles, keys: Sequence[Key], frames: int, space: Space = "w") -> list[Tensor]:
    """Return the styles (L, W) of `frames` points on a closed way through `keys`, the first being the first.

    Args:
        styles: the generator.
        keys: at least two.
        frames: at least as many as `keys`.
        space: w: along straight lines in W, of truncated styles; z: along arcs.

    Raises:
        InputError: the points have no z, or z of different classes.
    """
    at = np.arange(frames) * len(keys) / frames
    legs, times = at.astype(int), torch.from_numpy(at % 1).float()
    following = [(leg + 1) % len(keys) for leg in legs]
    if space == "w":
        ends = [styles.styles(key) for key in keys]
        return [torch.lerp(ends[a], ends[b], t) for a, b, t in zip(legs, following, times, strict=True)]
    if any(key.z is None for key in keys):
        raise InputError("--space z: files of `atelier project` are points of W; use --space w")
    if len(labels := {key.label for key in keys}) > 1:
        raise InputError("--space z: the seeds have different classes; name one class with --label")
    z = torch.stack([key.z for key in keys if key.z is not None])
    between, label = slerp(z[legs], z[following], times.to(z.device)), labels.pop()
    with torch.no_grad():
        w = styles.mapped(between, label)
    return [styles.styles(replace(keys[0], w=each)) for each in w]


def write_interpolation(
    styles: Styles,
    keys: Sequence[Key],
    output: Path,
    *,
    frames: int | None = None,
    space: Space = "w",
    fps: float = 24.0,
    folder: bool = False,
    progress: Progress = lambda done, total: None,
) -> int:
    """Write a closed way through some points, with the noise inputs of the first; return its frames.

    Args:
        styles: the generator.
        keys: at least two.
        output: a .png for stills, a line for each point; a .webp, .gif or .apng, animated; or a folder.
        frames: in all; None: STILLS or FRAMES from one point to the next.
        space: see `interpolate`.
        fps: frames in a second of an animation.
        folder: whether `output` is a folder, for a PNG of each frame.
        progress: called with the number of frames that are made, and of all.

    Raises:
        InputError: an argument is not accepted, or a frame's file exists.
    """
    kind = output.suffix.lower()
    stills = kind == ".png" and not folder
    if not folder and kind not in (".png", *ANIMATIONS):
        raise InputError(
            f"-o {output}: stills are written as .png, animations as .webp, .gif or .apng; a folder's name "
            "ends in /"
        )
    frames = frames or len(keys) * (STILLS if stills else FRAMES)
    if frames < len(keys):
        raise InputError(f"--frames {frames}: a frame of each of the {len(keys)} points is needed, at least")
    if not 0 < fps <= FASTEST:
        raise InputError(f"--fps {fps:g} is not accepted: it is above 0 and at most {FASTEST}")
    if folder:
        check_new(output, names(frames))
    ws, images = interpolate(styles, keys, frames, space), list[np.ndarray]()
    for chunk in styles.images(ws, [keys[0].noises] * frames):
        images.extend(chunk)
        progress(len(images), frames)
    if folder:
        write_frames(images, output)
    elif stills:
        columns = frames // len(keys) if frames % len(keys) == 0 else SHEET_COLUMNS
        save_picture(sheets.grid(np.stack(images), columns), output)
    else:
        write_animation(images, output, fps)
    return frames


def write_animation(images: Sequence[np.ndarray], output: Path, fps: float = 24.0) -> None:
    """Write images, uint8 (C, H, W), as an animation that repeats, atomically, of the type of its name."""
    first, *others = [as_picture(image) for image in images]
    settings: dict[str, Any] = {
        "save_all": True,
        "append_images": others,
        "duration": round(1000 / fps),
        "loop": 0,
    }
    kind = output.suffix.lower()
    if kind == ".webp":
        settings["lossless"] = True
    with replacing(output) as temporary:
        first.save(temporary, ANIMATIONS[kind], **settings)


def write_frames(images: Sequence[np.ndarray], output: Path) -> None:
    """Write images, uint8 (C, H, W), to a folder as PNGs whose names sort; replace no file that exists."""
    files = names(len(images))
    with temporary_sibling(output) as temporary:
        temporary.mkdir(parents=True)
        for name, image in zip(files, images, strict=True):
            as_picture(image).save(temporary / name, "PNG")
        check_new(output, files)
        make_folder(output)
        for name in files:
            os.replace(temporary / name, output / name)
