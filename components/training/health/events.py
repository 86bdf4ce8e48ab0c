"""Record diagnoses as events."""

from __future__ import annotations

from collections.abc import Sequence

from components.common.errors import Diverged
from components.records.health import HealthEvent, Treatment
from components.training.health.detector import TITLES, Diagnosis


def event(diagnosis: Diagnosis, attempt: int, action: str) -> HealthEvent:
    """Return the record of a diagnosis."""
    # A generator with NaN has no picture.
    picture = None if diagnosis.disease == "non_finite" else f"{event_name(attempt, diagnosis.step)}.webp"
    return HealthEvent(
        step=diagnosis.step,
        attempt=attempt,
        disease=diagnosis.disease,
        title=TITLES[diagnosis.disease],
        sentence=diagnosis.sentence,
        evidence=dict(diagnosis.evidence),
        action=action,
        picture=picture,
    )


def event_name(attempt: int, step: int) -> str:
    """Return the path of an event in the attempt's folder, without its suffix."""
    return f"health/event-{attempt}-{step:07d}"


def stopped(event: HealthEvent, policy: str, treatments: Sequence[Treatment]) -> Diverged:
    """Return the error of a stopped training, with the diagnosis and the treatments tried before."""
    tried = ", ".join(treatment.remedy for treatment in treatments)
    after = f" after {len(treatments)} treatment{'s' * (len(treatments) > 1)} ({tried})" if tried else ""
    return Diverged(
        f"stopped by train.health: {policy} at step {event.step}{after}: {event.title.lower()}: "
        f"{event.sentence} The last healthy checkpoint is kept."
    )
