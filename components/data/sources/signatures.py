"""Recognise the kind of a file by its first bytes, since names and endings may be wrong."""

from __future__ import annotations

import re

HEAD = 512  # bytes that are enough to tell
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the header after that of the file
PNM = re.compile(rb"P[1-6]\s(?:\s|#[^\n]*\n)*\d+\s")
STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
UNREAD_STARTS = {
    b"8BPS": "PSD",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\x76\x2f\x31\x01": "EXR",
}
BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)
SUPPORTED_AS = "is not supported: save it as 8- or 16-bit PNG"


def image_format(head: bytes) -> str | None:
    """Return the format of a file by its first bytes; None: not an image that can be read."""
    for start, name in STARTS.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    return "PPM" if PNM.match(head) else None


def unread_format(head: bytes) -> str | None:
    """Return the format of an image that cannot be read; None: another file."""
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12])
    return next((name for start, name in UNREAD_STARTS.items() if head.startswith(start)), None)


def other_content(head: bytes, expected: str = "an image") -> str | None:
    """Return what is in a file that is not what is expected, where people should know; None: anything."""
    if head.startswith(b"version https://git-lfs"):
        return f"a Git LFS pointer instead of {expected}: run `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"a web page instead of {expected}"
    return None
