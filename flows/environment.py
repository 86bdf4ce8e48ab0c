"""Settings of the tools that Atelier builds on, in the environment."""

from __future__ import annotations

import os
import warnings

from components.common import loopback
from components.common.paths import working


def prepare() -> None:
    """Set the variables of `environment` that the user has not set; call this before Prefect is imported."""
    os.environ.update({name: value for name, value in environment().items() if name not in os.environ})
    loopback.bypass_proxies()
    warnings.filterwarnings("ignore", "Failed to create the Prefect home")  # a run says so in its own words


def environment() -> dict[str, str]:
    """Return settings of the tools we build on, for variables that the user has not set.

    They keep all files inside the project.
    """
    return {
        "PREFECT_HOME": str(working() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # we print failures once ourselves
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # such as of events after an interruption
        "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": "8",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
