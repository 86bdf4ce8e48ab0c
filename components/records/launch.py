"""Records of jobs on a Ray cluster: what a job is to run, which job it is, and the jobs of a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.records.base import Record


class JobRequest(Record):
    """launch.json, which travels with the code of a job: the run that it is to make."""

    experiment: Mapping[str, Any]  # resolved as far as without the cluster
    version: str  # of the data
    force: list[str] = []
    explain: bool = False
    smoke: bool = False
    command: str = ""
    resume: str | None = None  # the run to continue
    versions: dict[str, str]  # that must be the same here and on the cluster


class JobName(Record):
    """ATELIER_LAUNCH in a job's environment: its place in the store, and its run."""

    key: str  # of the series
    number: int
    run_id: str


class SubmittedJob(Record):
    """launches/<key>/<number>.json: a job of a series."""

    job: str
    run_id: str
    cluster: str = ""
    created: str = ""
