"""What a run consists of: an experiment and a data version give every stage its settings, hence its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.config import Experiment
from components.data.card import DataCard
from components.stages import Spec, claimed, code
from components.storage import Store

PER_FAMILY = ("train", "evaluate", "export")
STAGES = ("prepare", "reference", *PER_FAMILY, "compare", "report", "publish")


@dataclass(frozen=True)
class Plan:
    """The stages of one run whose keys are known before it starts; `experiment` is resolved."""

    experiment: Experiment
    version: str  # of the data
    card: DataCard

    @property
    def device(self) -> str:
        """The kind of device that is computed on."""
        return self.experiment.device

    @property
    def prepare(self) -> Spec:
        """The prepared data, in the store."""
        return Spec("prepare", {"name": self.experiment.data.name}, {}, data=self.version)

    @property
    def reference(self) -> Spec:
        """The extractor and the real images' features."""
        settings = self.extractor()
        del settings["inception_path"]  # wherever it lies, its contents are known by their hash
        digests = code("components.jobs:reference")
        return self._spec("reference", settings, digests, {"prepare": self.prepare.key})

    def extractor(self) -> dict[str, Any]:
        """How features are taken, with nothing left to choose."""
        settings = self.experiment.evaluate.model_dump()
        if settings["extractor"] == "auto":
            settings["extractor"] = "classifier" if self.card.labels else "rotation"
        return settings

    def train(self, family: str) -> Spec:
        """A family's training."""
        block = dict(self.experiment.families[family])
        settings = self.experiment.training(family)
        block["train"] = settings.semantic()
        block["flips"] = self.experiment.data.flips
        digests = code("components.jobs:fit", module_of(family))
        return self._spec("train", block, digests, {"prepare": self.prepare.key}, family)

    def evaluate(self, family: str) -> Spec:
        """A family's numbers."""
        evaluate = self.experiment.evaluate
        settings = {"samples": evaluate.samples, "seed": evaluate.seed, "threads": evaluate.threads}
        upstream = {"train": self.train(family).key, "reference": self.reference.key}
        digests = code("components.work:evaluate", module_of(family))
        return self._spec("evaluate", settings, digests, upstream, family)

    def export(self, family: str) -> Spec:
        """A family's model, as others get it."""
        upstream = {"train": self.train(family).key, "evaluate": self.evaluate(family).key}
        return self._spec("export", {}, code("components.work:export"), upstream, family)

    def compare(self, evaluated: Mapping[str, str]) -> Spec:
        """The table of the families that have numbers: family -> key."""
        return self._spec(
            "compare", {"families": list(evaluated)}, code("components.work:compare"), evaluated
        )

    def report(self, compare: str, failed: Mapping[str, str]) -> Spec:
        """The page of a run."""
        digests = code("components.work:report")
        return self._spec("report", {"failed": dict(failed)}, digests, {"compare": compare})

    def publish(self, report: str, exported: Mapping[str, str]) -> Spec:
        """What is given out."""
        settings = {"url": self.experiment.publish.url}
        return self._spec(
            "publish", settings, code("components.work:publish"), {"report": report, **exported}
        )

    def known(self) -> list[Spec]:
        """Every stage, if all goes well, in the order of the pipeline."""
        families = list(self.experiment.families)
        compare = self.compare({f: self.evaluate(f).key for f in families})
        report = self.report(compare.key, {})
        return [
            self.prepare,
            self.reference,
            *(getattr(self, stage)(family) for family in families for stage in PER_FAMILY),
            compare,
            report,
            self.publish(report.key, {f: self.export(f).key for f in families}),
        ]

    def _spec(
        self,
        stage: str,
        settings: Mapping[str, Any],
        digests: Mapping[str, str],
        upstream: Mapping[str, str],
        family: str | None = None,
    ) -> Spec:
        return Spec(stage, settings, digests, upstream, family, self.version, self.device)


def module_of(family: str) -> str:
    """The module a family is written in."""
    from models import FAMILIES

    return FAMILIES[family].__module__


def check(plan: Plan, store: Store) -> None:
    """Build the networks to be trained, so that settings which do not fit the data are refused at once."""
    from components.jobs import build

    for family, block in plan.experiment.families.items():
        if not claimed(store, plan.train(family)):
            build(family, {k: v for k, v in block.items() if k != "train"}, plan.card.card)
