"""The list of data sets."""

import pytest

from components.common.errors import InputError
from components.data.sources import prepare
from components.data.sources.catalogue import KNOWN


def test_an_unknown_name_lists_the_known_ones(home):
    with pytest.raises(InputError, match="known: mnist5k, .*, edges2emoji, .*, torchvision:<Class>"):
        prepare.prepare("mnist", home)


def test_the_list_tells_what_is_prepared(home):
    prepare.prepare("digits", home)
    rows = {row["name"]: row for row in prepare.available(home)}
    assert list(rows) == list(KNOWN) and list(rows)[:4] == ["mnist5k", "digits", "emoji", "emoji64"]
    assert not rows["mnist5k"]["prepared"] and rows["digits"]["prepared"] and rows["digits"]["classes"] == 10
    (home / "data/digits/card.json").write_text("{}")
    assert "damaged" in {row["name"]: row for row in prepare.available(home)}["digits"]["title"]
