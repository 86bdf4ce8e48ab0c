"""Tests mirror the packages: components/store/lease.py is tested in tests/store/test_lease.py.

A module that is tested through others is listed in THROUGH_OTHERS. The list may shrink; a new module has
tests of its own.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]

THROUGH_OTHERS = [
    "components.analysis.anomaly",
    "components.analysis.divergence",
    "components.analysis.latent_space",
    "components.analysis.likelihood",
    "components.analysis.mixture_prior",
    "components.analysis.probing",
    "components.analysis.reconstruction",
    "components.analysis.view",
    "components.cluster.ray_cluster",
    "components.common.atomic",
    "components.common.chunks",
    "components.common.paths",
    "components.common.seeds",
    "components.common.threads",
    "components.common.validation",
    "components.config.evaluate",
    "components.config.experiment",
    "components.config.sweep",
    "components.config.train",
    "components.data.card",
    "components.data.local",
    "components.data.sources.base",
    "components.data.sources.catalogue",
    "components.data.sources.digits",
    "components.data.sources.emoji",
    "components.data.sources.layout",
    "components.data.sources.listing",
    "components.data.sources.names",
    "components.data.sources.torchvision_sets",
    "components.data.text.encode_captions",
    "components.data.text.encoded",
    "components.data.versioning.pins",
    "components.evaluation.external_jobs",
    "components.evaluation.metric",
    "components.evaluation.parts",
    "components.evaluation.ranking",
    "components.evaluation.reference",
    "components.evaluation.requests",
    "components.evaluation.stability",
    "components.extractors.custom",
    "components.extractors.efficientnet",
    "components.extractors.files",
    "components.extractors.inception",
    "components.extractors.load",
    "components.extractors.preprocess",
    "components.extractors.small",
    "components.families.artifact",
    "components.families.catalogue",
    "components.families.resolve",
    "components.metrics.diversity",
    "components.metrics.image_pairs",
    "components.metrics.inception_score",
    "components.pipeline.ablation",
    "components.pipeline.anomaly_models",
    "components.pipeline.captions",
    "components.pipeline.check",
    "components.pipeline.compare",
    "components.pipeline.confirmation",
    "components.pipeline.evaluate",
    "components.pipeline.export",
    "components.pipeline.external",
    "components.pipeline.extractor",
    "components.pipeline.graph",
    "components.pipeline.latent_analysis",
    "components.pipeline.latents",
    "components.pipeline.prepare",
    "components.pipeline.publish",
    "components.pipeline.reference",
    "components.pipeline.report",
    "components.pipeline.stage",
    "components.pipeline.sweep",
    "components.pipeline.train",
    "components.report.build",
    "components.report.checkpoints",
    "components.report.formatting",
    "components.report.index_page",
    "components.report.leaderboard",
    "components.report.metric_labels",
    "components.report.model_card",
    "components.report.reading",
    "components.report.results",
    "components.report.run_page",
    "components.report.sweep_plots",
    "components.report.sweep_reading",
    "components.report.sweep_tables",
    "components.sampling.conditions",
    "components.sampling.read_image",
    "components.sampling.reconstruction_error",
    "components.sampling.request",
    "components.sampling.sheets",
    "components.sampling.to_file",
    "components.stages.code_digest",
    "components.stages.spec",
    "components.store.errors",
    "components.training.carry_over",
    "components.training.checkpoint",
    "components.training.distributed",
    "components.training.ema",
    "components.training.health.events",
    "components.training.health.probe",
    "components.training.health.rules",
    "components.training.inputs",
    "components.training.job",
    "components.training.latents",
    "components.training.log",
    "components.training.protocols",
    "components.training.ray_train",
    "components.training.request",
    "components.training.result",
    "components.training.run_log",
    "components.training.schedule",
    "components.training.trainer",
    "components.training.validation",
    "components.tuning.asha",
    "components.tuning.capacity",
    "components.tuning.confirmation",
    "components.tuning.finalists",
    "components.tuning.pbt",
    "components.tuning.recommendations",
    "components.tuning.repeat",
    "components.tuning.suggest",
    "components.tuning.trial_log",
    "flows.cli.app",
    "flows.cli.data",
    "flows.cli.evaluation",
    "flows.cli.inspect",
    "flows.cli.models",
    "flows.cli.run",
    "flows.cli.shared",
    "flows.run",
    "flows.schedule",
    "flows.setup",
    "flows.start",
    "flows.tasks",
    "flows.views",
    "models.adversarial_config",
    "models.cgan",
    "models.dcgan",
    "models.diffusion_config",
    "models.family",
    "models.gan",
    "models.inpainting",
    "models.parts.attention",
    "models.parts.coders",
    "models.parts.conditions",
    "models.parts.discriminator",
    "models.parts.losses",
    "models.parts.unet",
    "models.r3gan",
    "models.search_space",
    "models.super_resolution",
]


def has_behaviour(path: Path) -> bool:
    """Whether a module defines a function, or a class with one."""
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text())))


def without_mirror() -> list[str]:
    """The modules with behaviour that have no tests of their own."""
    missing = []
    for top in ("components", "flows", "models"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            folder = Path("tests", *(parts[1:-1] if top == "components" else parts[:-1]))
            if path.name.startswith("__") or not has_behaviour(path):
                continue
            if not (ROOT / folder / f"test_{parts[-1]}.py").exists():
                missing.append(".".join(parts))
    return missing


def test_a_new_module_has_tests_of_its_own() -> None:
    assert sorted(set(without_mirror()) - set(THROUGH_OTHERS)) == []


def test_the_list_of_those_without_has_no_others() -> None:
    assert sorted(set(THROUGH_OTHERS) - set(without_mirror())) == []
