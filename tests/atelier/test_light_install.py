"""An environment with the dependencies in pyproject.toml, and no extras, loads and samples models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from components.data.card import DatasetCard
from components.report.model_card import model_card
from tests.report import fixture
from tests.sampling.test_from_images import model

pytestmark = pytest.mark.timeout(900)  # processes that import torch take long on a crowded machine

ROOT = Path(__file__).parents[2]
Distributions = dict[str, metadata.Distribution]
PACKAGES = ("atelier", "components", "flows", "models")


def installed(requirement: str) -> metadata.Distribution | None:
    """The distribution that a requirement names; None if it is not for this machine or an extra."""
    parsed = Requirement(requirement)
    if parsed.marker and not parsed.marker.evaluate({"extra": ""}):
        return None
    return metadata.distribution(parsed.name)


def closure(requirements: Sequence[str], before: Distributions) -> Distributions:
    """Add all distributions that an installation of the requirements brings, by name."""
    for requirement in requirements:
        distribution = installed(requirement)
        if distribution and distribution.name not in before:
            before[distribution.name] = distribution
            closure(distribution.requires or [], before)
    return before


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with Atelier and its dependencies alone."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    distributions = closure(project["dependencies"], {})
    assert "torch" in distributions and not {"ray", "prefect", "dvc", "torchvision"} & set(distributions)
    for distribution in distributions.values():
        files = distribution.files or []
        for name in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(distribution.locate_file(name))
    for name in PACKAGES:
        (folder / name).symlink_to(ROOT / name)
    return folder


def python(site: Path, code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with these packages alone."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "HOME": str(folder), **environment}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def lines_of(card: str) -> str:
    """The lines of Python in a model card."""
    (block,) = re.findall(r"^    import atelier\n(?:    .*\n)+", card, re.MULTILINE)
    return re.sub("^    ", "", block, flags=re.MULTILINE)


def test_the_three_lines_of_a_model_card_draw(site: Path, tmp_path: Path) -> None:
    described = fixture.lineage().data.model_dump(exclude={"version", "hash"})
    about = DatasetCard(**described, source="the web")
    card = model_card(about, fixture.result("dcgan", 14.2))
    assert "install Atelier on Python 3.11 or newer" in card and "neither Ray, Prefect nor DVC" in card
    assert "On the command line, which needs the whole of Atelier, `pip install 'PATH[run]'`:" in card
    lines = lines_of(card)
    assert lines.count("\n") == 3
    folder = model(tmp_path, "dcgan")
    done = python(site, lines, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_of_a_run_is_loaded_and_what_is_missing_is_named(site: Path, tmp_path: Path) -> None:
    folder = model(tmp_path, "dcgan")
    code = f"""
import atelier
assert atelier.load("file://{folder}").sample(1, output_type="pil")[0].size == (8, 8)
assert atelier.runs() == []
for call in (lambda: atelier.run("x.yaml"), lambda: atelier.evaluate("x", data="digits")):
    try:
        call()
    except atelier.InputError as error:
        assert "a light install of Atelier lacks" in str(error), error
    else:
        raise AssertionError
"""
    done = python(site, code, folder, ATELIER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = python(site, "import flows.cli", folder)
    assert done.returncode == 2 and done.stderr.startswith("atelier: this needs the package ")
    assert "pip install 'PATH[run]'" in done.stderr
