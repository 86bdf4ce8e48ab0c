"""Which families a first config gets, for every kind of data."""

from __future__ import annotations

from typing import Any

import pytest

from components.config.train import Train
from components.data.card import SPLITS, DatasetCard, Sources
from components.families.catalogue import advice_on, build, card_for
from components.families.starters import kind_of, starters, suitable
from models.registry import FAMILIES


def card(resolution: int = 32, channels: int = 3, images: int = 400, **others: Any) -> DatasetCard:
    counts = {"train": images, "validation": 40, "test": 100}
    text = {"title": "x", "source": "x", "licence": "x", "credit": "x"}
    return DatasetCard(name="x", **text, resolution=resolution, channels=channels, counts=counts, **others)


def sources(resolution: int, paired: bool = True) -> Sources:
    counts = {"train": 400, "validation": 40, "test": 100}
    return Sources(resolution=resolution, channels=3, counts=counts, paired=SPLITS if paired else ())


@pytest.mark.parametrize("starter", starters(), ids=lambda starter: f"{starter.family}-{starter.channels}")
def test_every_starter_is_a_family_with_settings_that_are_accepted(starter: Any) -> None:
    assert starter.family in FAMILIES
    settings = Train(**starter.settings.get("train", {}))
    resolution = max(32, starter.pixels[0])
    same, smaller = sources(resolution), sources(resolution // 4)
    others = {"pairs": same, "unpaired": sources(resolution, False), "enlarge": smaller}
    data = card(resolution, starter.channels or 3, sources=others.get(starter.data))
    assert kind_of(data) == starter.data and starter.why_not(data) is None
    build(starter.family, starter.config, card_for(starter.family, starter.config, data), None, settings)


@pytest.mark.parametrize(
    ("data", "families"),
    [
        (card(), ["diffusion", "r3gan", "dcgan", "vae"]),
        (card(channels=1), ["diffusion", "r3gan", "dcgan", "vae"]),
        (card(images=20_000), ["diffusion", "dcgan", "vae"]),
        (card(resolution=128), ["r3gan", "dcgan", "vae"]),
        (card(resolution=8), ["diffusion", "dcgan", "vae"]),
        (card(sources=sources(32)), ["pix2pix", "palette"]),
        (card(sources=sources(32, False)), ["cyclegan"]),
        (card(sources=sources(8)), ["rrdb", "super_resolution"]),
        (card(resolution=1024), []),
    ],
)
def test_families_suit_the_data(data: DatasetCard, families: list[str]) -> None:
    chosen, refused = suitable(data)
    assert [starter.family for starter in chosen] == families
    assert not set(refused) & set(families) and all(refused.values())


@pytest.mark.parametrize(
    ("channels", "resolution", "of", "family", "prediction"),
    [
        (3, 64, None, "diffusion", "x_0"),
        (3, 32, None, "diffusion", None),
        (1, 64, None, "diffusion", None),
        (3, 64, 64, "palette", "x_0"),
        (3, 40, 40, "palette", "x_0"),  # blocks of 4 x 4 here too
        (1, 64, 64, "palette", None),
        (3, 64, 16, "super_resolution", "x_0"),
        (1, 128, 32, "super_resolution", "x_0"),
    ],
)
def test_diffusion_of_large_blocks_of_pixels_predicts_images(
    channels: int, resolution: int, of: int | None, family: str, prediction: str | None
) -> None:
    source = sources(of).model_copy(update={"channels": channels}) if of else None
    data = card(resolution, channels, sources=source)
    (chosen,) = [starter for starter in suitable(data)[0] if starter.family == family]
    assert chosen.settings.get("prediction") == prediction
    assert not advice_on(family, chosen.config, card_for(family, chosen.config, data))


def test_grey_images_are_not_augmented_in_colour() -> None:
    for channels, augment in ((1, ["translation"]), (3, ["colour", "translation"])):
        (gan,) = [s for s in suitable(card(channels=channels))[0] if "augment" in s.settings]
        assert gan.settings["augment"] == augment
