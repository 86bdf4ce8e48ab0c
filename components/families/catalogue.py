"""Families by name: their settings, what they need, and how they are built."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from torch import nn

from components.common.errors import InputError
from components.common.validation import explain
from components.config.train import Train
from components.data.card import DataCard
from components.data.text.encoded import DIM
from components.families.tasks import TASKS, Task
from models.family import Card, Family, SourceShape, Study
from models.registry import FAMILIES


def config_of(name: str, own: dict[str, Any]) -> dict[str, Any]:
    """A family's settings in full, `own` over its defaults.

    Raises:
        InputError: no such family, an unknown key or a value that is not accepted.
    """
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    model = FAMILIES[name].Config
    try:
        return model(**own).model_dump(mode="json")
    except ValidationError as error:
        raise InputError(explain(error, f"families.{name}", model)) from None


def upstream_of(name: str, among: Collection[str] = ()) -> dict[str, str]:
    """The trained models that a family builds on: name -> family, one `among` these if it may be."""
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    may = FAMILIES[name].upstream
    return {called: next((f for f in of if f in among), of[0]) for called, of in may.items()}


def caches(name: str) -> str | None:
    """What a family calls the upstream model whose encodings of the images are kept for it."""
    return FAMILIES[name].caches


def conditions(name: str, config: dict[str, Any], card: Card) -> frozenset[str]:
    """What a family's samples depend on, of label and text."""
    family = FAMILIES[name]
    return family.conditions(family.Config(**config_of(name, config)), card)


def uses_sources(name: str) -> bool:
    """Whether a family makes its images from the sources of the data, where there are any."""
    return "source" in FAMILIES[name].needs | FAMILIES[name].takes


def card_for(name: str, config: dict[str, Any], data: DataCard) -> Card:
    """What a family must know of the data: of captions and sources only where it makes use of them."""
    card = data.card if uses_sources(name) else replace(data.card, source=None)
    with_text = replace(card, text=DIM if data.captions else 0)
    return with_text if "text" in conditions(name, config, with_text) else card


def most_samples(name: str, data: DataCard, split: str, n: int) -> int:
    """Returns `n`, or the number of sources of a split where a family has fewer to make its samples from."""
    return min(n, data.sources.counts[split]) if data.sources and uses_sources(name) else n


def build(
    name: str,
    config: dict[str, Any],
    card: Card,
    upstream: Mapping[str, nn.Module] | None = None,
    settings: Train | None = None,
) -> Family:
    """A family by its name, sized for the card, on generators that were trained before.

    Where it is to be trained, `settings` are tried too.

    Raises:
        InputError: no such family, or its settings do not fit the data or the training.
    """
    config = config_of(name, config)
    family = FAMILIES[name]
    try:
        made = family(family.Config(**config), card, upstream)
    except ValueError as error:
        raise InputError(f"families.{name}: {error}") from None
    if settings:
        try:
            made.check_shard(settings.shard)
        except ValueError as error:
            cut = f"train.batch={settings.batch} over train.shards={settings.shards}"
            raise InputError(f"families.{name}: {error} ({cut})") from None
    return made


def untrained(name: str, card: Card, blocks: Mapping[str, dict[str, Any]]) -> dict[str, nn.Module]:
    """What a family builds on, newly initialised; `blocks` holds settings of families, else by default."""
    built: dict[str, nn.Module] = {}
    for called, family in upstream_of(name, blocks).items():
        below = untrained(family, card, blocks)
        built[called] = build(family, blocks.get(family, {}), card, below).generator
    return built


def describe_families() -> list[dict[str, Any]]:
    """Name, paper, needs and phases of every family."""
    return [
        {
            "name": name,
            "paper": family.paper,
            "task": family.task,
            "needs": sorted(family.needs),
            "upstream": {called: list(of) for called, of in family.upstream.items()},
            "phases": phases_of(name),
        }
        for name, family in FAMILIES.items()
    ]


def phases_of(name: str) -> list[str]:
    """The names of a family's phases, with its default settings on data that has what it needs."""
    source = SourceShape(1, 7 if task_of(name).smaller_source else 28)
    needs = FAMILIES[name].needs
    card = Card(1, 28, 10, DIM if "text" in needs else 0, source if "source" in needs else None)
    return [phase.name for phase in build(name, {}, card, untrained(name, card, {})).phases]


def module_of(family: str) -> str:
    """The module a family is written in."""
    return FAMILIES[family].__module__


def encodes(name: str) -> bool:
    """Whether a family encodes images into latent codes, and back."""
    return FAMILIES[name].codes


def ablations(name: str, config: dict[str, Any], card: Card) -> Sequence[Study]:
    """The comparisons of sampling settings that a family recommends."""
    return FAMILIES[name].studies(FAMILIES[name].Config(**config), card)


def described(name: str) -> dict[str, str]:
    """Task and paper of a family."""
    return {"task": FAMILIES[name].task, "paper": FAMILIES[name].paper}


def task_of(name: str) -> Task:
    """What the task of a family means."""
    return TASKS[FAMILIES[name].task]
