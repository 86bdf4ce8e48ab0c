"""The list of all stages, and what each waits for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from components.pipeline import graph, reference
from components.pipeline.stage import Scope
from components.store import Store
from tests.pipeline.test_check import plan


def test_every_stage_has_a_scope_and_a_name_of_its_own() -> None:
    names = [stage.name for stage in graph.STAGES]
    assert len(set(names)) == len(names)
    assert {stage.scope for stage in graph.STAGES} == set(get_args(Scope))


def test_a_stage_comes_after_all_that_it_builds_on(tmp_path: Path) -> None:
    made = plan(Store(str(tmp_path)), {"dcgan": {"width": 8, "latent": 8}})
    planned = graph.planned(made)
    names = list(planned)
    for name, (stage, spec) in planned.items():
        assert all(names.index(upstream) < names.index(name) for upstream in spec.upstream)
        if spec.family:
            waits = graph.inputs(made, stage, spec)
            assert set(spec.upstream) <= set(waits) and set(waits) <= set(names[: names.index(name)])
    assert names[0] == "prepare" and names[-1] == "publish"


def test_the_reference_does_not_depend_on_samples_beyond_the_test_images(tmp_path: Path) -> None:
    made = plan(Store(str(tmp_path)), {"dcgan": {"width": 8, "latent": 8}})
    test = made.card.counts["test"]

    def key(samples: int) -> str:
        evaluate = made.experiment.evaluate.model_copy(update={"samples": samples})
        return reference.spec(
            replace(made, experiment=made.experiment.model_copy(update={"evaluate": evaluate}))
        ).key

    assert key(test) == key(test + 1) == key(10 * test) != key(test - 1)
