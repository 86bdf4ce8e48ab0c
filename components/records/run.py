"""The manifest of a run, run.json: what it is, where it stands, and all that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from components.common.errors import InputError
from components.records.base import Number, Record, StageResult
from components.records.evaluation import Baseline, Evaluation, Metrics, measures
from components.records.gate import Judgement
from components.records.training import WarmStart

LOST = timedelta(minutes=2)  # a run writes its record several times a minute
FINISHED = ("ran", "cached")  # states of a stage that has its result


class StageEntry(Record):
    """The state of a stage of a run."""

    name: str
    family: str | None = None
    optional: bool = False  # whether its family has finished even if this stage failed
    key: str = ""
    uri: str = ""  # of all its attempts, in the store
    attempt: int | None = None  # that has the result
    upstream: list[str] = []  # keys
    state: str = "waiting"  # ran | cached | running | waiting | failed | skipped
    started: str | None = None
    ended: str | None = None
    offset: Number = None  # seconds from the start of the run
    seconds: Number = None
    work_seconds: Number = None  # of them, spent computing
    cached_from: str | None = None  # the run that did the work
    error: str | None = None
    sha256: str | None = None  # of result.json
    bytes: int | None = None  # of all files
    events: int | None = None  # diagnoses so far
    trials: dict[str, int] = {}  # of a search, by state
    finals: list[int] = []  # of a search: finalists judged again, of how many
    seconds_left: Number = None
    images_per_second: Number = None  # of a training
    data_share: Number = None  # of its time, in which its first worker waited for batches
    gpu_memory_gb: Number = None
    gpu_utilisation: Number = None  # percent

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} {self.family}" if self.family else self.name

    @property
    def is_finished(self) -> bool:
        """Whether it has its result."""
        return self.state in FINISHED

    @property
    def folder(self) -> str:
        """The folder of the attempt that has the result, in the store; empty before."""
        return f"{self.uri}/attempts/{self.attempt}" if self.uri and self.attempt else ""


class DataLineage(Record):
    """The data of a run."""

    name: str = ""
    title: str = ""
    version: str | None = None
    hash: str | None = None
    licence: str | None = None
    credit: str | None = None
    counts: dict[str, int] = {}
    labels: list[str] | None = None
    resolution: int | None = None
    channels: int | None = None


class Hardware(Record):
    """The hardware and versions that a machine computes with."""

    cpu: str = ""
    cores: int | None = None
    memory_gb: Number = None
    gpus: list[str] = []


class Lineage(Record):
    """All that a result was made from: code, data, settings, versions, hardware."""

    commit: str | None = None
    dirty: bool | None = None
    data: DataLineage = DataLineage()
    config: Mapping[str, Any] = {}
    config_hash: str | None = None
    versions: dict[str, str | None] = {}
    hardware: Hardware | None = None

    @property
    def families(self) -> Mapping[str, Any]:
        """The section `families` of the configuration."""
        families = self.config.get("families")
        return families if isinstance(families, dict) else {}


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their full names, such as families.vae.lr."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class TrainingSummary(Record):
    """The part of a training's record that a family's result repeats."""

    steps: int = 0
    stopped_early: bool = False
    initial: WarmStart | None = None
    terms: dict[str, Number] = {}


class ResultHead(Record):
    """The part of a family's result that leaderboards show."""

    family: str
    task: str = ""
    paper: str = ""
    parameters: int | None = None
    train_seconds: Number = None
    samples_per_second: Number = None
    metrics: Metrics = {}
    baselines: list[Baseline] = []


class FamilyResult(ResultHead, Evaluation):
    """The result of a family, for the table, the page and the command line."""

    images_seen: int | None = None
    samples: str | None = None  # the sheet of published samples, in the store
    model: str | None = None  # folder in the store
    train: TrainingSummary = TrainingSummary()


class TableRow(Record):
    """A family's row of the comparison table: numbers by name under four heads."""

    family: str
    task: str = ""
    complexity: dict[str, int] = {}
    stability: dict[str, Number] = {}
    quality: dict[str, Number] = {}
    speed: dict[str, Number] = {}
    rank: int | str | None = None  # text: why there is none


class Comparison(StageResult):
    """All results of a run, and the table of them: the result of the stage that compares."""

    results: list[FamilyResult] = []
    table: list[TableRow] = []


class Overhead(Record):
    """Seconds and share of a run in which nothing was computed."""

    seconds: float
    share: Number = None


class RunHead(Record):
    """The part of a manifest that lists of runs show."""

    run_id: str
    kind: str = "run"  # run | sweep
    status: str = "running"  # running | done | partial | failed | interrupted
    smoke: bool = False
    started: str | None = None
    ended: str | None = None
    heartbeat: str | None = None
    seconds: Number = None
    report: str | None = None  # the page, in the store
    error: str | None = None  # why it failed, if it did as a whole
    lineage: Lineage = Lineage()

    @property
    def standing(self) -> str:
        """Its status; `lost` if it is recorded as running but has stopped updating its record."""
        if self.status != "running" or self.heartbeat is None:
            return self.status
        try:
            silent = datetime.now(UTC) - datetime.fromisoformat(self.heartbeat)
        except (ValueError, TypeError):  # no time, or one without a zone
            return "lost"
        return "lost" if silent > LOST else self.status


class RunSummary(RunHead):
    """The part of a manifest that the index of all runs shows."""

    stages: list[StageEntry] = []
    results: list[ResultHead] = []

    def stage(self, name: str, family: str | None = None) -> StageEntry | None:
        """The entry of a stage of a family, or of the whole run."""
        entries = (entry for entry in self.stages if (entry.name, entry.family) == (name, family))
        return next(entries, None)

    @property
    def families(self) -> list[str]:
        """The families in the order of the configuration, then any others that the run met."""
        others = [*(stage.family for stage in self.stages), *(result.family for result in self.results)]
        return [name for name in dict.fromkeys([*self.lineage.families, *others]) if name]

    def builds_on(self, stage: StageEntry) -> list[str]:
        """The other families whose trained models a stage of a family builds on."""
        if not stage.family:
            return []
        upstream = (entry.family for entry in self.stages if entry.key in stage.upstream)
        return [family for family in upstream if family and family != stage.family]

    @property
    def failed(self) -> list[StageEntry]:
        """The stages that failed."""
        return [stage for stage in self.stages if stage.state == "failed"]


class RunManifest(RunSummary):
    """run.json.

    In Python, it is shown as its id, status, families and the measure that ranks each result, which are some
    of its fields; `to_json()` has all.
    """

    command: str = ""
    withheld: list[str] = []  # settings that the lineage leaves out or shortens
    results: list[FamilyResult] = []  # type: ignore[assignment]
    table: list[TableRow] = []
    gate: list[Judgement] = []
    published: str | None = None
    overhead: Overhead | None = None

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield what notebooks show; the whole record has thousands of lines."""
        yield from (("run_id", self.run_id), ("status", self.standing), ("families", self.families))
        yield "measures", {r.family: measures(r.metrics)[0] for r in self.results if r.metrics}

    def to_json(self) -> dict[str, Any]:
        """Return the contents of run.json."""
        return {"schema": 1, **super().to_json()}

    def folder(self, name: str) -> str:
        """The folder of a finished stage of the whole run, in the store."""
        entry = self.stage(name)
        if entry is None or not entry.is_finished:
            raise InputError(f"run {self.run_id} has no finished stage {name}")
        return entry.folder

    @property
    def models(self) -> dict[str, str]:
        """The folders of the exported models, by family."""
        exports = (stage for stage in self.stages if stage.name == "export" and stage.is_finished)
        return {stage.family: stage.folder for stage in exports if stage.family}
