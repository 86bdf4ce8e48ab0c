"""Look up and build families by name."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.validation import explain
from components.config.train import Train
from components.data.card import DatasetCard
from components.data.text.package import DIM
from components.families.tasks import TASKS, Task
from models.data_spec import DataSpec, SourceShape
from models.registry import FAMILIES

if TYPE_CHECKING:
    from torch import nn

    from models.family import Family, Study


def _family(name: str) -> type[Family]:
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def config_of(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a family's settings in full: `settings` and defaults.

    Raises:
        InputError: no such family, an unknown key or a value that is not accepted.
    """
    model = _family(name).Config
    try:
        return model(**settings).model_dump(mode="json")
    except ValidationError as error:
        raise InputError(explain(error, f"families.{name}", model)) from None


def upstream_of(name: str, preferred: Collection[str] = ()) -> dict[str, str]:
    """Return the trained models that a family builds on: name -> family, a `preferred` one if possible."""
    options = _family(name).upstream
    return {
        role: next((family for family in families if family in preferred), families[0])
        for role, families in options.items()
    }


def cached_upstream(name: str) -> str | None:
    """Return the name of a family's upstream model whose encodings of the images are cached; None: none."""
    return FAMILIES[name].cached_upstream


def features_of(name: str, config: Mapping[str, Any]) -> str | None:
    """Return the frozen network in whose features a loss of a family compares images; None: no loss does."""
    family = FAMILIES[name]
    return family.features(family.Config(**config_of(name, config)))


def conditions(name: str, config: Mapping[str, Any], card: DataSpec) -> frozenset[str]:
    """Return the conditions of a family's samples: a subset of label and text."""
    family = FAMILIES[name]
    return family.conditions(family.Config(**config_of(name, config)), card)


def advice_on(name: str, config: Mapping[str, Any], card: DataSpec) -> str | None:
    """Return a sentence on settings of a family that do not suit the data; None: they do."""
    family = FAMILIES[name]
    sentence = family.advice(family.Config(**config_of(name, config)), card)
    return f"families.{name}: {sentence}" if sentence else None


def uses_sources(name: str) -> bool:
    """Whether a family makes its images from the sources of the data, where there are any."""
    return "source" in FAMILIES[name].needs | FAMILIES[name].takes


def card_for(name: str, config: Mapping[str, Any], data: DatasetCard) -> DataSpec:
    """Return the card of the data for a family, with captions and sources only if the family uses them.

    Raises:
        InputError: the family learns from pairs, and the data has sources that are unpaired.
    """
    if uses_sources(name) and task_of(name).paired and data.sources and not data.sources.are_paired:
        raise InputError(f"families.{name} learns from pairs, and the sources of {data.name} are unpaired")
    card = data.card if uses_sources(name) else replace(data.card, source=None)
    with_text = replace(card, text=DIM if data.captions else 0)
    return with_text if "text" in conditions(name, config, with_text) else card


def most_samples(name: str, data: DatasetCard, split: str, n: int) -> int:
    """Returns `n`, or the number of sources of a split where a family has fewer to make its samples from."""
    return min(n, data.sources.counts[split]) if data.sources and uses_sources(name) else n


def build(
    name: str,
    config: Mapping[str, Any],
    card: DataSpec,
    upstream: Mapping[str, nn.Module] | None = None,
    settings: Train | None = None,
) -> Family:
    """Build a family for the card, newly initialised.

    Args:
        name: the family's name.
        config: its settings; defaults for the rest.
        card: the shape and conditions of the data.
        upstream: trained generators by name, and the network of `features_of` as "features".
        settings: of the training, on which some settings of the family may depend.

    Raises:
        InputError: no such family, or its settings do not fit the data or the training.
    """
    config = config_of(name, config)
    cls = FAMILIES[name]
    try:
        made = cls.Config(**config)
        if settings:
            made = cls.for_batch(made, card, settings.batch)
            made = cls.for_images(made, card, settings.steps * settings.batch, smoke=settings.smoke)
        family = cls(made, card, upstream)
    except ValueError as error:
        raise InputError(f"families.{name}: {error}") from None
    if settings:
        try:
            family.check_shard(settings.micro_batch)
        except ValueError as error:
            shards = f"train.batch={settings.batch} over train.micro_batches={settings.micro_batches}"
            raise InputError(f"families.{name}: {error} ({shards})") from None
    return family


def untrained(name: str, card: DataSpec, blocks: Mapping[str, Mapping[str, Any]]) -> dict[str, nn.Module]:
    """Build a family's upstream generators, newly initialised, with the settings of `blocks` or defaults."""
    generators: dict[str, nn.Module] = {}
    for role, family in upstream_of(name, blocks).items():
        upstream = untrained(family, card, blocks)
        generators[role] = build(family, blocks.get(family, {}), card, upstream).generator
    return generators


def describe_families() -> list[Mapping[str, Any]]:
    """Return name, paper, task, needs, upstream models and phases of every family."""
    return [
        {
            "name": name,
            "paper": family.paper,
            "task": family.task,
            "needs": sorted(family.needs),
            "upstream": {role: list(families) for role, families in family.upstream.items()},
            "phases": phases_of(name),
        }
        for name, family in FAMILIES.items()
    ]


def phases_of(name: str) -> list[str]:
    """The names of a family's phases, with its default settings on data that has what it needs."""
    source = SourceShape(1, 8 if task_of(name).smaller_source else 32)
    needs = FAMILIES[name].needs
    card = DataSpec(1, 32, 10, DIM if "text" in needs else 0, source if "source" in needs else None)
    return [phase.name for phase in build(name, {}, card, untrained(name, card, {})).phases]


def module_of(family: str) -> str:
    """Return the module that defines a family."""
    return FAMILIES[family].__module__


def encodes(name: str) -> bool:
    """Return whether a family encodes images into latent codes and decodes them."""
    return FAMILIES[name].codes


def is_style_based(family: str) -> bool:
    """Whether a family's generator maps z to w, and makes images of styles."""
    return hasattr(typing.get_type_hints(FAMILIES[family])["generator"], "styles")


def ablations(name: str, config: Mapping[str, Any], card: DataSpec) -> Sequence[Study]:
    """Return the ablations of sampling settings that a family recommends."""
    return FAMILIES[name].studies(FAMILIES[name].Config(**config), card)


def description_of(name: str) -> dict[str, str]:
    """Return task and paper of a family."""
    return {"task": FAMILIES[name].task, "paper": FAMILIES[name].paper}


def task_of(name: str) -> Task:
    """Return the task of a family, with the metric that its snapshots are compared by."""
    task, selects = TASKS[FAMILIES[name].task], FAMILIES[name].selects
    return replace(task, selects=selects) if selects else task
