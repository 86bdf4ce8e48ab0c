"""The emoji: captions, categories and groups."""

from components.data.dataset import open_split
from components.data.sources import prepare


def test_emoji_have_names_and_categories_and_no_base_emoji_in_two_splits(home):
    card = prepare.prepare("emoji", home)
    assert (card.resolution, card.channels, len(card.labels), card.captions) == (32, 3, 9, True)
    assert "CC BY" in card.licence and "Twemoji" in card.credit and card.background == "white"
    names = [
        {caption.partition(", ")[0] for caption in open_split(home / "data/emoji", split).captions}
        for split in card.counts
    ]
    assert "waving hand sign" in set.union(*names)
    tones = {caption for split in card.counts for caption in open_split(home / "data/emoji", split).captions}
    assert any(caption.endswith(", medium-dark skin tone") for caption in tones)
    from components.data.sources.emoji import ALWAYS_TRAIN

    assert set(ALWAYS_TRAIN.values()) <= names[list(card.counts).index("train")], "docs promise these by name"
    corners = open_split(home / "data/emoji", "test").images[:][:, :, 0, 0]
    assert corners.mean() > 200, "most drawings do not reach the corner, and the ground is white"


def test_skin_tones_share_the_split_of_their_base(home):
    from components.data.sources.emoji import base, collect

    assert base("1f44b-1f3fe", {}) == base("1f44b", {}) == "1f44b"
    collection = collect(32)
    split_of = {}
    for group, split in zip(
        collection.groups, prepare.splits.assign(collection.groups, collection.strata), strict=True
    ):
        assert split_of.setdefault(group, split) == split
    assert len(collection.groups) > 3000 > len(split_of)
