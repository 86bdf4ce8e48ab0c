"""The doctor at work: vitals of a training every so often, and what its policy makes of a diagnosis.

Decisions rest on values reduced over all processes at fixed steps, so the same seed is treated alike on one
worker or many, interrupted or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from components.training.health.detector import Diagnosis, Doctor
from components.training.health.probe import Probe
from models.family import DISCRIMINATOR, GENERATOR, Family, Remedy

if TYPE_CHECKING:
    from components.training.trainer import Trainer


SIDES = {"d": DISCRIMINATOR, "g": GENERATOR}


class Watch:
    """A doctor and what it looks at.

    Args:
        probe: draws a fixed-seed sample and measures its diversity; on the first process only.
    """

    def __init__(self, trainer: Trainer, probe: Probe | None = None):
        self.trainer, self.probe, self.doctor = trainer, probe, Doctor()
        self.examines = examined(trainer.family)

    @property
    def described(self) -> dict[str, Any]:
        """How it looks, in plain values: bands are those of the settings now in force."""
        settings = self.trainer.settings
        return {
            "policy": settings.health,
            "every": settings.health_every,
            "bands": dict(self.trainer.family.bands),
        }

    def is_due(self, step: int) -> bool:
        """Whether it looks after `step` steps."""
        return self.examines and step % self.trainer.settings.health_every == 0

    def vitals(self, means: Mapping[str, float]) -> dict[str, float]:
        """What the doctor reads: levels since the last look, norms, and the spread of fixed-seed samples."""
        trainer = self.trainer
        known = {
            "D(x)": f"{DISCRIMINATOR}/D(x)",
            "D(G(z))": f"{DISCRIMINATOR}/D(G(z))",
            "auc": f"{DISCRIMINATOR}/auc",
            "loss_d": f"{DISCRIMINATOR}/loss",
            "loss_g": f"{GENERATOR}/score",
            **{f"grad_{side}": f"{phase}/grad_norm" for side, phase in SIDES.items()},
        }
        found = {vital: means[key] for vital, key in known.items() if key in means}
        for side, name in SIDES.items():
            phase = next(p for p in trainer.family.phases if p.name == name)
            norms = torch._foreach_norm([p.detach() for p in phase.parameters])
            found[f"weights_{side}"] = float(torch.stack(norms).norm())
        spread = self.probe(trainer.family.generator) if self.probe else {}
        return found | trainer.group.agree(spread)

    def look(self) -> tuple[dict[str, float], Diagnosis | None]:
        """The vitals since the last look, and a diagnosis where one is due."""
        vitals = self.vitals(self.trainer.looked.take(self.trainer.group))
        return vitals, self.doctor.examine(self.trainer.control.step, vitals)

    @property
    def healthy(self) -> bool:
        """Whether a checkpoint made now is one to go back to."""
        return self.examines and self.doctor.healthy

    def remedy(self, disease: str) -> Remedy | None:
        """The next thing to do about it, first what was not tried, where the policy allows any more."""
        control, settings = self.trainer.control, self.trainer.settings
        if not settings.treats or len(control.treatments) >= settings.treatments:
            return None
        tried = {treatment["remedy"] for treatment in control.treatments}
        offered = self.trainer.family.remedies(disease)
        return next((r for r in offered if r.name not in tried), next(iter(offered), None))

    def otherwise(self, disease: str) -> str:
        """What happens without a remedy: a training that computes nothing but NaN cannot be observed."""
        observes = self.trainer.settings.health == "observe" and disease != "non_finite"
        return "observed" if observes else "stopped"

    def state(self) -> dict[str, Any]:
        """What later looks depend on."""
        seen = self.probe.state() if self.probe else {}
        return {"doctor": self.doctor.state(), "probe": seen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.doctor.load_state(state["doctor"])
        if self.probe and state["probe"]:
            self.probe.load_state(state["probe"])


def examined(family: Family) -> bool:
    """Whether a doctor has anything to look at: a discriminator's phase and a generator's."""
    return {DISCRIMINATOR, GENERATOR} <= {phase.name for phase in family.phases}
