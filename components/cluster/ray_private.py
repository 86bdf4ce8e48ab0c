"""Private members of Ray that tell what a cluster has, under public names.

Only files of this name use private members of Ray. If a new version of Ray changes one of these,
tests/cluster/test_ray_private.py fails.
"""

from __future__ import annotations

from ray._private import services
from ray._private.state import state


def most_resources() -> dict[str, float]:
    """Return what a cluster that starts nodes when they are needed can have at most; nothing for others."""
    try:
        most = state.get_max_resources_from_cluster_config()  # as Ray Train does
    except Exception:  # such as through Ray's client, which cannot ask
        return {}
    return {name: float(count) for name, count in (most or {}).items()}


def has_dashboard() -> bool:
    """Return whether the cluster of this process has a dashboard; True of one that cannot say."""
    try:
        return services.get_webui_url_from_internal_kv() != ""
    except Exception:  # such as through Ray's client
        return True
