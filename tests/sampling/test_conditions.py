"""What generated samples are conditioned on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text import encode_captions
from components.families import catalogue
from components.sampling import conditions, generate
from components.store import Store
from tests import captioned
from tests.families.test_captions import split

pytestmark = pytest.mark.usefixtures("captioned_family")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with data and its captions, encoded."""
    store = Store(str(tmp_path / "store"))
    captioned.prepared(Path(store.path("data")))
    encode_captions.encode(store.url, "data", "captions")
    return store


def test_judged_samples_follow_the_captions_of_the_split(store: Store) -> None:
    data, test = DatasetCard.read(Path(store.path("data"))), split(store, "test")
    told = catalogue.card_for("captioned", {}, data)
    assert conditions.conditions_of("captioned", {}, told, data, test) == {"text": test.text}
    assert conditions.conditions_of("dcgan", {}, data.card, data, test) == {}
    generator = catalogue.build("captioned", {}, told).generator
    whole = generate.draw(generator, told, n=24, seed=0, text=test.text)
    part = generate.draw(generator, told, n=4, seed=0, start=20, text=test.text)
    np.testing.assert_array_equal(part, whole[20:])
    with pytest.raises(InputError, match="only 24 captions"):
        generate.draw(generator, told, n=25, seed=0, text=test.text)


@pytest.mark.parametrize("family", ["inpainting", "super_resolution"])
def test_what_is_judged_beside_an_image_is_told_the_label_of_that_image(digits: Path, family: str) -> None:
    data, test = DatasetCard.read(digits), open_split(digits, "test")
    told = catalogue.card_for(family, {}, data)
    found = conditions.conditions_of(family, {}, told, data, test)
    np.testing.assert_array_equal(found["labels"], test.labels)
    assert conditions.conditions_of("diffusion", {}, told, data, test)["labels"] == "data", (
        "no image, none to have"
    )
