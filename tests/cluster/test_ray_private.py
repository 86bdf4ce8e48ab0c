"""What Ray does not promise of a cluster: an upgrade that takes it away fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ray._private.state import state

from components.cluster.ray_cluster import connect
from components.cluster.ray_private import has_dashboard, most_resources

ROOT = Path(__file__).parents[2]
OF_POPULATIONS = (
    "_trial_state",
    "_next_perturbation_sync",
    "_checkpoint_or_exploit",
    "_exploit",
    "saving_to",
)


def test_a_cluster_says_what_it_can_have_at_most(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    assert most_resources() == {}, "the tests' cluster starts no nodes"
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: {"CPU": 64, "GPU": 8})
    assert most_resources() == {"CPU": 64.0, "GPU": 8.0}


def test_a_cluster_says_whether_it_has_a_dashboard(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    assert not has_dashboard(), "the tests' cluster has none"
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_get", lambda *_, **__: b"127.0.0.1:8265")
    assert has_dashboard()
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_initialized", lambda: False)
    assert has_dashboard(), "who cannot ask is guarded"


def test_only_files_of_this_name_use_private_members_of_ray() -> None:
    names = [
        r"\bray\._",
        r"\bray\.\w[\w.]*\._",
        "_create_default_callbacks",
        *(rf"\.{name}\b" for name in OF_POPULATIONS),
    ]
    for package in ("components", "flows", "atelier", "models"):
        for file in (ROOT / package).rglob("*.py"):
            private = re.findall("|".join(names), file.read_text())
            assert not private or file.name == "ray_private.py", f"{file}: {private}"
