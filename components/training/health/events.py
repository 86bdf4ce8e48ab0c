"""Events: diagnoses, as they are recorded."""

from __future__ import annotations

from typing import Any

from components.common.errors import Diverged
from components.training.health.detector import TITLES, Diagnosis


def event(diagnosis: Diagnosis, attempt: int, action: str) -> dict[str, Any]:
    """A diagnosis as it is stored, shown and told: plain values."""
    # A generator of NaN has nothing to show.
    picture = None if diagnosis.disease == "non_finite" else f"{event_name(attempt, diagnosis.step)}.webp"
    return {
        "step": diagnosis.step,
        "attempt": attempt,
        "disease": diagnosis.disease,
        "title": TITLES[diagnosis.disease],
        "sentence": diagnosis.sentence,
        "evidence": dict(diagnosis.evidence),
        "action": action,
        "picture": picture,
        "treatment": None,
    }


def event_name(attempt: int, step: int) -> str:
    """Where an event lies in the attempt's folder, without its ending."""
    return f"health/event-{attempt}-{step:07d}"


def stopped(found: dict[str, Any], policy: str, treatments: list[dict[str, Any]]) -> Diverged:
    """Why a training was stopped, and what had been tried, in one sentence."""
    tried = ", ".join(t["remedy"] for t in treatments)
    after = f" after {len(treatments)} treatment{'s' * (len(treatments) > 1)} ({tried})" if tried else ""
    return Diverged(
        f"stopped by train.health: {policy} at step {found['step']}{after}: {found['title'].lower()}: "
        f"{found['sentence']} The last healthy checkpoint is kept."
    )
