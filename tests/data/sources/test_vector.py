"""SVG files, drawn as PNG."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from components.data.sources.vector import draw, sized

SQUARE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36" width="9">'
    '<path fill="#f00" d="M0 0h18v36H0z"/></svg>'
)


def test_the_size_is_set_and_the_drawing_stays() -> None:
    root = ElementTree.fromstring(sized(SQUARE, 64))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("64", "64", "0 0 36 36")
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root[0].get("d") == "M0 0h18v36H0z"


def test_resvg_draws_the_sized_svg(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(SQUARE)
    with Image.open(io.BytesIO(draw(tmp_path / "a.svg", 64))) as image:
        assert image.size == (64, 64) and image.mode == "RGBA"
        assert image.getpixel((10, 30)) == (255, 0, 0, 255) and image.getpixel((50, 30))[3] == 0
