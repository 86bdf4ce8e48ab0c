"""The doctor: what goes wrong in adversarial training, told from sustained evidence and never from one band.

A probe draws the same fixed-seed samples of a generator again and again and measures them in feature space. A
doctor reads these and the other vitals of a training (means since its last look):

    D(x), D(G(z))                    D's mean output on images and on samples
    auc                              share of pairs in which D ranks the image above the sample; 0.5 is chance
    discriminator_loss, _grad_norm, _weight_norm   of D: its loss, the norms of its gradient and its weights
    generator_loss, _grad_norm, _weight_norm       the same of G
    diversity, sample_drift          what the probe measured

A rule is a function of the history of looks that gives its evidence where it sees a disease, and is silent
where its vitals are absent. The doctor tells a disease when the evidence has lasted, once, and again only
after it was gone for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.training.health.rules import (
    GONE,
    RULES,
    WARM_UP,
    Evidence,
    History,
    Rule,
    Vitals,
    non_finite,
)

TITLES = {
    "non_finite": "Numbers no longer finite",
    "divergence": "Divergence",
    "mode_collapse": "Mode collapse",
    "vanishing_gradients": "Vanishing gradients: the discriminator is too strong",
    "generator_too_strong": "The generator is too strong",
    "oscillation": "Oscillation",
}


@dataclass(frozen=True)
class Diagnosis:
    """A disease, and what it was told from."""

    disease: str
    step: int
    sentence: str
    evidence: Evidence


class AnomalyDetector:
    """Reads the vitals of a training, look by look."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a treatment."""
        self.history = History()
        self.lasting = {rule.sees.__name__: 0 for rule in RULES}  # looks in a row with evidence
        self.told: dict[str, int] = {}  # disease -> looks since there was evidence of it

    def examine(self, step: int, vitals: Vitals) -> Diagnosis | None:
        """Another look: a diagnosis where evidence has lasted that was not told; the gravest of several."""
        self.history.add(vitals)
        seen = [(rule, evidence) for rule in RULES if (evidence := self._evidence(rule))]
        present = {rule.disease for rule, _ in seen}
        self.told = {
            d: 0 if d in present else n + 1 for d, n in self.told.items() if d in present or n < GONE
        }
        for rule, evidence in seen:
            if self.lasting[rule.sees.__name__] >= rule.lasts and rule.disease not in self.told:
                self.told[rule.disease] = 0
                return Diagnosis(rule.disease, step, worded(rule, evidence), evidence)
        return None

    @property
    def healthy(self) -> bool:
        """Whether no rule has evidence at this look, lasting or not, and the warm-up is over."""
        return self.history.count > WARM_UP and not any(self.lasting.values())

    def state(self) -> Mapping[str, Any]:
        """What the next look depends on, in plain values."""
        return {"history": vars(self.history).copy(), "lasting": dict(self.lasting), "told": dict(self.told)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.history = History(**state["history"])
        self.lasting, self.told = dict(state["lasting"]), dict(state["told"])

    def _evidence(self, rule: Rule) -> Evidence | None:
        """What the rule sees at this look, which is counted; any number may stop being finite at once."""
        speaks = self.history.count > WARM_UP or rule.sees is non_finite
        evidence = rule.sees(self.history) if speaks else None
        name = rule.sees.__name__
        self.lasting[name] = self.lasting[name] + 1 if evidence else 0
        return evidence


def worded(rule: Rule, evidence: Evidence) -> str:
    """The rule's sentence with its evidence."""
    every = ", ".join(f"{vital} {value:.3g}" for vital, value in evidence.items())
    return rule.sentence.format(all=every, **evidence)
