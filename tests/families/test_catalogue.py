"""What is known of each family without training it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.data.card import DatasetCard
from components.families.catalogue import card_for, task_of
from models.registry import FAMILIES
from tests.families.translators import PAIRED, UNPAIRED, with_sources


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_task_of_the_table(family: str) -> None:
    task = task_of(family)
    assert (task.selects == "mse") is (task.has_target and family != "esrgan")
    assert task.made_from != "noise" or not task.has_target


def test_a_family_that_learns_from_pairs_refuses_unpaired_sources(
    digits: Path, tmp_path: Path, translators: None
) -> None:
    card = DatasetCard.read(with_sources(digits, tmp_path / "paired"))
    assert card.sources is not None and card.sources.are_paired
    unpaired = card.model_copy(update={"sources": card.sources.model_copy(update={"paired": ("test",)})})
    for name in (PAIRED, UNPAIRED):
        assert card_for(name, {}, card).source == card.sources.shape
    assert card_for(UNPAIRED, {}, unpaired).source == card.sources.shape
    assert card_for("dcgan", {}, unpaired).source is None
    with pytest.raises(InputError, match="families.tiny_paired learns from pairs"):
        card_for(PAIRED, {}, unpaired)
