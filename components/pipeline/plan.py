"""What a run consists of: an experiment and a data version give every stage its settings, hence its key."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError
from components.config.experiment import Experiment
from components.config.train import Train
from components.data.card import DataCard
from components.families.catalogue import module_of
from components.registry import pins
from components.registry.pins import Pin
from components.stages.cache import claimed
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store

if TYPE_CHECKING:
    from components.tuning.space import Hyperparameter
    from models.family import Card


COMMON = ("prepare", "extractor", "reference")

PER_FAMILY = ("train", "evaluate", "export")

LAST = ("compare", "report", "publish")

STAGES = (*COMMON, "captions", "latents", *PER_FAMILY, "detectors", "study", "uses", "sweep", "duel", *LAST)

TRAINED = ("classifier", "rotation")  # extractors made from the data, and therefore pinned


@dataclass(frozen=True)
class Plan:
    """The stages of one run whose keys are known before it starts; `experiment` is resolved."""

    experiment: Experiment
    version: str  # of the data
    card: DataCard
    pin: Pin | None = None  # the extractor that judges this data set, where one is pinned

    @classmethod
    def of(cls, experiment: Experiment, version: str, card: DataCard, store: Store) -> Plan:
        """The plan, with the extractor that is pinned in `store`."""
        plan = cls(experiment, version, card)
        return plan.with_pin(store)

    def with_pin(self, store: Store) -> Plan:
        """The same with what is pinned now."""
        if self.extractor_kind not in TRAINED:
            return self
        return replace(self, pin=pins.pinned(store, self.card.name, self.extractor_recipe))

    @property
    def device(self) -> str:
        """The kind of device that is computed on."""
        return self.experiment.device

    @property
    def prepare(self) -> Spec:
        """The prepared data, in the store."""
        return Spec("prepare", {"name": self.experiment.data.name}, {}, data=self.version)

    @property
    def extractor_kind(self) -> str:
        """The kind of extractor, with nothing left to choose."""
        kind = self.experiment.evaluate.extractor
        return ("classifier" if self.card.labels else "rotation") if kind == "auto" else kind

    @property
    def extractor_recipe(self) -> str:
        """What an extractor is pinned as: another recipe makes another one, beside it."""
        return f"{self.extractor_kind}-{self.experiment.evaluate.extractor_epochs}"

    @property
    def evaluate_settings(self) -> dict[str, Any]:
        """The section `evaluate`, with nothing left to choose."""
        return self.experiment.evaluate.model_dump() | {"extractor": self.extractor_kind}

    @property
    def extractor(self) -> Spec:
        """What sees images: the pinned one, whatever data and code are now, or one to be made."""
        evaluate, kind = self.experiment.evaluate, self.extractor_kind
        if kind in TRAINED:
            settings: dict[str, Any] = {"kind": kind, "epochs": evaluate.extractor_epochs}
            digests = code("components.extractors.small:train_extractor")
            spec = self._spec("extractor", settings, digests, {"prepare": self.prepare.key})
            return replace(spec, pinned=self.pin["key"] if self.pin else None)
        # Made elsewhere: it is its weights and how images are prepared for it, whatever our code and data.
        from components.extractors.make import identity

        own = evaluate.custom.model_dump() if evaluate.custom else None
        return Spec("extractor", {"kind": kind, **identity(kind, own)}, {}, device=self.device)

    @property
    def reference(self) -> Spec:
        """The real images' features, and the floors."""
        evaluate = self.experiment.evaluate
        settings = {"samples": evaluate.samples, "threads": evaluate.threads}
        upstream = {"prepare": self.prepare.key, "extractor": self.extractor.key}
        digests = code("components.evaluation.jobs:look_at_split", "components.evaluation.jobs:reference")
        return self._spec("reference", settings, digests, upstream)

    def upstream(self, family: str) -> dict[str, str]:
        """The models a family builds on: what it calls each -> its family, which is in the experiment."""
        from components.families.catalogue import upstream_of

        return upstream_of(family, self.experiment.families)

    def keeps_latents(self, family: str) -> bool:
        """Whether images are encoded once for a family."""
        return "latents" in stages_of(family, self.experiment.data.flips)

    def encoder(self, family: str) -> str:
        """What a family calls the model whose encodings are kept for it."""
        from components.families.catalogue import caches

        called = caches(family)
        assert called is not None, f"no encodings are kept for {family}"
        return called

    def latents(self, family: str) -> Spec:
        """The images as a model that the family builds on encodes them."""
        below = self.upstream(family)[self.encoder(family)]
        threads = self.experiment.training(family).threads
        upstream = {"prepare": self.prepare.key, f"train/{below}": self.train(below).key}
        digests = code("components.training.latents:encode")
        return self._spec("latents", {"threads": threads}, digests, upstream, family)

    @property
    def captions(self) -> Spec | None:
        """The captions as an encoder sees them; None where no family is told them."""
        if not any(map(self.told_captions, self.experiment.families)):
            return None
        from components.data.text.encoder import identity

        digests = code("components.data.text.encode_captions:encode")
        return self._spec("captions", identity(), digests, {"prepare": self.prepare.key})

    def told_captions(self, family: str) -> bool:
        """Whether a family is told captions."""
        return self.card.captions and bool(self.card_for(family).text)

    def card_for(self, family: str) -> Card:
        """What a family must know of the data."""
        from components.families.catalogue import card_for

        return card_for(family, self.own(family), self.card)

    def own(self, family: str) -> dict[str, Any]:
        """A family's own settings."""
        return {name: value for name, value in self.experiment.families[family].items() if name != "train"}

    def train(self, family: str) -> Spec:
        """A family's training."""
        block = dict(self.experiment.families[family])
        settings = self.experiment.training(family)
        block["train"] = settings.semantic()
        block["flips"] = self.experiment.data.flips
        digests = code("components.training.job:fit", module_of(family))
        upstream = {"prepare": self.prepare.key}
        if settings.judges:
            upstream |= {"extractor": self.extractor.key, "reference": self.reference.key}
        if self.told_captions(family):
            assert self.captions is not None
            upstream["captions"] = self.captions.key
        upstream |= {f"train/{below}": self.train(below).key for below in self.upstream(family).values()}
        if self.keeps_latents(family):
            upstream["latents"] = self.latents(family).key
        return self._spec("train", block, digests, upstream, family)

    def evaluate(self, family: str) -> Spec:
        """A family's numbers."""
        evaluate = self.experiment.evaluate
        settings = {"samples": evaluate.samples, "seed": evaluate.seed, "threads": evaluate.threads}
        settings["lpips"] = lpips_file(evaluate.lpips_path) is not None
        upstream = {"train": self.train(family).key, "reference": self.reference.key}
        jobs = (f"components.judging:{job}" for job in ("draw", "judge"))
        digests = code("components.pipeline.work:evaluate", *jobs, module_of(family))
        return self._spec("evaluate", settings, digests, upstream, family)

    def studies(self, family: str) -> list[dict[str, Any]]:
        """The comparisons of sampling settings to be made of a family, in full."""
        if not self.experiment.evaluate.study_samples:
            return []
        from models.registry import FAMILIES

        own = {name: value for name, value in self.experiment.families[family].items() if name != "train"}
        found = FAMILIES[family].studies(FAMILIES[family].Config(**own), self.card.card)
        return [
            {"name": s.name, "title": s.title, "variants": {name: dict(v) for name, v in s.variants.items()}}
            for s in found
        ]

    @property
    def studied(self) -> list[str]:
        """The families that have studies."""
        return [family for family in self.experiment.families if self.studies(family)]

    def study(self, family: str) -> Spec:
        """What other settings of sampling do to a family's images."""
        evaluate = self.experiment.evaluate
        settings: dict[str, Any] = {"samples": evaluate.study_samples, "studies": self.studies(family)}
        settings |= {"seed": evaluate.seed, "threads": evaluate.threads}
        upstream = {"train": self.train(family).key, "reference": self.reference.key}
        jobs = (f"components.studies:{job}" for job in ("floors", "vary", "show"))
        digests = code("components.pipeline.work:study", *jobs, module_of(family))
        return self._spec("study", settings, digests, upstream, family)

    @property
    def used(self) -> list[str]:
        """The families whose codes are examined."""
        from models.registry import FAMILIES

        return [f for f in self.experiment.families if FAMILIES[f].codes and self.experiment.evaluate.uses]

    @property
    def held_out(self) -> list[str]:
        """The classes that are left out in turn, by name."""
        asked = self.experiment.evaluate.held_out
        return list(self.card.labels or []) if asked == "all" else list(dict.fromkeys(asked))

    @property
    def detects(self) -> list[str]:
        """The families of which a model is trained without each of them.

        What is told the class of an image cannot be asked whether it knows it.
        """
        return [f for f in self.used if self.held_out and not self.told_classes(f)]

    def told_classes(self, family: str) -> bool:
        """Whether a family is told the classes of images."""
        from components.families.catalogue import conditions

        return "label" in conditions(family, self.own(family), self.card.card)

    def check_held_out(self) -> None:
        """Raises InputError where the data has no such class, or no family can find one strange."""
        if not self.experiment.evaluate.held_out:
            return
        known, name, families = self.card.labels or [], self.card.name, ", ".join(self.experiment.families)
        if not self.used:
            raise InputError(f"evaluate.held_out is for families that encode images; none of {families} does")
        if len(known) < 2:
            raise InputError(f"evaluate.held_out leaves out a class, and data set {name} has {len(known)}")
        if missing := [each for each in self.held_out if each not in known]:
            told = ", ".join(known[:20])
            raise InputError(f"evaluate.held_out: data set {name} has no class {missing[0]!r}; known: {told}")
        if not self.detects:
            told = ", ".join(self.used)
            raise InputError(
                f"evaluate.held_out is for families that are not told the class of an image; all are: {told}"
            )

    def check_population(self) -> None:
        """Raises InputError where a population's trials could not go on with what it searches changed."""
        from components.families.catalogue import build, untrained
        from components.training.carry_over import carried
        from components.tuning.space import ends

        sweep = self.experiment.sweep
        if sweep is None or sweep.scheduler != "pbt":
            return
        name = self.experiment.swept
        card, blocks = self.card_for(name), {f: self.own(f) for f in self.experiment.families}
        family = build(name, blocks[name], card, untrained(name, card, blocks))
        for h in self.searched:
            for value in ends(h.space):
                try:
                    fits = carried(family.state_dict(), family.changed({h.name: value}))
                except ValueError as error:
                    raise InputError(f"search.{h.name}={value!r} cannot be changed alone: {error}") from None
                if lost := [network for network, fit in fits.items() if not fit]:
                    raise InputError(
                        f"search.{h.name}: with {value!r} the {lost[0]} would have another shape, and trials "
                        "could not go on from one another; search it with another scheduler than pbt"
                    )

    def detectors(self, family: str) -> Spec:
        """Models of a family that have not seen a class, for each class that is held out."""
        train = self.train(family)
        settings = {**train.settings, "train": self.detecting(family).semantic(), "held_out": self.held_out}
        digests = code("components.training.job:fit", module_of(family))
        return self._spec("detectors", settings, digests, {"prepare": self.prepare.key}, family)

    def detecting(self, family: str) -> Train:
        """How they are trained: as the family is, with nothing drawn or judged on the way."""
        alone = {"judge_samples": 0, "ema_lengths": (), "sample_grids": 1, "workers": 1}
        return Train(**self.experiment.training(family).model_dump() | alone)

    def uses(self, family: str) -> Spec:
        """What a family's codes are good for."""
        evaluate = self.experiment.evaluate
        settings = {"seed": evaluate.seed, "threads": evaluate.threads}
        upstream = {"train": self.train(family).key, "reference": self.reference.key}
        if family in self.detects:
            upstream["detectors"] = self.detectors(family).key
        digests = code("components.pipeline.work:uses", "components.analysis.jobs:examine", module_of(family))
        return self._spec("uses", settings, digests, upstream, family)

    def trial(self, family: str, sampling: bool) -> Spec:
        """What a trial depends on besides its settings; one that only samples builds on the training."""
        train = self.train(family)
        if not sampling:
            upstream = {"extractor": self.extractor.key, "reference": self.reference.key} | dict(
                train.upstream
            )
            digests = dict(train.code) | code("components.tuning.trial:trained")
            return self._spec("trial", {}, digests, upstream, family)
        upstream = {"train": train.key, "reference": self.reference.key}
        digests = code("components.tuning.trial:drawn", module_of(family))
        return self._spec("trial", {}, digests, upstream, family)

    @property
    def searched(self) -> list[Hyperparameter]:
        """What the sweep searches."""
        from components.tuning import space

        sweep, family = self.experiment.sweep, self.experiment.swept
        assert sweep is not None
        return list(space.resolve(family, sweep.search, self.experiment.families[family]).values())

    def sweep(self, family: str, sampling: bool) -> Spec:
        """A search over a family's hyperparameters."""
        sweep = self.experiment.sweep
        assert sweep is not None
        trial = self.trial(family, sampling)
        asked = sweep.model_dump(mode="json", exclude={"side_by_side", "gpus", "fresh_seeds"})
        settings: dict[str, Any] = {"sweep": asked, "searched": [h.described() for h in self.searched]}
        settings |= {"base": dict(self.train(family).settings)}
        digests = code("components.sweeping", "components.trials", "components.tuning")
        return self._spec("sweep", settings, dict(trial.code) | digests, trial.upstream, family)

    def duel(self, family: str, sweep: str, entries: Mapping[str, str]) -> Spec:
        """The winner of a sweep against the experiment's own settings; `entries` holds keys by name."""
        digests = code("components.pipeline.work:duel")
        return self._spec("duel", {"entries": list(entries)}, digests, {"sweep": sweep, **entries}, family)

    def drawing_duel(self, family: str, sweep: str, values: Mapping[str, Any], seeds: Sequence[int]) -> Spec:
        """The same of settings of sampling, with one model."""
        evaluate = self.experiment.evaluate
        settings = {"values": dict(values), "seeds": list(seeds), "samples": evaluate.samples}
        settings |= {"threads": evaluate.threads}
        upstream = {"sweep": sweep, "train": self.train(family).key, "reference": self.reference.key}
        jobs = (f"components.studies:{job}" for job in ("floors", "vary"))
        digests = code("components.pipeline.work:drawing_duel", *jobs, module_of(family))
        return self._spec("duel", settings, digests, upstream, family)

    def export(self, family: str) -> Spec:
        """A family's model, as others get it."""
        upstream = {"train": self.train(family).key, "evaluate": self.evaluate(family).key}
        return self._spec("export", {}, code("components.pipeline.work:export"), upstream, family)

    def compare(self, evaluated: Mapping[str, str]) -> Spec:
        """The table of the families that have numbers: family -> key."""
        return self._spec(
            "compare", {"families": list(evaluated)}, code("components.pipeline.work:compare"), evaluated
        )

    def report(self, compare: str, failed: Mapping[str, str], examined: Mapping[str, str]) -> Spec:
        """The page of a run; `examined` holds keys by stage and family, such as study/NAME."""
        digests = code("components.pipeline.work:report")
        upstream = {"compare": compare, **examined}
        return self._spec("report", {"failed": dict(failed)}, digests, upstream)

    def publish(self, report: str, exported: Mapping[str, str]) -> Spec:
        """What is given out."""
        settings = {"url": self.experiment.publish.url}
        return self._spec(
            "publish", settings, code("components.pipeline.work:publish"), {"report": report, **exported}
        )

    def known(self) -> list[Spec]:
        """Every stage, if all goes well, in the order of the pipeline."""
        families = list(self.experiment.families)
        compare = self.compare({f: self.evaluate(f).key for f in families})
        examined = {f"study/{f}": self.study(f) for f in self.studied}
        examined |= {f"uses/{f}": self.uses(f) for f in self.used}
        report = self.report(compare.key, {}, {name: spec.key for name, spec in examined.items()})
        return [
            self.prepare,
            self.extractor,
            self.reference,
            *([captions] if (captions := self.captions) else []),
            *(
                getattr(self, stage)(family)
                for family in families
                for stage in stages_of(family, self.experiment.data.flips)
            ),
            *(self.detectors(f) for f in self.detects),
            *examined.values(),
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


def stages_of(family: str, flips: bool) -> tuple[str, ...]:
    """The stages of a family. Images that are mirrored at random have no encodings worth keeping."""
    from components.families.catalogue import caches

    return PER_FAMILY if flips or caches(family) is None else ("latents", *PER_FAMILY)


@functools.cache
def lpips_file(path: str | None) -> str | None:
    """The weights that LPIPS needs, where they are at hand; verified once per process."""
    from components.extractors.lpips import lpips_trunk

    found = lpips_trunk(path)
    return None if found is None else str(found)


def check(plan: Plan, store: Store) -> None:
    """Build the networks to be trained: settings that do not fit data or batches are refused at once."""
    from components.families.catalogue import build, untrained

    plan.check_held_out()
    plan.check_population()
    blocks = {family: plan.own(family) for family in plan.experiment.families}
    for family, block in blocks.items():
        if not claimed(store, plan.train(family)):
            card = plan.card_for(family)
            build(family, block, card, untrained(family, card, blocks), plan.experiment.training(family))
    if plan.captions is not None and not claimed(store, plan.captions):
        from components.data.text.encoder import need_encoder

        need_encoder()
