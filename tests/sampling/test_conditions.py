"""What generated samples are conditioned on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.data.dataset import Split, open_split
from components.data.text import encode_captions
from components.families import catalogue
from components.sampling import conditions, generate
from components.store import Store
from models.data_spec import DataSpec
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


def test_judged_samples_follow_the_captions_of_the_split(store: Store) -> None:
    data, test = DatasetCard.read(Path(store.path("data"))), split(store, "test")
    card = catalogue.card_for("captioned", {}, data)
    assert conditions.conditions_of("captioned", {}, card, data, test) == {"text": test.text}
    assert conditions.conditions_of("dcgan", {}, data.card, data, test) == {}
    generator = catalogue.build("captioned", {}, card).generator
    whole = generate.draw(generator, card, n=24, seed=0, text=test.text)
    part = generate.draw(generator, card, n=4, seed=0, start=20, text=test.text)
    np.testing.assert_array_equal(part, whole[20:])
    with pytest.raises(InputError, match="only 24 captions"):
        generate.draw(generator, card, n=25, seed=0, text=test.text)


def test_fixed_classes_are_as_frequent_as_in_the_split() -> None:
    """BatchNorm's statistics and the probe are of them; each batch has others, the same in every run."""
    labels = np.arange(400) % 20 // 19  # 95 % and 5 %
    card = DataSpec(1, 4, num_classes=2)
    fixed = conditions.FixedConditions(card, Split(np.zeros((400, 1, 4, 4), np.uint8), labels))
    result = [fixed(number, 128).label for number in range(4)]
    assert float(torch.cat(result).float().mean()) == pytest.approx(0.05, abs=0.01)
    assert not torch.equal(result[0], result[1]) and torch.equal(result[0], fixed(0, 128).label)
    assert conditions.FixedConditions(card)(0, 4).label.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("family", ["inpainting", "super_resolution"])
def test_what_is_judged_beside_an_image_is_told_the_label_of_that_image(digits: Path, family: str) -> None:
    data, test = DatasetCard.read(digits), open_split(digits, "test")
    card = catalogue.card_for(family, {}, data)
    result = conditions.conditions_of(family, {}, card, data, test)
    np.testing.assert_array_equal(result["labels"], test.labels)
    assert conditions.conditions_of("diffusion", {}, card, data, test)["labels"] == "data", (
        "no image, none to have"
    )
