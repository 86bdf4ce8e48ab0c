"""Names that were probably meant."""

from __future__ import annotations

from components.common.suggestions import did_you_mean


def test_the_nearest_name_is_suggested_if_one_is_near() -> None:
    assert did_you_mean("prodcts", ["digits", "products"]) == " (did you mean 'products'?)"
    assert did_you_mean("emoji", ["digits", "products"]) == "" == did_you_mean("a", [])
