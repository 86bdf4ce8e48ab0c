"""The shapes that networks depend on."""

from __future__ import annotations

import pytest

from models.data_spec import DataSpec, SourceShape


def test_the_way_back_makes_sources_from_images() -> None:
    spec = DataSpec(3, 64, 10, 384, SourceShape(1, 32))
    assert spec.reversed() == DataSpec(1, 32, source=SourceShape(3, 64))
    assert spec.reversed().reversed().shape == spec.shape


def test_sources_of_another_size_or_colour_are_refused() -> None:
    assert DataSpec(3, 64, source=SourceShape(1, 64)).source_of_same_size().shape == (1, 64, 64)
    with pytest.raises(ValueError, match="sources have 32 pixels a side and images 64; they must agree"):
        DataSpec(3, 64, source=SourceShape(3, 32)).source_of_same_size()
    with pytest.raises(ValueError, match="sources are grey and images in colour; prepare both"):
        DataSpec(3, 64, source=SourceShape(1, 64)).check_same_colours()
