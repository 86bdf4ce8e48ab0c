"""What an ablation compares."""

from __future__ import annotations

from pathlib import Path

from components.pipeline.ablation import FEWEST, SMOKE_VARIANTS, ablations, evaluations, samples
from components.store import Store
from tests.pipeline.test_anomaly_models import plan


def test_a_smoke_run_compares_few_variants(tmp_path: Path) -> None:
    store, families = Store(str(tmp_path)), {"diffusion": {"sampler": "heun"}}
    whole, smoke = (ablations(plan(store, families, smoke=smoke), "diffusion") for smoke in (False, True))
    assert [each.name for each in smoke] == [each.name for each in whole]
    for few, all_of_them in zip(smoke, whole, strict=True):
        assert list(few.variants.items()) == list(all_of_them.variants.items())[:SMOKE_VARIANTS]
        assert len(all_of_them.variants) > SMOKE_VARIANTS


def test_an_ablation_takes_a_share_of_the_work_of_its_training(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def number(steps: int, sampler: str = "heun") -> int:
        settings = {"sampler": sampler, "condition_dropout": 0.0, "guidance_scale": 1.0}
        block = settings | {"train": {"steps": steps, "batch": 64}}
        return samples(plan(store, {"diffusion": block}), "diffusion")

    variants = ablations(plan(store, {"diffusion": {"condition_dropout": 0.0}}), "diffusion")[0].variants
    cost = sum(evaluations({"guidance_scale": 1.0, **change}) for change in variants.values())
    assert number(1000) == min(250, int(0.25 * 3 * 1000 * 64 / cost))
    assert number(10) == FEWEST and number(100_000) == 250


def test_heun_and_guidance_evaluate_the_network_twice() -> None:
    assert evaluations({}) == 1 and evaluations({"sampler_steps": None}) == 1
    assert evaluations({"sampler_steps": 12, "sampler": "ddim", "guidance_scale": 1.0}) == 12
    assert evaluations({"sampler_steps": 12, "sampler": "heun", "guidance_scale": 3.0}) == 48
    assert evaluations({"sampler_steps": 12, "guidance_scale": 0.0}) == 24
