"""Draw SVG files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from resvg import render, usvg

IDENTITY = (1, 0, 0, 0, 1, 0)  # an affine transformation, row by row


def draw(path: Path, side: int) -> bytes:
    """Return a square SVG file drawn at `side` x `side` pixels, as PNG with transparency."""
    tree = usvg.Tree.from_str(sized(path.read_text("utf-8"), side), usvg.Options.default())
    return bytes(render(tree, IDENTITY))


def sized(svg: str, side: int) -> str:
    """Return an SVG with width and height of `side`, which resvg takes as those of the picture."""
    root = ElementTree.fromstring(svg)
    root.attrib |= {"width": str(side), "height": str(side)}
    return ElementTree.tostring(root, encoding="unicode")
