"""Keys of stages: which settings and which code change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.config.experiment import Experiment
from components.config.train import Train
from components.data.card import DatasetCard
from components.pipeline.plan import Plan
from components.stages import code_digest
from tests.stage_specs import specs

pytestmark = pytest.mark.slow


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code that a test may change."""
    import shutil

    for package in code_digest.PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(code_digest.CODE / package, tmp_path / "code" / package, ignore=ignored)
    monkeypatch.setattr(code_digest, "CODE", tmp_path / "code")
    forget()
    yield tmp_path / "code"
    forget()


def forget() -> None:
    """Read the code anew."""
    code_digest._stored.cache_clear()
    code_digest._digest_and_imports.cache_clear()


def keys(**changes: Any) -> dict[str, str]:
    """The keys of a run of two families."""
    families: dict[str, Any] = {"vae": {"lr": 1e-3, "train": {}}, "dcgan": {"lr": 2e-4, "train": {}}}
    families |= changes.pop("families", {})
    experiment = Experiment(device="cpu", families=families, **changes)
    card = DatasetCard(
        name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
        labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
    )  # fmt: skip
    return {spec.title: spec.key for spec in specs(Plan(experiment, "0123.dir", card))}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    forget()


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {title for title in before if before[title] != after[title]}


OF_VAE = {f"{stage} vae" for stage in ("train", "evaluate", "export", "latent_analysis")}
VAE = OF_VAE | {"compare", "gate", "report", "publish"}


def test_a_learning_rate_changes_its_family_and_what_depends_on_it() -> None:
    assert changed(keys(), keys(families={"vae": {"lr": 2e-3, "train": {}}})) == VAE


def test_the_number_of_workers_and_the_cadence_of_logs_change_nothing() -> None:
    train = {
        "vae": {
            "lr": 1e-3,
            "train": {"workers": 2, "micro_batches": 1, "log_every": 7, "checkpoint_every": 9},
        }
    }
    with pytest.raises(ValueError, match="need as many micro-batches"):
        Train(**train["vae"]["train"])
    train["vae"]["train"]["workers"] = 0
    assert changed(keys(), keys(families=train)) == set()


def test_shards_and_seed_change_the_training() -> None:
    for field, value in {"micro_batches": 2, "seed": 1, "steps": 5, "precision": "float32"}.items():
        assert "train vae" in changed(keys(), keys(families={"vae": {"lr": 1e-3, "train": {field: value}}}))


def test_where_it_is_published_redoes_publishing_alone() -> None:
    assert changed(keys(), keys(publish={"url": "memory://x"})) == {"publish"}


def test_the_rules_of_the_gate_change_no_training_and_no_numbers() -> None:
    after = keys(gate={"review": "manual", "max_memorization": 0.01})
    assert changed(keys(), after) == {"gate", "report", "publish"}


def test_comments_and_docstrings_change_no_key(sources: Path) -> None:
    before = keys()
    edit(sources / "models" / "vae.py", "from __future__", "# A remark.\nfrom __future__")
    edit(
        sources / "components" / "training" / "ema.py",
        '"""Exponential moving average',
        '"""Another word: moving average',
    )
    edit(sources / "components" / "training" / "trainer.py", "# One step.", "# A step, and no more.")
    assert changed(before, keys()) == set()


def test_a_family_s_code_changes_that_family_alone(sources: Path) -> None:
    before = keys()
    edit(sources / "models" / "vae.py", "import math", "import math as mathematics\nimport math")
    assert changed(before, keys()) == VAE


def test_the_average_s_code_changes_every_training(sources: Path) -> None:
    before = keys()
    edit(sources / "components" / "training" / "ema.py", "0.5 **", "0.25 **")
    trainings = {title for title in before if title.split()[0] in ("train", "evaluate", "export")}
    assert changed(before, keys()) >= trainings
    assert "reference" not in changed(before, keys()) and "prepare" not in changed(before, keys())


def test_the_registry_and_the_launcher_change_nothing(sources: Path) -> None:
    before = keys()
    edit(sources / "models" / "registry.py", "FAMILIES = ", "X = 1\nFAMILIES = ")
    edit(sources / "components" / "cluster" / "ray_cluster.py", "MEGABYTE = 2**20", "MEGABYTE = 10**6")
    assert changed(before, keys()) == set()


def test_how_pictures_are_read_changes_no_training_and_no_numbers(sources: Path) -> None:
    before = keys()
    edit(
        sources / "components" / "data" / "sources" / "images.py",
        "SIXTEEN_BIT = 65535",
        "SIXTEEN_BIT = 65536",
    )
    assert not {title.split()[0] for title in changed(before, keys())} & {"train", "evaluate", "export"}


def test_digests_are_those_of_the_code_whatever_the_file_of_digests_has(sources: Path) -> None:
    """The file of an earlier process, one for other code, and none that can be read."""
    module, file = "components.metrics.distances", code_digest._stored().file
    before = code_digest.code(module)
    forget()
    assert code_digest.code(module) == before

    edit(
        sources / "components" / "metrics" / "distances.py", "import numpy as np", "import numpy as np\nX = 1"
    )
    forget()
    after = code_digest.code(module)
    assert {name for name in before if before[name] != after[name]} == {module}

    for content in ("[", "[1]", '{"components.metrics.distances": 3}'):
        file.write_text(content)
        forget()
        assert code_digest.code(module) == after
