"""Captions of a data set, encoded once each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.data.dataset import open_split
from components.data.text import encode_captions, encoder, package
from components.store import Store
from tests import captioned
from tests.families.test_captions import split

pytestmark = pytest.mark.usefixtures("captioned_family")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with data and its captions, encoded."""
    store = Store(str(tmp_path / "store"))
    captioned.prepared(Path(store.path("data")))
    encode_captions.encode(store, "data", "captions")
    return store


def test_each_caption_is_encoded_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(encoder, "encode", lambda texts: asked.append(list(texts)) or captioned.encode(texts))
    info = encode_captions.encode(store, "data", "again")
    assert len(asked) == 1 and sorted(set(captioned.captions(64))) == asked[0]
    assert info.to_json() == store.read_json("again/text.json")
    assert info.captions == 24 and info.tokens == 2 and info.cut == 0
    assert info.sha256 == package.SHA256 and info.name == package.NAME


def test_the_captions_of_a_few_images_are_shared_by_all(store: Store) -> None:
    info = encode_captions.encode(store, "data", "captions", 5)
    assert info.captions == 5, "all splits begin with the same"
    for name, n in captioned.SPLITS.items():
        result = split(store, name)
        assert result.text is not None and len(result.text) == n
        np.testing.assert_array_equal(result.text.rows, result.text.rows[np.arange(n) % 5])
        tokens, _ = result.text[np.array([7])].tensors()
        own = captioned.encode([captioned.captions(3)[2]])
        np.testing.assert_array_equal(tokens, own.tokens.astype(np.float32))


@pytest.mark.parametrize("name", captioned.SPLITS)
def test_every_image_has_its_own_caption(store: Store, name: str) -> None:
    result = split(store, name)
    tokens, mask = result.text[np.array([3, 0, 7])].tensors()
    own = captioned.encode([result.captions[i] for i in (3, 0, 7)])
    np.testing.assert_array_equal(tokens, own.tokens.astype(np.float32))
    np.testing.assert_array_equal(mask, own.mask)
    assert isinstance(result.text.table.tokens, np.memmap), "not read before it is needed"
    assert open_split(Path(store.path("data")), name).text is None
