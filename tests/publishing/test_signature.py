"""A model's folder is signed with a key, and verified with its public part, without a network."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.publishing import signature
from components.publishing.verify import complaint, verify
from components.store import Store
from flows.cli import app
from tests.publishing.exported import RUN, published_run


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A private key and its public part, as PEM files."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    files = folder / f"{name}.pem", folder / f"{name}.pub"
    pem, public = private.private_bytes, private.public_key().public_bytes
    files[0].write_bytes(pem(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    files[1].write_bytes(public(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return files


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: key_pair(folder, name) for name in ("mine", "other")}


@pytest.fixture(scope="module")
def signed(
    tmp_path_factory: pytest.TempPathFactory, digits: Path, keys: dict[str, tuple[Path, Path]]
) -> Path:
    """The folder of a signed run, published by the command."""
    pytest.importorskip("model_signing", reason="the extra `model-signing`")
    folder = tmp_path_factory.mktemp("signed")
    store, _ = published_run(folder, digits)
    with pytest.raises(SystemExit) as ended:
        app.main(
            ["publish", RUN, "--to", f"{folder}/out", "--sign", str(keys["mine"][0]), "--store", store.url]
        )
    assert not ended.value.code
    return folder / "out" / RUN


def test_a_signature_is_checked_with_the_key(
    signed: Path, keys: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    moved = shutil.copytree(signed, tmp_path / "moved")
    _, model = verify(Store(moved), keys["mine"][1])
    assert model.problems == [] and "it is signed by the key mine.pub" in model.holds
    _, unchecked = verify(Store(moved))
    assert "its signature was not checked: name the public key with --key" in unchecked.holds
    place = Store("memory://signed/run")
    place.upload(moved, "a")
    assert complaint("", verify(place.child("a"), keys["mine"][1])) is None


def test_another_key_and_other_files_are_found(
    signed: Path, keys: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(signed, tmp_path / "moved"))
    (other,) = verify(Store(moved / "models/cgan"), keys["other"][1])
    assert other.problems == ["it is signed by another key than other.pub"]
    for change, sentence in (
        (
            lambda: (moved / "models/cgan/README.md").write_text("better"),
            "its signature does not fit its files (README.md has changed)",
        ),
        (lambda: (moved / "models/cgan/x").touch(), "(README.md has changed; x not signed)"),
        (lambda: (moved / "models/cgan/model.sig").write_text("{}"), "model.sig is damaged"),
        (lambda: (moved / "models/cgan/model.sig").unlink(), "it is not signed: there is no model.sig"),
    ):
        change()
        problems = [
            problem for result in verify(Store(moved), keys["mine"][1]) for problem in result.problems
        ]
        assert any(sentence in problem for problem in problems)


def test_what_is_no_key_is_bad_input(
    signed: Path, keys: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    (tmp_path / "no.pem").write_text("no key")
    for call in (signature.sign, signature.check):
        for key in (tmp_path / "no.pem", tmp_path / "none.pem"):
            with pytest.raises(
                InputError, match=rf"{key.name}: a (private|public) elliptic-curve key as PEM"
            ):
                call(signed / "models/cgan", key)
    with pytest.raises(InputError, match="a private elliptic-curve key"):
        signature.sign(signed / "models/cgan", keys["mine"][1])


def test_without_the_package_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    (tmp_path / "model.sig").write_text("{}")
    for call in (signature.sign, signature.check):
        with pytest.raises(InputError, match=r"model-signing .*; install it with `pip install"):
            call(tmp_path, tmp_path / "key.pem")
