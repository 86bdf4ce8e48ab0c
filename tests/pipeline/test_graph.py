"""The list of all stages, and what each waits for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from components.pipeline import graph
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


def test_another_number_of_samples_redoes_the_evaluation_only(tmp_path: Path) -> None:
    made = plan(Store(str(tmp_path)), {"dcgan": {"width": 8, "latent": 8}})

    def keys(samples: int) -> dict[str, str]:
        evaluate = made.experiment.evaluate.model_copy(update={"samples": samples})
        changed = replace(made, experiment=made.experiment.model_copy(update={"evaluate": evaluate}))
        return {name: spec.key for name, (_, spec) in graph.planned(changed).items()}

    before, after = keys(50), keys(40)
    same = {name for name, key in before.items() if key == after[name]}
    assert {"extractor", "reference", "train/dcgan"} <= same
    assert "evaluate/dcgan" not in same
