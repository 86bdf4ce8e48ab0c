"""Records of attempts and publications: which one succeeded, its files, how far it is, and why it stopped."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from components.records.base import Number, Record
from components.records.run import Lineage


class Success(Record):
    """_SUCCESS of a stage: the attempt that has the result."""

    attempt: int
    sha256: str = ""  # of its result.json


class StoredFile(Record):
    """A file of a result or of a publication."""

    path: str
    bytes: int
    sha256: str


class StoredResult(Record):
    """result.json of an attempt, without what the stage itself returned."""

    stage: str
    family: str | None = None
    key: str
    attempt: int
    run_id: str  # the run that did the work
    started: float
    ended: float
    seconds: float
    work_seconds: float  # of these, spent computing
    files: list[StoredFile]
    elsewhere: list[str] = []  # files of the result outside of its folder


class Gpu(Record):
    """What a GPU does."""

    memory_gb: Number = None
    utilisation: Number = None  # percent


class TrainingProgress(Record):
    """progress.json of a training that is under way."""

    step: int
    steps: int
    values: dict[str, Number] = {}  # the newest row of metrics
    time: float  # of the step, in seconds since 1970
    pid: int = 0
    waited: float = 0.0  # seconds, for images
    gpu: Gpu | None = None


class WorkerError(Record):
    """error.json of an attempt: why a worker stopped."""

    error: str
    diverged: bool = False


class Publication(Record):
    """manifest.json of a published run: its files."""

    run_id: str = ""
    lineage: Lineage = Field(default_factory=Lineage)
    files: list[StoredFile]

    def to_json(self) -> dict[str, Any]:
        """Return the plain values, with the version of the format."""
        return {"schema": 1, **super().to_json()}
