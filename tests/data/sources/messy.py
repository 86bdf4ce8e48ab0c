"""A folder as messy as people's folders are: all at once, and how many files of each kind it has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.data.pictures import fill, picture

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def entries(folder: Path, around: tuple[str, ...] = ()) -> int:
    """Count the files below a folder, behind links too; a link to a folder around it counts as one."""
    real = os.path.realpath(folder)
    if real in around:
        return 1
    return sum(
        entries(path, (*around, real)) if path.is_dir() else 1 for path in sorted(Path(folder).iterdir())
    )


def deep(path: Path, seed: int, top: int = 4095) -> None:
    """Write a grey picture with values up to `top` as 16-bit PNG."""
    values = np.random.default_rng(seed).integers(0, top + 1, (20, 20)).astype(np.uint16)
    values[0] = top
    Image.fromarray(values).save(path, "PNG")


def wordy(path: Path, seed: int) -> None:
    """Write a PNG with two megabytes of text, as image generators do."""
    info = PngInfo()
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    picture(seed).save(path, "PNG", pnginfo=info)


def pages(path: Path, seed: int, count: int = 5, kind: str = "TIFF") -> None:
    """Write a file of several pictures."""
    rest = [picture(seed + i) for i in range(1, count)]
    picture(seed).save(path, kind, save_all=True, append_images=rest)


def messy(parent: Path) -> Path:
    """Make the folder; its name is not UTF-8 and ends in a blank.

    The owner's classes are cat, dog and eel, of which eel is behind links; 60 images of training and 30 of
    test. There are five unlabelled images, a damaged one and one in a format that is not read.
    """
    root = parent / os.fsdecode(b"pets\xff ")
    inside = root / "archive"
    for number, (split, count) in enumerate((("Train", 20), ("Test", 10))):
        for place, name in enumerate(("cat", "dog", "eel")):
            first = 100 * number + 30 * place
            folder = inside / split / name
            if name == "eel":
                fill(parent / "store" / split, count, first=first)
                folder.symlink_to(parent / "store" / split)
            else:
                fill(folder, count, first=first)
    rename(inside / "Train/cat")
    pages(inside / "Train/cat/019.png", 500)
    wordy(inside / "Train/dog/049.png", 600)
    deep(inside / "Test/cat/109.png", 7)
    fill(inside / "unlabeled", 5, first=300)
    (inside / "Train/dog/loop").symlink_to(inside)
    (inside / "Train/dog/cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (inside / "Test/dog/phone").write_bytes(HEIC)
    for name in (".DS_Store", "Thumbs.db", "README.txt"):
        (root / name).write_text("x")
    caption(inside)
    return root


def rename(folder: Path) -> None:
    """Give ten images names without an ending or with an odd one."""
    for i, path in enumerate(sorted(folder.iterdir())[:10]):
        path.rename(folder / f"{path.stem}{('', '.jpg_large', '.png.1')[i % 3]}")


def caption(inside: Path) -> None:
    """Give every image captions: a table in Train, with two of each and three of others; texts in Test."""
    train = [p for p in inside.glob("Train/*/*") if p.is_file()]
    rows = [(p.relative_to(inside / "Train").as_posix(), f"{p.stem} {i}") for p in train for i in range(2)]
    rows += [(f"gone{i}.png", "gone") for i in range(3)]
    lines = [json.dumps({"file_name": name, "text": text}) + "\n" for name, text in rows]
    (inside / "Train/metadata.jsonl").write_text("".join(lines))
    for path in [p for p in inside.glob("Test/*/*") if p.name != "phone"]:
        path.with_suffix(".txt").write_text(f"test {path.stem}\n")
