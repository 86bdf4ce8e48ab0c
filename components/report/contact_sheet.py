"""The contact sheet of a run: one PNG with the samples of every family, for a mail or a pull request."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from components.report.results import Samples
from components.store import Store
from components.store.errors import MISSING_OR_TORN

SHEET = "contact-sheet.png"  # next to the run's page
TILES = 12  # of each row
TILE, GAP, MARGIN, NAMES = 64, 4, 24, 210  # pixels
INK, SOFT, PAPER = (27, 28, 30), (93, 97, 103), (255, 255, 255)


@dataclass(frozen=True)
class Strip:
    """A row of the sheet: a name, a line below it, and a grid of images in the store."""

    name: str
    note: str
    path: str
    resolution: int | None


def strip(
    name: str, note: str, samples: Samples, report: str, resolution: int | None, kept: int | None
) -> Strip:
    """Return the row of a family: its samples at the step that was kept, else the last."""
    grid = next((grid for grid in samples.grids if grid.step == kept), samples.grids[-1])
    return Strip(name, note, f"{report}/{grid.src}", samples.resolution or resolution)


def contact_sheet(store: Store, title: str, subtitle: str, strips: Sequence[Strip]) -> bytes | None:
    """Return the sheet as PNG; None if no grid can be read."""
    rows = [(row, tiles) for row in strips if (tiles := _tiles(store, row))]
    if not rows:
        return None
    pitch, width = TILE + GAP, 2 * MARGIN + NAMES + TILES * (TILE + GAP)
    head = MARGIN + 58
    sheet = Image.new("RGB", (width, head + len(rows) * (pitch + 10) + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (MARGIN, MARGIN), title, 22, INK, width - 2 * MARGIN)
    _write(pen, (MARGIN, MARGIN + 30), subtitle, 13, SOFT, width - 2 * MARGIN)
    for number, (row, tiles) in enumerate(rows):
        top = head + number * (pitch + 10)
        _write(pen, (MARGIN, top + 12), row.name, 15, INK, NAMES - 12)
        _write(pen, (MARGIN, top + 34), row.note, 12, SOFT, NAMES - 12)
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (MARGIN + NAMES + column * pitch, top))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _tiles(store: Store, row: Strip) -> list[Image.Image]:
    """Return the first tiles of a grid, enlarged without smoothing or reduced with it."""
    if not row.resolution:
        return []
    try:
        grid = Image.open(io.BytesIO(store.read_bytes(row.path))).convert("RGB")
    except (*MISSING_OR_TORN, OSError):
        return []
    side, across = row.resolution, grid.width // row.resolution
    count = min(TILES, across * (grid.height // side))
    corners = [(i % across * side, i // across * side) for i in range(count)]
    way = Image.Resampling.NEAREST if side <= TILE else Image.Resampling.LANCZOS
    return [grid.crop((x, y, x + side, y + side)).resize((TILE, TILE), way) for x, y in corners]


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    """Write one line, cut where it would leave its width; Pillow's own font has only ASCII."""
    plain = unicodedata.normalize("NFKD", " ".join(text.split())[:300])
    plain = "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    font, end = ImageFont.load_default(size), ""
    while plain and pen.textlength(plain + end, font=font) > width:
        plain, end = plain[:-1], "..."
    pen.text(at, plain + end, font=font, fill=colour)
