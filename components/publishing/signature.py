"""A detached signature of a model's folder, by OpenSSF Model Signing with a key: it works without a network.

https://github.com/ossf/model-signing-spec: `model.sig` is a Sigstore bundle of an in-toto statement that
lists all other files of the folder. The extra `model-signing` brings the package.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from components.common.errors import InputError, RunError, sentence

SIGNATURE = "model.sig"
# What the Hub and its clients, and systems that only show a folder, add to it.
UNSIGNED = (".git", ".gitattributes", ".gitignore", ".cache", ".DS_Store", "Thumbs.db", "desktop.ini")


def sign(folder: Path, key: Path) -> None:
    """Write `model.sig` into a folder.

    Args:
        folder: of a model.
        key: a file with a private elliptic-curve key, PEM without a password (P-256, P-384 or P-521).

    Raises:
        InputError: the package is missing, or the key cannot be used.
    """
    signing, hashing = _packages()
    try:
        config = signing.signing.Config().set_hashing_config(_hashed(hashing, folder))
        config = config.use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--sign {key}: a private elliptic-curve key as PEM without a password is needed, as of `openssl "
            f"ecparam -name prime256v1 -genkey -noout -out {key.name}` ({sentence(error)})"
        ) from None
    config.sign(folder, folder / SIGNATURE)


def check(folder: Path, key: Path) -> None:
    """Raise RunError unless a folder is signed by the holder of a key.

    Args:
        folder: of a model.
        key: a file with the public key, PEM.

    Raises:
        InputError: the package is missing, or the key cannot be used.
        RunError: there is no signature, it is damaged, by another key, or of other files.
    """
    signing, hashing = _packages()
    if not key.is_file():
        raise InputError(f"--key {key}: there is no such file; name that of the public key")
    if not (folder / SIGNATURE).exists():
        raise RunError(f"it is not signed: there is no {SIGNATURE}")
    try:
        config = signing.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--key {key}: a public elliptic-curve key as PEM is needed, as of `openssl ec -in KEY -pubout` "
            f"({sentence(error)})"
        ) from None
    if _signer(folder) != _identity(key):
        raise RunError(f"it is signed by another key than {key.name}")
    try:
        config.set_hashing_config(_hashed(hashing, folder)).verify(folder, folder / SIGNATURE)
    except Exception as error:  # of the package, of sigstore and of cryptography
        raise RunError(f"its signature does not fit its files{_differing(str(error))}") from None


def _differing(error: str) -> str:
    """Return the files that an error of the package names, without its digests, in brackets."""
    changed = [f"{name} has changed" for name in re.findall(r"Hash mismatch for '([^']+)'", error)]
    extra = [
        f"{names} not signed"
        for names in re.findall(r"Extra files found in model '[^']*': ([^\"\]]+)", error)
    ]
    missing = [
        f"{names} missing" for names in re.findall(r"Missing files in model '[^']*': ([^\"\]]+)", error)
    ]
    differences = changed + extra + missing or [error.splitlines()[0]]
    return f" ({'; '.join(differences)})"


def _hashed(hashing: Any, folder: Path) -> Any:
    """Return which files are signed: all but the signature and what others add."""
    ignored = [folder / SIGNATURE, *(path for path in folder.rglob("*") if is_unsigned(path.name))]
    return hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def is_unsigned(path: str) -> bool:
    """Return whether a file, or a folder that it is in, is one that others add; `._` begins macOS's."""
    return any(name in UNSIGNED or name.startswith("._") for name in path.split("/"))


def _signer(folder: Path) -> str:
    """Return the hash of the key that a bundle names; raise RunError if it cannot be read."""
    try:
        bundle = json.loads((folder / SIGNATURE).read_bytes())
        return str(bundle["verificationMaterial"]["publicKey"]["hint"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{SIGNATURE} is damaged") from None


def _identity(key: Path) -> str:
    """Return the hash of a public key, as bundles name it."""
    from cryptography.hazmat.primitives import serialization

    public = serialization.load_pem_public_key(key.read_bytes())
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _packages() -> tuple[Any, Any]:
    """Return the package and its module of hashes."""
    try:
        import model_signing
        from model_signing import hashing
    except ImportError as error:
        raise InputError(
            f"signatures need the package model-signing ({sentence(error)}); install it with `pip install "
            "'atelier[model-signing]'`"
        ) from None
    return model_signing, hashing
