"""The plan of a run: a resolved experiment, the version of its data, and the pinned extractor.

The specs of all stages follow from it (graph.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from components.common.errors import InputError
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.extractors import kinds
from components.extractors.kinds import EPOCHS, TRAINED
from components.families import catalogue
from components.records.extractor import ExpectedExtractor, Pin
from components.registry import pins
from components.stages.spec import Spec
from components.store import Store
from components.training.carry_over import compatible_networks
from components.tuning import space
from components.tuning.space import Hyperparameter
from models.data_spec import DataSpec


@dataclass(frozen=True)
class Plan:
    """The inputs of a run, before it starts; `experiment` is resolved."""

    experiment: Experiment
    version: str  # of the data
    card: DatasetCard
    pin: Pin | None = None  # the pinned extractor of this data set, if any

    @classmethod
    def of(cls, experiment: Experiment, version: str, card: DatasetCard, store: Store) -> Plan:
        """Return the plan, with the extractor that is pinned in `store`."""
        return cls(experiment, version, card).with_pin(store)

    def with_pin(self, store: Store) -> Plan:
        """Return the plan with the currently pinned extractor."""
        if self.extractor_kind not in TRAINED:
            return self
        return replace(self, pin=pins.pinned(store, self.card.name, self.extractor_recipe))

    def spec(
        self,
        stage: str,
        settings: Mapping[str, Any],
        digests: Mapping[str, str],
        upstream: Mapping[str, str],
        family: str | None = None,
    ) -> Spec:
        """Return the spec of a stage on this data and device."""
        return Spec(stage, settings, digests, upstream, family, self.version, self.device)

    @property
    def device(self) -> str:
        """The kind of device used for computation."""
        return self.experiment.device

    # Evaluation.

    @property
    def extractor_kind(self) -> str:
        """The kind of extractor, with `auto` resolved."""
        kind = self.experiment.evaluate.extractor
        return ("classifier" if self.card.labels else "rotation") if kind == "auto" else kind

    @property
    def extractor_recipe(self) -> str:
        """The name under which an extractor is pinned; extractors of several recipes coexist."""
        steps = self.experiment.evaluate.extractor_steps
        return f"{self.extractor_kind}-{f'{steps}-steps' if steps else EPOCHS}"

    @property
    def expected_extractor(self) -> ExpectedExtractor:
        """The extractor that jobs accept: the pinned one, or that with the weights that the plan names."""
        if self.extractor_kind in TRAINED:
            return ExpectedExtractor(self.extractor_kind, self.pin.hash if self.pin else None)
        custom = self.experiment.evaluate.custom
        return kinds.expected(self.extractor_kind, custom.model_dump() if custom else None)

    @property
    def evaluate_settings(self) -> Mapping[str, Any]:
        """The section `evaluate`, with the kind of extractor resolved."""
        return self.experiment.evaluate.model_dump() | {"extractor": self.extractor_kind}

    @property
    def encoding_families(self) -> list[str]:
        """The families whose latent space is analysed."""
        if not self.experiment.evaluate.latent_analysis:
            return []
        return [family for family in self.experiment.families if catalogue.encodes(family)]

    # Families.

    def family_settings(self, family: str) -> Mapping[str, Any]:
        """Return a family's settings without those of its training."""
        return {name: value for name, value in self.experiment.families[family].items() if name != "train"}

    def card_for(self, family: str) -> DataSpec:
        """Return the properties of the data that a family depends on."""
        return catalogue.card_for(family, self.family_settings(family), self.card)

    def reads_captions(self, family: str) -> bool:
        """Return whether a family is conditioned on captions."""
        return self.card.captions and bool(self.card_for(family).text)

    def reads_classes(self, family: str) -> bool:
        """Return whether a family is class-conditional."""
        return "label" in catalogue.conditions(family, self.family_settings(family), self.card.card)

    def upstream(self, family: str) -> dict[str, str]:
        """Return the families whose models a family builds on, by the family's name for each model."""
        return catalogue.upstream_of(family, self.experiment.families)

    def keeps_latents(self, family: str) -> bool:
        """Return whether a family's images are encoded once; this excludes random mirroring."""
        return not self.experiment.data.horizontal_flip and catalogue.cached_upstream(family) is not None

    def encoder(self, family: str) -> str:
        """Return the family's name for the model whose encodings are stored."""
        name = catalogue.cached_upstream(family)
        assert name is not None, f"no encodings are stored for {family}"
        return name

    # A sweep.

    @property
    def searched(self) -> list[Hyperparameter]:
        """The hyperparameters that the sweep searches."""
        sweep, family = self.experiment.sweep, self.experiment.swept
        assert sweep is not None
        return list(space.resolve(family, sweep.search, self.experiment.families[family]).values())

    def check_population(self) -> None:
        """Raise InputError if a change of a searched value would keep a trial from continuing another."""
        sweep = self.experiment.sweep
        if sweep is None or sweep.scheduler != "pbt":
            return
        name = self.experiment.swept
        card, blocks = self.card_for(name), {f: self.family_settings(f) for f in self.experiment.families}
        family = catalogue.build(name, blocks[name], card, catalogue.untrained(name, card, blocks))
        for h in self.searched:
            for value in space.ends(h.space):
                try:
                    fits = compatible_networks(family.state_dict(), family.changed({h.name: value}))
                except ValueError as error:
                    raise InputError(f"search.{h.name}={value!r} cannot be changed alone: {error}") from None
                if lost := [network for network, fit in fits.items() if not fit]:
                    raise InputError(
                        f"search.{h.name}: with {value!r} the {lost[0]} would have another shape, and trials "
                        "could not continue from one another; search it with another scheduler than pbt"
                    )
