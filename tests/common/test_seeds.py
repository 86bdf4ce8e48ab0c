"""Seeds."""

from __future__ import annotations

from components.common import seeds
from components.common.seeds import derive


def test_seeds_differ_wherever_anything_differs() -> None:
    seeds = {derive(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125 and all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_keep_their_values() -> None:
    assert seeds.derive(0, "weights") == 5087778715007104936
    assert seeds.derive("real") == 2334143453952316780
    assert seeds.derive(3, 7, "noise", 1) == 3710343239294622386
    assert seeds.seed_of(0, 0) == 6452525717642331347
    assert seeds.seed_of(5, 123) == 6455641785876676330
    assert seeds.hash_of("label", 5, 123) == 2151358262070520632
