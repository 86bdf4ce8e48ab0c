"""A job that loads an exported model and draws its published samples again."""

from __future__ import annotations

from components.evaluation.requests import ReproduceRequest
from components.records.gate import Reproduction
from components.sampling import published


def reproduce(job: ReproduceRequest) -> Reproduction:
    """Return the difference between the published samples and those that the exported model draws now."""
    return published.reproduce(job.store.local_copy(job.model), job.device)
