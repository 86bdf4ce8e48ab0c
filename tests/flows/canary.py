"""A secret in every form, and which files hold it."""

from __future__ import annotations

from pathlib import Path

CANARY = "c4n4ry-S3CR3T"
FORMS = [
    f"ftp://me:{CANARY}@host/x",
    f"ftp://me:p@{CANARY}@host/x",
    f"ftp://me:p/{CANARY}@host/x",
    f"ftp://{CANARY}@host/x",
    f"https://{CANARY}@host/x",
    f"https://host/x/{CANARY}-of-a-web-hook",
    f"https://host/x?token={CANARY}",
    f"Authorization: Bearer {CANARY}",
    f"password={CANARY}",
    f"the value {CANARY}",  # of the environment
]
FOLDER = f"/home/{CANARY}-folder/x"


def places_with(text: str, *folders: Path) -> list[str]:
    """Return the files below the folders that hold the text."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return [str(file) for file in files if text.encode() in file.read_bytes()]
