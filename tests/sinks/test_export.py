"""Metrics are exported by one function, if the tool is installed."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from components.common.errors import InputError
from components.records.run import RunManifest
from components.sinks import export
from components.store import Store


def test_each_family_is_written_by_the_tools_writer(
    store: Store, run: RunManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Mock(side_effect=lambda store, history, folder: folder / history.name)
    monkeypatch.setitem(export.WRITERS, "tensorboard", writer)
    written = export.export_metrics(store, run, "tensorboard", tmp_path / "new")
    assert written == [tmp_path / "new" / "dcgan", tmp_path / "new" / "vae"]


@pytest.mark.parametrize("tool", export.WRITERS)
def test_without_the_package_one_sentence_says_what_to_install(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export.PACKAGES, tool, "not_installed")
    with pytest.raises(InputError, match=rf"needs the package not_installed; .*'atelier\[{tool}\]'`$"):
        export.need([tool])
