"""Check the health metrics of a training at fixed steps.

Decisions depend on values reduced over all processes at fixed steps, so a seed gets the same diagnoses on one
worker or many, interrupted or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from components.config.train import Train
from components.records.health import Monitoring
from components.training.health.detector import AnomalyDetector, Diagnosis
from models.family import DISCRIMINATOR, GENERATOR, Phase

ROLES = (DISCRIMINATOR, GENERATOR)


class HealthMonitor:
    """Reads the health metrics of a training, check by check.

    Args:
        settings: training settings with the policy and the interval of checks.
        sides: names of the phases of discriminator and generator, by role; without both, nothing is checked.
        bands: healthy ranges from the literature, by row key.
    """

    def __init__(self, settings: Train, sides: Mapping[str, str], bands: Mapping[str, tuple[float, float]]):
        self.settings, self.detector = settings, AnomalyDetector()
        self.set_family(sides, bands)

    def set_family(self, sides: Mapping[str, str], bands: Mapping[str, tuple[float, float]]) -> None:
        """Set the phases and bands of the family, keeping the history."""
        self.sides, self.bands = dict(sides), dict(bands)

    @property
    def examines(self) -> bool:
        """Whether the family is checked: it has a discriminator and a generator phase."""
        return bool(self.sides)

    @property
    def described(self) -> Monitoring:
        """The policy, the interval of checks, and the bands of the current family."""
        bands = {column: list(band) for column, band in self.bands.items()}
        return Monitoring(policy=self.settings.health, every=self.settings.health_every, bands=bands)

    def is_due(self, step: int) -> bool:
        """Whether a check is due after `step` steps."""
        return self.examines and step % self.settings.health_every == 0

    def is_due_within(self, step: int, steps: int) -> bool:
        """Whether a check is due in the `steps` steps from `step` on."""
        return any(self.is_due(step + later) for later in range(steps))

    def check(
        self,
        step: int,
        means: Mapping[str, float],
        norms: Mapping[str, float],
        diversity: Mapping[str, float],
    ) -> tuple[dict[str, float], Diagnosis | None]:
        """Return the health metrics after `step` steps and the diagnosis or None.

        Args:
            step: steps so far.
            means: means of logged values since the last check, by row key.
            norms: weight norms of both networks, by role.
            diversity: the probe's metrics; empty without a probe.
        """
        metrics = self.levels(means) | {f"{role}_weight_norm": norm for role, norm in norms.items()}
        metrics |= diversity
        return metrics, self.detector.examine(step, metrics)

    def levels(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return the logged means that are health metrics, by metric name."""
        d, g = (self.sides[role] for role in ROLES)
        keys = {
            "D(x)": f"{d}/D(x)",
            "D(G(z))": f"{d}/D(G(z))",
            "auc": f"{d}/auc",
            "discriminator_loss": f"{d}/loss",
            "generator_loss": f"{g}/score",
            "discriminator_grad_norm": f"{d}/grad_norm",
            "generator_grad_norm": f"{g}/grad_norm",
        }
        return {metric: means[key] for metric, key in keys.items() if key in means}

    @property
    def healthy(self) -> bool:
        """Whether a checkpoint made now is healthy, so that a treatment may go back to it."""
        return self.examines and self.detector.healthy

    def without_remedy(self, disease: str) -> str:
        """Return the action without a remedy: "observed" or "stopped"; non-finite values always stop."""
        observes = self.settings.health == "observe" and disease != "non_finite"
        return "observed" if observes else "stopped"


def sides_of(phases: Iterable[Phase]) -> dict[str, str]:
    """Return the phase names of discriminator and generator, by role; empty if one of them is missing."""
    names = {phase.plays: phase.name for phase in phases}
    return {role: names[role] for role in ROLES} if set(ROLES) <= names.keys() else {}
