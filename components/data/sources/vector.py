"""Draw SVG files, with the optional package resvg."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from components.common.errors import InputError

RESVG = "resvg==0.2.0"
UPRIGHT = (1, 0, 0, 1, 0, 0)  # the affine transformation that changes nothing


def draw(path: Path, side: int) -> bytes:
    """Return a square SVG file drawn at `side` x `side` pixels, as PNG with transparency.

    Raises:
        InputError: resvg is not installed.
    """
    try:
        from resvg import render, usvg
    except ModuleNotFoundError:
        raise InputError(
            f"this data set is drawn by the package resvg, which is not installed: pip install {RESVG}"
        ) from None
    tree = usvg.Tree.from_str(sized(path.read_text("utf-8"), side), usvg.Options.default())
    return bytes(render(tree, UPRIGHT))


def sized(svg: str, side: int) -> str:
    """Return an SVG with width and height of `side`, which resvg takes as those of the picture."""
    root = ElementTree.fromstring(svg)
    root.attrib |= {"width": str(side), "height": str(side)}
    return ElementTree.tostring(root, encoding="unicode")
