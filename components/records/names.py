"""Names of files that cross a process or a stage."""

from __future__ import annotations

import re

RESULT = "trained.json"

INITIAL = "initial.json"  # in an attempt's folder: what a training took of the model that it began with

KEPT = "samples/kept.webp"  # the published samples: of the selected weights

EVENT = re.compile(r"event-(\d+)-(\d+)\.json")  # in health/: the attempt and the step of a diagnosis

DAMAGED = ".damaged"  # suffix of checkpoints that were found damaged

VALIDATION_LOSS = "validation loss"  # the metric that selects the weights of a training that it stops


def page_of(run_id: str) -> str:
    """Return the path of a run's page in the store."""
    return f"runs/{run_id}/report/index.html"
