"""The health of adversarial training for the page: metrics, advised bands, diagnoses in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.records.health import Band, HealthEvent, Monitoring, Treatment
from components.records.names import EVENT
from components.records.training import TrainingResult
from components.report import formatting
from components.report.reading import (
    VITAL,
    AttemptFolder,
    Course,
    Curves,
    Row,
    curves,
    is_vital,
    read_json,
)
from components.store import Store

VITALS = {
    "D(x)": "D(x)",
    "D(G(z))": "D(G(z))",
    "auc": "pairs ranked correctly",
    "discriminator_loss": "loss of D",
    "generator_loss": "loss of G",
    "discriminator_grad_norm": "gradient norm of D",
    "generator_grad_norm": "gradient norm of G",
    "discriminator_weight_norm": "weight norm of D",
    "generator_weight_norm": "weight norm of G",
    "diversity": "diversity",
    "sample_drift": "sample drift",
}
ADVISED = {  # column of the rows, for which bands are stored -> health metric
    "discriminator/D(x)": "D(x)",
    "discriminator/D(G(z))": "D(G(z))",
    "discriminator/auc": "auc",
    "discriminator/loss": "discriminator_loss",
    "discriminator/grad_norm": "discriminator_grad_norm",
    "generator/score": "generator_loss",
    "generator/grad_norm": "generator_grad_norm",
}
ACTIONS = {
    "observed": "observed; training continued unchanged",
    "stopped": "training was stopped",
    "treated": "treated",
}
POLICIES = {
    "observe": "diagnoses are recorded and nothing is changed",
    "stop": "a diagnosis stops the training",
    "treat": "after a diagnosis, training goes back to its last healthy checkpoint, with a remedy",
}
IN_FULL = 6  # events shown in full; the others are folded

Change = tuple[str, str, str]
"""A setting, and its values before and after."""


@dataclass(frozen=True)
class TreatmentView:
    """The treatment of a diagnosis."""

    remedy: str
    paper: str
    change: list[Change]
    back_to: int | None
    next_attempt: int | None
    carried: list[tuple[str, str]]


@dataclass(frozen=True)
class EventView:
    """A diagnosis as the page shows it."""

    id: str
    step: int
    attempt: int
    seconds: float | None
    disease: str
    title: str
    sentence: str
    evidence: list[tuple[str, str]]
    action: str
    did: str
    picture: str | None  # next to the page
    treatment: TreatmentView | None


@dataclass(frozen=True)
class GivenUp(Curves):
    """The health metrics of an attempt after the step that a treatment went back to."""

    attempt: int


@dataclass(frozen=True)
class HealthView:
    """The health of a family's training."""

    policy: str
    does: str
    every: int | None
    bands: dict[str, list[float]]
    checks: int
    sentence: str
    curves: Curves
    given_up: list[GivenUp]
    events: list[EventView]


def read_events(store: Store, attempt: str, training: TrainingResult | None) -> list[HealthEvent]:
    """Return the diagnoses of a training in chronological order, from their files and its result."""
    names = [name for name in store.list(f"{attempt}/health") if EVENT.fullmatch(name)]
    files = (HealthEvent.read(read_json(store, f"{attempt}/health/{name}")) for name in names)
    at_end = training.health.events if training and training.health else []
    by_moment = {(event.attempt, event.step): event for event in (*at_end, *files) if event}
    return [by_moment[moment] for moment in sorted(by_moment)]


def back_to(events: Sequence[HealthEvent]) -> dict[int, int]:
    """Return the steps that treatments went back to, by the attempt that follows."""
    treatments = [event.treatment for event in events if event.treatment]
    return {
        t.next_attempt: t.back_to for t in treatments if t.next_attempt is not None and t.back_to is not None
    }


def of_family(
    folder: AttemptFolder,
    course: Course,
    events: Sequence[HealthEvent],
    training: TrainingResult | None,
    settings: Mapping[str, Any],
) -> HealthView | None:
    """Return the health of a family for the page; None if it is not monitored.

    Args:
        folder: folder of the training.
        course: rows of the training.
        events: diagnoses of the training.
        training: result of the training, once it is finished.
        settings: the family's settings at the start.
    """
    checks = _checks(course.rows)
    given_up = {number: _checks(rows) for number, rows in course.given_up.items()}
    if not (checks or events or any(given_up.values())):
        return None
    recorded = training.health if training else None
    monitoring = recorded or Monitoring.read(folder.read_json("health/watch.json")) or Monitoring()
    count = len(checks) + sum(map(len, given_up.values()))
    return HealthView(
        monitoring.policy,
        POLICIES.get(monitoring.policy, ""),
        monitoring.every,
        bands(monitoring.bands),
        count,
        sentence(events, count),
        _vitals(checks),
        [GivenUp(**vars(_vitals(rows)), attempt=number) for number, rows in given_up.items() if rows],
        in_words(folder, course, events, settings),
    )


def _checks(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if any(map(is_vital, row))]


def _vitals(rows: Sequence[Row]) -> Curves:
    """Return the curves of health metrics, by their names without the prefix."""
    vitals = curves(rows, wanted=is_vital)
    return replace(vitals, series={name.removeprefix(VITAL): line for name, line in vitals.series.items()})


def bands(advice: Mapping[str, Band]) -> dict[str, list[float]]:
    """Return the bands that the literature advises, by health metric."""
    return {ADVISED[column]: band for column, band in advice.items() if column in ADVISED}


def sentence(events: Sequence[HealthEvent], checks: int) -> str:
    """Return the health of a family in a line."""
    checked = f"{checks:,} check{'s' * (checks != 1)}"
    if not events:
        return f"No diagnosis in {checked}."
    times = Counter(_title(event).lower() for event in events)
    diseases = formatting.listing(
        [f"{disease} ({n} times)" if n > 1 else disease for disease, n in times.items()]
    )
    count = f"{len(events)} diagnos{'e' if len(events) > 1 else 'i'}s in {checked}: {diseases}."
    return f"{count}{_treated(events)}{' Training was stopped.' * (events[-1].action == 'stopped')}"


def _treated(events: Sequence[HealthEvent]) -> str:
    treated = sum(event.action == "treated" for event in events)
    often = {1: "once", 2: "twice"}.get(treated, f"{treated} times")
    return f" Treated {often}." if treated else ""


def in_words(
    folder: AttemptFolder, course: Course, events: Sequence[HealthEvent], settings: Mapping[str, Any]
) -> list[EventView]:
    """Return events in words; a treatment's changes are relative to the settings of earlier ones."""
    views, before = [], dict(settings)
    for event in events:
        name = f"event-{event.attempt}-{event.step:07d}"
        views.append(
            EventView(
                f"{folder.stem}-{name}",
                event.step,
                event.attempt,
                _seconds(course, event.attempt, event.step),
                event.disease,
                _title(event),
                event.sentence,
                evidence(event),
                event.action,
                ACTIONS.get(event.action, event.action),
                folder.copy(f"health/{name}.webp", f"{name}.webp") if event.picture else None,
                _treatment(event.treatment, before) if event.treatment else None,
            )
        )
        before |= event.treatment.change if event.treatment else {}
    return views


def _title(event: HealthEvent) -> str:
    return event.title or event.disease or "Unknown disease"


def evidence(event: HealthEvent) -> list[tuple[str, str]]:
    """Return the evidence of a diagnosis as names and numbers."""
    return [(VITALS.get(k, k.replace("_", " ")), formatting.short(v)) for k, v in event.evidence.items()]


def _treatment(treatment: Treatment, before: Mapping[str, Any]) -> TreatmentView:
    """Return a treatment in words: the remedy, the changed settings, and the fate of the weights."""
    return TreatmentView(
        treatment.remedy or "a change of settings",
        treatment.paper,
        [
            (name, _setting(before[name]) if name in before else formatting.NONE, _setting(value))
            for name, value in treatment.change.items()
            if name not in before or before[name] != value
        ],
        treatment.back_to,
        treatment.next_attempt,
        list(treatment.carried.items()),
    )


def _setting(value: Any) -> str:
    """Return a setting as a configuration file has it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seconds(course: Course, number: int, step: int) -> float | None:
    """Return the seconds of training until a step of an attempt."""
    logged = [*course.rows, *course.given_up.get(number, [])]
    before = [row for row in logged if row.get("attempt", 1) == number and row["step"] <= step]
    return before[-1].get("seconds") if before else None
