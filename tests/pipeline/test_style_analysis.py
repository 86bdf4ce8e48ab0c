"""Stage `style_analysis`: which families have it, and what it depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.pipeline import graph, style_analysis
from components.pipeline.plan import Plan
from components.store import Store
from tests.pipeline.test_check import plan
from tests.tiny import CONFIGS

FAMILIES = {"stylegan2": CONFIGS["stylegan2"], "dcgan": CONFIGS["dcgan"]}


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    return plan(Store(str(tmp_path)), FAMILIES)


def changed(made: Plan, **evaluate: Any) -> Plan:
    experiment = made.experiment
    settings = experiment.evaluate.model_copy(update=evaluate)
    return Plan(experiment.model_copy(update={"evaluate": settings}), made.version, made.card)


def test_style_based_families_have_the_stage(planned: Plan) -> None:
    assert style_analysis.families(planned) == ["stylegan2"]
    assert style_analysis.families(changed(planned, latent_analysis=False)) == []


def test_what_it_depends_on(planned: Plan) -> None:
    spec = style_analysis.spec(planned, "stylegan2")
    assert set(spec.upstream) == {"train/stylegan2", "extractor"}
    assert spec.settings["network"] == "extractor" and spec.settings["pairs"] == 1000
    few = style_analysis.spec(changed(planned, analysis_images=200), "stylegan2")
    assert few.settings["pairs"] == 200 and few.key != spec.key
    assert {"components.analysis.path_length", "models.stylegan2"} <= set(spec.code)


def test_no_other_stage_reads_its_code(planned: Plan) -> None:
    """So that a change of styles computes nothing else again, but for the page."""
    for name, (stage, spec) in graph.planned(planned).items():
        if stage.name not in ("style_analysis", "report"):
            assert "components.sampling.styles" not in spec.code, name
