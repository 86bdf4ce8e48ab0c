"""The contact sheet: a row for each family and for real images, at the kept step."""

import io

from PIL import Image

from components.report import build_run
from components.report.contact_sheet import SHEET, TILE, Strip, contact_sheet
from components.report.run_page import run_page
from tests.report.fixture import HOSTILE


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_the_sheet_of_a_run_has_its_families_at_the_kept_step(store, runs):
    page = run_page(store, runs["done"])
    names = [row.name for row in page["strips"]]
    assert names == ["Real images", "autoencoder, reconstructing", "vae", "dcgan", "diffusion"]
    assert "step-0000750" in page["strips"][3].path and page["strips"][3].note.startswith(
        "Fréchet distance 14"
    )
    build_run(store, runs["done"])
    with opened(store.read_bytes(f"runs/{runs['done']}/report/{SHEET}")) as sheet:
        assert sheet.format == "PNG" and sheet.height > 5 * TILE and len(sheet.getcolors(1 << 20)) > 50


def test_a_running_run_has_none_yet(store, runs):
    html = store.read_bytes(build_run(store, runs["running"])).decode()
    assert not store.exists(f"runs/{runs['running']}/report/{SHEET}") and SHEET not in html


def test_names_of_any_kind_and_grids_that_cannot_be_read(store, runs):
    build_run(store, runs["done"])
    grid = run_page(store, runs["done"])["strips"][1].path
    store.write_bytes("torn.webp", store.read_bytes(grid)[:100])
    good = Strip(HOSTILE * 20, "日本語 é\n\0", grid, 28)
    rows = [
        good,
        Strip("torn", "", "torn.webp", 28),
        Strip("gone", "", "gone.webp", 28),
        Strip("?", "", grid, None),
    ]
    with opened(contact_sheet(store, HOSTILE * 9, "", rows)) as sheet:
        assert sheet.height < 3 * TILE
    assert contact_sheet(store, "", "", rows[1:]) is None
