"""SVG files, drawn by resvg where it is installed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from PIL import Image

from components.common.errors import InputError
from components.data.sources.vector import draw, sized

SQUARE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36" width="9">'
    '<path fill="#f00" d="M0 0h18v36H0z"/></svg>'
)


def test_the_size_is_set_and_the_drawing_stays() -> None:
    root = ElementTree.fromstring(sized(SQUARE, 64))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("64", "64", "0 0 36 36")
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root[0].get("d") == "M0 0h18v36H0z"


def test_without_resvg_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg", None)
    (tmp_path / "a.svg").write_text(SQUARE)
    with pytest.raises(InputError, match="not installed: pip install resvg==0.2.0"):
        draw(tmp_path / "a.svg", 64)


def test_resvg_draws_the_sized_svg(tmp_path: Path) -> None:
    pytest.importorskip("resvg")
    (tmp_path / "a.svg").write_text(SQUARE)
    with Image.open(io.BytesIO(draw(tmp_path / "a.svg", 64))) as image:
        assert image.size == (64, 64) and image.mode == "RGBA"
        assert image.getpixel((10, 30)) == (255, 0, 0, 255) and image.getpixel((50, 30))[3] == 0


def test_resvg_gets_the_sized_svg_and_no_transformation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Usvg:
        class Tree:
            @staticmethod
            def from_str(svg: str, options: str) -> str:
                return svg

        class Options:
            default = staticmethod(lambda: "options")

    fake = ModuleType("resvg")
    fake.usvg = Usvg  # type: ignore[attr-defined]
    fake.render = lambda tree, transform: calls.append((tree, transform)) or b"png"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "resvg", fake)
    (tmp_path / "a.svg").write_text(SQUARE)
    assert draw(tmp_path / "a.svg", 64) == b"png"
    assert calls == [(sized(SQUARE, 64), (1, 0, 0, 1, 0, 0))]
