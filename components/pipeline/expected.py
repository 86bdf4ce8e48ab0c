"""Estimate the time of the stages of a plan from earlier results on the same data, scaled to the work.

Smoke runs are never used, since start-up dominates their times. Other settings of a network than before are
not scaled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.units import size
from components.pipeline import ablation
from components.pipeline.graph import of_scope
from components.pipeline.plan import Plan
from components.records.run import RunManifest, StageEntry
from components.registry.runs import newest_first
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import unless_torn

RUNS = 20  # that are looked through, the newest first
LISTED = 4  # stages that are named, of those of which nothing is known


@dataclass(frozen=True)
class Earlier:
    """A result of an earlier run."""

    settings: Mapping[str, Any]  # of its stage
    seconds: float
    uri: str  # its folder


class Estimates:
    """The expected seconds of the stages of a plan."""

    def __init__(self, plan: Plan, store: Store):
        self.plan, self.store = plan, store
        self._results: dict[tuple[str, str | None], Earlier] | None = None

    def seconds(self, spec: Spec) -> float | None:
        """Return the seconds that a stage is expected to take; None: nothing like it has run on this data."""
        before = self.earlier.get((spec.stage, spec.family))
        if before is None:
            return None
        then, now = (self.work(spec.stage, settings) for settings in (before.settings, spec.settings))
        return before.seconds * now / then

    def bytes(self, specs: Iterable[Spec]) -> int:
        """Return the bytes that earlier results of these stages take in a store that is a folder; else 0."""
        if not self.store.is_local:
            return 0  # listing them may take long
        uris = [self.earlier[s.stage, s.family].uri for s in specs if (s.stage, s.family) in self.earlier]
        return sum(sum(self.store.sizes(uri).values()) for uri in uris)

    @property
    def overhead(self) -> float:
        """The seconds in which the newest run on this data computed nothing, as while Ray starts."""
        return next((run.overhead.seconds for run in self._runs() if run.overhead), 0.0)

    @property
    def earlier(self) -> Mapping[tuple[str, str | None], Earlier]:
        """The newest results on this data and device, by stage and family."""
        if self._results is None:
            self._results = {}
            for stage in self._ran():
                key = stage.name, stage.family
                if key not in self._results and (result := self._result(stage)):
                    self._results[key] = result
        return self._results

    def work(self, stage: str, settings: Mapping[str, Any]) -> float:
        """Return the amount of work of a stage with these settings, in a unit of its own."""
        images = self.plan.card.counts["test"]
        if stage in ("train", "anomaly_models"):
            return len(settings.get("held_out_classes", [""])) * of_training(settings)
        if stage == "evaluate":
            return min(settings["samples"], images)
        if stage == "ablation":
            variants = sum(len(study["variants"]) for study in settings["studies"])
            return max(1, variants * min(settings["samples"], images))
        if stage == "latent_analysis":
            return min(settings["images"], self.plan.card.counts["train"])
        return 1.0

    def _ran(self) -> Iterator[StageEntry]:
        """Yield the stages that runs have computed on this data, the newest first."""
        return (stage for run in self._runs() for stage in run.stages if stage.state == "ran")

    def _runs(self) -> Iterator[RunManifest]:
        """Yield the full runs on this data, the newest first."""
        for run in newest_first(self.store, RunManifest, most=RUNS):
            if not run.smoke and run.lineage.data.version == self.plan.version:
                yield run

    def _result(self, stage: StageEntry) -> Earlier | None:
        """Read a stage's spec; None if it took no time, is of another device, or has been removed since."""
        if not (seconds := stage.work_seconds or stage.seconds):
            return None
        spec = unless_torn(lambda: self.store.read_json(f"{stage.uri}/spec.json"))
        if not spec or spec.get("device") != self.plan.device or "settings" not in spec:
            return None
        return Earlier(spec["settings"], seconds, stage.uri)


def of_training(settings: Mapping[str, Any]) -> float:
    """Return the evaluations of the network that the steps and snapshots of a training take."""
    train = settings["train"]
    drawn = (train["num_snapshots"] + 1) * (train["snapshot_samples"] + train["sample_images"])
    steps = ablation.FORWARD_AND_BACKWARD * train["steps"] * train["batch"]
    return float(steps + drawn * ablation.evaluations(settings))


@dataclass(frozen=True)
class Forecast:
    """What the stages that would run are expected to take."""

    training: float  # seconds of work
    judging: float
    rest: float
    unknown: list[str]  # titles of stages without an earlier result
    elapsed: float  # seconds from start to end, with families side by side
    stages: int  # how many would run
    smoke: bool = False

    @property
    def sentences(self) -> list[str]:
        """In words, for a terminal; none if nothing is known of any stage, or nothing would run."""
        total = self.training + self.judging + self.rest
        sentences = []
        if total:
            least = "at least " if self.unknown else ""
            parts = {"training": self.training, "evaluation": self.judging}
            shares = " and ".join(
                f"{minutes(seconds)} of {name}" for name, seconds in parts.items() if seconds
            )
            sentences.append(
                f"expected: {least}{minutes(total)} of work{shares and f', of which {shares}'}, scaled from "
                f"earlier results on this data; {least}{minutes(self.elapsed)} from start to end, "
                "with families side by side"
            )
        if self.judging > self.training > 0 and not self.smoke:  # whose settings are not the config's
            sentences.append(
                "evaluation takes longer than training: lower evaluate.samples and evaluate.ablation_samples"
            )
        if len(self.unknown) == self.stages > LISTED:
            sentences.append(
                f"unknown: how long it takes, since none of these {self.stages} stages has run in full on "
                "this data yet"
            )
        elif self.unknown:
            listed = ", ".join(self.unknown[:LISTED])
            more = f" and {len(self.unknown) - LISTED} more" if len(self.unknown) > LISTED else ""
            sentences.append(f"unknown: {listed}{more}, which never ran on this data")
        return sentences


def forecast(
    rows: Sequence[tuple[str, float | None]],
    side_by_side: int = 1,
    overhead: float = 0.0,
    *,
    smoke: bool = False,
) -> Forecast:
    """Return what stages are expected to take.

    Args:
        rows: their titles and seconds; None: unknown.
        side_by_side: how many families are trained at once.
        overhead: seconds in which a run computes nothing.
        smoke: whether the run only checks that everything works; the sentences then have no advice.
    """
    of_stage: dict[str, float] = defaultdict(float)
    of_family: dict[str, float] = defaultdict(float)
    for title, seconds in rows:
        stage, _, family = title.partition(" ")
        of_stage[stage] += seconds or 0.0
        of_family[family] += seconds or 0.0
    training, judging = of_stage["train"], sum(of_stage[stage] for stage in judging_stages())
    total, alone = sum(of_stage.values()), of_family.pop("", 0.0)
    longest = max([*of_family.values(), sum(of_family.values()) / side_by_side])
    unknown = [title for title, seconds in rows if seconds is None]
    elapsed = alone + longest + overhead
    return Forecast(training, judging, total - training - judging, unknown, elapsed, len(rows), smoke)


def judging_stages() -> list[str]:
    """Return the names of the stages that judge a trained family: its evaluation and those after it."""
    return [stage.name for stage in of_scope("family") if "evaluate" in (stage.name, *stage.after)]


def disk(taken: int, *, partial: bool = False) -> list[str]:
    """Return a sentence on the bytes that stages take; none if nothing is known.

    With `partial`, some of the stages have no earlier result.
    """
    least = "at least" if partial else "about"
    return [f"{least} {size(taken)} in the store, as earlier results take"] if taken else []


def minutes(seconds: float) -> str:
    """Return a duration in words."""
    return f"{seconds / 60:.1f} minutes"
