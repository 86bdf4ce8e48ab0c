"""What a file is, by its first bytes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from components.data.sources.signatures import HEAD, image_format, other_content, unread_format


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_what_pillow_writes_is_known(name: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(file, name)
    head = file.getvalue()[:HEAD]
    assert image_format(head) == name
    assert unread_format(head) is None and other_content(head) is None


@pytest.mark.parametrize("head", [b"", b"BM, said the text", b"P6 is a model", b"RIFF1234WAVE", b"\0" * HEAD])
def test_other_files_are_no_images(head: bytes) -> None:
    assert image_format(head) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"8BPS\0\1", "PSD"), (b"\0\0\0\x18ftypheic", "HEIC"), (b"\0\0\0\x18ftypavif", "AVIF")]
    + [(b"\0\0\0\x18ftypmp42", None), (b"hello", None)],
)
def test_images_that_cannot_be_read_are_named(head: bytes, name: str | None) -> None:
    assert unread_format(head) == name and image_format(head) is None


def test_what_people_should_know_is_said() -> None:
    assert "git lfs pull" in (other_content(b"version https://git-lfs.github.com/spec/v1\n") or "")
    assert "web page" in (other_content(b"\n  <!DOCTYPE html>") or "")
