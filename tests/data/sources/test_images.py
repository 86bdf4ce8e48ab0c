import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from components.common.errors import InputError
from components.data.sources.images import BadImage, Rendering, colour_of, header, render, summary
from tests import limited


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rendered(image: Image.Image, kind: str = "PNG", resolution: int = 8, **options) -> np.ndarray:
    return render(encoded(image, kind, **options), Rendering(resolution))


def constant(value: float, dtype) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, dtype))


def bits(count: int) -> bytes:
    """The entry of a TIFF that says how many bits a value has."""
    return struct.pack("<HHIH", 258, 3, 1, count)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (constant(128 * 257, np.uint16), "PNG", 128),
        (constant(128 * 257, np.uint16), "TIFF", 128),
        (constant(128 * 257, np.int32), "TIFF", 128),
        (constant(0.5, np.float32), "TIFF", 128),
        (constant(77, np.uint8), "PNG", 77),
        (Image.new("1", (8, 8), 1), "PNG", 255),
        (Image.new("LA", (8, 8), (0, 128)), "PNG", 127),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG", 255),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 128)), "TIFF", 127),
        (Image.new("L", (8, 8), 9), "PPM", 9),
    ],
    ids=["I;16", "I;16 tiff", "I", "F", "L", "1", "LA", "RGBA", "CMYK", "PGM"],
)
def test_every_mode_becomes_eight_bit_rgb(image, kind, expected):
    out = rendered(image, kind)
    assert out.shape == (3, 8, 8) and out.dtype == np.uint8
    assert np.abs(out.astype(int) - expected).max() <= 1


def test_a_palette_with_transparency_is_laid_on_the_background():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 0, 0] + [0] * 765)
    data = encoded(image, transparency=0)
    assert (render(data, Rendering(8, background="#00ff00"))[1] == 255).all()
    assert (render(data, Rendering(8, background="#00ff00"))[0] == 0).all()


def test_transparency_is_composited_before_resizing():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))  # black where nothing is: must not bleed into the edges
    image.paste((255, 255, 255, 255), (0, 0, 32, 64))
    assert (rendered(image) == 255).all()


def test_exif_orientation_is_honoured():
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 8, 4))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    out = rendered(image, "PNG", exif=exif)
    assert (out[:, :4] == 0).all() and (out[:, 4:] == 255).all()


def test_headers_are_read_without_decoding_and_exif_behind_the_pixels_counts(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    for name, options in (("plain", {}), ("turned", {"exif": exif})):
        Image.new("RGB", (8, 12)).save(tmp_path / f"{name}.png", **options)
    data = (tmp_path / "plain.png").read_bytes()
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "behind.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert [summary(tmp_path / f"{name}.png").size for name in ("turned", "behind")] == [(12, 8)] * 2
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert summary(tmp_path / "plain.png").size == (8, 12)


def test_resizing_is_antialiased_and_takes_the_centre_square():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    stripes[:, :16] = stripes[:, 80:] = (255, 0, 0)
    out = rendered(Image.fromarray(stripes))
    assert np.abs(out.astype(int) - 128).max() < 24, "stripes become grey, the red margins are cut off"


def test_large_and_small_images_come_to_the_same_size():
    assert rendered(Image.new("RGB", (3, 500), "red")).shape == (3, 8, 8)
    assert rendered(Image.new("RGB", (1, 1), "red")).shape == (3, 8, 8)


def bomb() -> bytes:
    """A PNG of 2 KB whose header says 30000 x 30000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 900_000))
        + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_by_its_header(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    for function in (header, lambda data: render(data, Rendering(8))):
        with pytest.raises(BadImage, match="more than 89,478,485 pixels"), limited.memory():
            function(bomb())


def test_an_image_just_over_the_limit_is_refused_though_pillow_only_warns(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(BadImage, match="more than 60 pixels"):
        rendered(Image.new("L", (8, 8)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not an image of a known format"),
        (encoded(Image.effect_noise((64, 64), 90))[:900], "damaged or truncated"),
        (encoded(Image.effect_noise((64, 64), 90), "JPEG")[:900], "damaged or truncated"),
        (encoded(constant(float("nan"), np.float32), "TIFF"), "not finite"),
        (encoded(constant(200.0, np.float32), "TIFF"), "float values outside 0..1"),
        (encoded(constant(-5, np.int32), "TIFF"), "integer values outside 0..65535"),
        (
            encoded(constant(0.5, np.float32), "TIFF").replace(bits(32), bits(64)),
            "a TIFF with values or channels of this kind is not supported",
        ),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "NaN", "float", "negative", "64 bits"],
)
def test_bad_files_are_refused_with_a_reason(data, reason):
    with pytest.raises(BadImage, match=reason):
        render(data, Rendering(8))


def test_a_format_that_would_run_another_program_is_not_opened():
    eps = encoded(Image.new("L", (4, 4)), "EPS")
    with pytest.raises(BadImage, match="not an image of a known format"):
        render(eps, Rendering(8))


def test_an_unknown_background_is_the_users_error():
    with pytest.raises(InputError, match="not a colour"):
        colour_of("wihte")


@pytest.mark.parametrize(("mode", "side"), [("I;16", 5700), ("F", 5700), ("RGBA", 8100), ("LA", 8100)])
def test_small_files_of_many_bytes_are_refused_before_they_are_decoded(mode: str, side: int) -> None:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "TIFF" if mode == "F" else "PNG", compression="tiff_lzw")
    assert len(file.getvalue()) < 2**21
    with pytest.raises(BadImage, match="more than 256 MB when decoded"):
        header(file.getvalue())


@pytest.mark.parametrize(("mode", "side"), [("I;16", 5600), ("F", 5600), ("RGBA", 7900), ("RGBA", 9400)])
def test_small_files_of_many_bytes_are_rendered_or_refused_within_little_memory(mode: str, side: int) -> None:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "TIFF" if mode == "F" else "PNG", compression="tiff_lzw")
    refusal = contextlib.nullcontext() if side < 9000 else pytest.raises(BadImage, match="when decoded")
    with limited.memory(1_500_000_000), refusal:
        assert render(file.getvalue(), Rendering(8)).shape == (3, 8, 8)
