"""Values of one training with several seeds."""

from __future__ import annotations

from pathlib import Path

from components.records.evaluation import MetricResult
from components.registry import seeds
from components.registry.seeds import SeedResult
from components.store import Store
from tests.registry.judged import OF


def test_seeds_of_one_training_and_protocol_are_found(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def kid(value: float, protocol: str = "p1") -> MetricResult:
        return MetricResult(value=value, comparability=protocol)

    for seed, key, metric in ((0, "e0", kid(1.0)), (1, "e1", kid(2.0)), (1, "e2", kid(9.0, "p2"))):
        seeds.record(store, *OF, "t1", key, SeedResult(seed=seed, run_id="r", metrics={"kid": metric}))
    seeds.record(store, *OF, "t2", "e3", SeedResult(seed=2, run_id="r", metrics={"kid": kid(7.0)}))
    store.write_text("registry/digits/generate/seeds/t1/torn.json", "{")
    assert seeds.values(store, *OF, "t1", "kid", kid(0.0)) == [1.0, 2.0]
    assert seeds.values(store, *OF, "t1", "kid", kid(0.0, "p2")) == [9.0]
    assert (
        seeds.values(store, *OF, None, "kid", kid(0.0))
        == seeds.values(store, *OF, "t3", "kid", kid(0.0))
        == []
    )
