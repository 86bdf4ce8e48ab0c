"""Detect failures of adversarial training from sustained evidence.

A detector reads the health metrics of a training at each check; those of the losses are means since the last
check, and those of the samples come from a probe that draws the same fixed-seed samples at each check:

    D(x), D(G(z))                    D's mean output on images and on samples
    auc                              share of pairs in which D ranks the image above the sample; 0.5 is chance
    discriminator_loss, _grad_norm, _weight_norm   of D: its loss, the norms of its gradient and its weights
    generator_loss, _grad_norm, _weight_norm       the same of G
    diversity, sample_drift          of the fixed-seed samples

A rule is a function of the history of checks that returns the evidence of a disease, or None without evidence
or without its metrics. The detector reports a disease once the evidence has lasted, and reports it again only
after a time without evidence.
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
    """A disease with its evidence."""

    disease: str
    step: int
    sentence: str
    evidence: Evidence


class AnomalyDetector:
    """Reads the health metrics of a training, check by check."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the history, as after a treatment."""
        self.history = History()
        self.lasting = {rule.sees.__name__: 0 for rule in RULES}  # checks in a row with evidence
        self.reported: dict[str, int] = {}  # disease -> checks since its last evidence

    def examine(self, step: int, metrics: Vitals) -> Diagnosis | None:
        """Add a check; return the gravest unreported disease whose evidence has lasted, or None."""
        self.history.add(metrics)
        matches = [(rule, evidence) for rule in RULES if (evidence := self._evidence(rule))]
        present = {rule.disease for rule, _ in matches}
        self.reported = {
            d: 0 if d in present else n + 1 for d, n in self.reported.items() if d in present or n < GONE
        }
        for rule, evidence in matches:
            if self.lasting[rule.sees.__name__] >= rule.lasts and rule.disease not in self.reported:
                self.reported[rule.disease] = 0
                return Diagnosis(rule.disease, step, worded(rule, evidence), evidence)
        return None

    @property
    def healthy(self) -> bool:
        """Whether the warm-up is over and no rule has evidence at the last check, lasting or not."""
        return self.history.count > WARM_UP and not any(self.lasting.values())

    def state(self) -> Mapping[str, Any]:
        """Return the state on which the next check depends, in plain values."""
        return {
            "history": vars(self.history).copy(),
            "lasting": dict(self.lasting),
            "told": dict(self.reported),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `state`."""
        self.history = History(**state["history"])
        self.lasting, self.reported = dict(state["lasting"]), dict(state["told"])

    def _evidence(self, rule: Rule) -> Evidence | None:
        """Return the rule's evidence and count it; during the warm-up, only `non_finite` is applied."""
        applies = self.history.count > WARM_UP or rule.sees is non_finite
        evidence = rule.sees(self.history) if applies else None
        name = rule.sees.__name__
        self.lasting[name] = self.lasting[name] + 1 if evidence else 0
        return evidence


def worded(rule: Rule, evidence: Evidence) -> str:
    """Return the rule's sentence with its evidence filled in."""
    values = ", ".join(f"{metric} {value:.3g}" for metric, value in evidence.items())
    return rule.sentence.format(all=values, **evidence)
