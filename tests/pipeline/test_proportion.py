"""What evaluation costs in proportion to training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.pipeline import ablation, proportion
from models.family import Study


def plan(steps: int, samples: int = 1000, select: str = "best", **settings: Any) -> Any:
    """A plan with a family `a`, trained with 10 images a step, on data with 100 test images."""
    return SimpleNamespace(
        experiment=SimpleNamespace(
            families={"a": {}},
            smoke=False,
            evaluate=SimpleNamespace(samples=samples, ablation_samples=0),
            training=lambda family: SimpleNamespace(steps=steps, batch=10, select=select),
        ),
        card=SimpleNamespace(counts={"test": 100}),
        family_settings=lambda family: settings,
    )


@pytest.mark.parametrize(
    ("planned", "share"),
    [
        (plan(1000), 200 / 30_000),
        (plan(1000, samples=50), 100 / 30_000),
        (plan(1000, samples=50, select="last"), 50 / 30_000),
        (plan(100, sampler_steps=20), 4000 / 3000),
        (plan(100, sampler_steps=20, sampler="heun", guidance_scale=2.0), 16_000 / 3000),
    ],
)
def test_work_is_counted_in_evaluations_of_the_network(planned: Any, share: float) -> None:
    assert proportion.shares(planned) == {"a": pytest.approx(share)}


def test_ablations_count_with_the_settings_of_each_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(name="s", title="S", variants={"5": {"sampler_steps": 5}, "10": {"sampler_steps": 10}})
    monkeypatch.setattr(ablation, "ablations", lambda plan, family: [study])
    monkeypatch.setattr(ablation, "samples", lambda plan, family: 16)
    assert proportion.shares(plan(1000)) == {"a": pytest.approx((200 + 16 * 15) / 30_000)}


def test_what_costs_more_than_training_is_said_with_advice() -> None:
    assert proportion.sentences({"gan": 0.01}) == []
    (line,) = proportion.sentences({"gan": 0.01, "vae": 0.1})
    assert line.startswith("evaluation and ablations call the network at most 10% (vae) as often as ")
    _, advice = proportion.sentences({"vae": 0.1, "diffusion": 1.5})
    assert advice.startswith(
        "the evaluation of diffusion takes longer than the training: lower evaluate.samp"
    )


def test_only_families_that_would_be_evaluated_are_named() -> None:
    costly = plan(100, sampler_steps=20)
    assert proportion.of_run(costly, {"train a", "evaluate a"}) and not proportion.of_run(costly, {"report"})
