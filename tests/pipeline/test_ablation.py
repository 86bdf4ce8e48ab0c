"""What an ablation compares."""

from __future__ import annotations

from pathlib import Path

from components.pipeline.ablation import SMOKE_VARIANTS, ablations
from components.store import Store
from tests.pipeline.test_anomaly_models import plan


def test_a_smoke_run_compares_few_variants(tmp_path: Path) -> None:
    store, families = Store(str(tmp_path)), {"diffusion": {"sampler": "heun"}}
    whole, smoke = (ablations(plan(store, families, smoke=smoke), "diffusion") for smoke in (False, True))
    assert [each.name for each in smoke] == [each.name for each in whole]
    for few, all_of_them in zip(smoke, whole, strict=True):
        assert list(few.variants.items()) == list(all_of_them.variants.items())[:SMOKE_VARIANTS]
        assert len(all_of_them.variants) > SMOKE_VARIANTS
