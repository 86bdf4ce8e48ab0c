"""Where the project and its configs lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common import paths
from components.common.errors import InputError


def test_the_project_is_the_checkout_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATELIER_HOME", raising=False)
    assert (paths.home() / paths.QUICKSTART).exists()
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "x" / ".."))
    assert paths.home() == tmp_path.resolve() and paths.working().parent == paths.home()
    monkeypatch.delenv("ATELIER_HOME")
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert paths.home() == tmp_path.resolve(), "an installed wheel"


def test_a_config_is_looked_for_here_and_then_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "project"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project" / "a.yaml").touch()
    assert paths.config_path(None) == paths.CHECKOUT / paths.QUICKSTART, "the project has none"
    assert paths.config_path(Path("configs/cpu/emoji.yaml")) == paths.CHECKOUT / "configs/cpu/emoji.yaml"
    (tmp_path / "project" / "configs").mkdir()
    (tmp_path / "project" / paths.QUICKSTART).touch()
    assert paths.config_path(None) == tmp_path / "project" / paths.QUICKSTART
    assert paths.config_path(Path("a.yaml")) == tmp_path / "project" / "a.yaml"
    (tmp_path / "a.yaml").touch()
    assert paths.config_path(Path("a.yaml")) == Path("a.yaml")
    near = "did you mean 'cpu/emoji.yaml'"
    with pytest.raises(InputError, match=f"no config file cpu/emojis.yaml .{near}.*looked in .*project"):
        paths.config_path(Path("cpu/emojis.yaml"))
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        (folder / "products.yaml").touch()
        missing = folder.relative_to(tmp_path) / "product.yaml"
        with pytest.raises(InputError, match=f"did you mean '{missing.with_name('products.yaml')}'"):
            paths.config_path(missing)
