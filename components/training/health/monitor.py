"""Health monitoring: what a training's metrics say every so often, and what its policy makes of a diagnosis.

Decisions rest on values reduced over all processes at fixed steps, so the same seed is treated alike on one
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
        settings: of the training: the policy, and how often it checks.
        sides: names of the phases of the discriminator and the generator, by role; without both there is
            nothing to check.
        bands: values that are healthy in the literature, by row key.
    """

    def __init__(self, settings: Train, sides: Mapping[str, str], bands: Mapping[str, tuple[float, float]]):
        self.settings, self.doctor = settings, AnomalyDetector()
        self.set_family(sides, bands)

    def set_family(self, sides: Mapping[str, str], bands: Mapping[str, tuple[float, float]]) -> None:
        """Check a family with these phases and bands from now on, with the same history."""
        self.sides, self.bands = dict(sides), dict(bands)

    @property
    def examines(self) -> bool:
        """Whether there is anything to check."""
        return bool(self.sides)

    @property
    def described(self) -> Monitoring:
        """The policy, how often it checks, and the bands of the settings now in force."""
        bands = {column: list(band) for column, band in self.bands.items()}
        return Monitoring(policy=self.settings.health, every=self.settings.health_every, bands=bands)

    def is_due(self, step: int) -> bool:
        """Whether it checks after `step` steps."""
        return self.examines and step % self.settings.health_every == 0

    def is_due_within(self, step: int, steps: int) -> bool:
        """Whether it checks after `step` steps or after one of the next, `steps` in all."""
        return any(self.is_due(step + later) for later in range(steps))

    def check(
        self,
        step: int,
        means: Mapping[str, float],
        norms: Mapping[str, float],
        diversity: Mapping[str, float],
    ) -> tuple[dict[str, float], Diagnosis | None]:
        """The health metrics after `step` steps, and a diagnosis where one is due.

        Args:
            step: steps so far.
            means: of what the phases logged since the last check, by row key.
            norms: of the weights of both networks, by role.
            diversity: what the probe measured, where there is one.
        """
        vitals = self.levels(means) | {f"{role}_weight_norm": norm for role, norm in norms.items()}
        vitals |= diversity
        return vitals, self.doctor.examine(step, vitals)

    def levels(self, means: Mapping[str, float]) -> dict[str, float]:
        """Those of the logged means that say how the two networks stand."""
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
        return {vital: means[key] for vital, key in keys.items() if key in means}

    @property
    def healthy(self) -> bool:
        """Whether a checkpoint made now is one to go back to."""
        return self.examines and self.doctor.healthy

    def without_remedy(self, disease: str) -> str:
        """What happens without a remedy: a training that computes nothing but NaN cannot be observed."""
        observes = self.settings.health == "observe" and disease != "non_finite"
        return "observed" if observes else "stopped"


def sides_of(phases: Iterable[Phase]) -> dict[str, str]:
    """The phase of each role of an adversarial game, by role; empty where one of them is missing."""
    names = {phase.plays: phase.name for phase in phases}
    return {role: names[role] for role in ROLES} if set(ROLES) <= names.keys() else {}
