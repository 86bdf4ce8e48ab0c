"""What a training reads, opened once before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.data.card import DatasetCard
from components.data.dataset import Split, open_sharded_array, open_split
from components.data.text.encoded import ENCODER
from components.families.artifact import load_model
from components.families.catalogue import card_for
from components.records.captions import CaptionEncoder
from components.records.model import ModelConfig
from components.store import Store
from components.training.request import TrainRequest
from models.family import DataSpec, Generator


@dataclass(frozen=True)
class Inputs:
    """The data of a training and the models that it builds on, at hand."""

    data: DatasetCard
    card: DataSpec  # what the family is told of the data
    training: Split
    validation: Split
    upstream: Mapping[str, Generator]
    upstream_configs: Mapping[str, ModelConfig]  # the config.json of each of these
    encoder: CaptionEncoder | None  # of captions, for families that are told them


def open_inputs(job: TrainRequest) -> Inputs:
    """Open the data set, its encoded captions, the models that the family builds on and their encodings."""
    store = Store(job.store)
    folder = store.local_copy(job.data)
    data = DatasetCard.read(folder)
    card = card_for(job.family, job.config, data)
    encoded = store.local_copy(job.captions) if card.text else None
    opened = {name: _open(job, store, folder, name, encoded, card) for name in ("train", "validation")}
    models = {name: load_model(store.local_copy(model)) for name, model in job.upstream.items()}
    return Inputs(
        data,
        card,
        training=opened["train"],
        validation=opened["validation"],
        upstream={name: generator for name, (generator, _, _) in models.items()},
        upstream_configs={name: config for name, (_, _, config) in models.items()},
        encoder=CaptionEncoder.model_validate(store.read_json(f"{job.captions}/{ENCODER}"))
        if card.text
        else None,
    )


def _open(
    job: TrainRequest, store: Store, folder: Path, name: str, encoded: Path | None, card: DataSpec
) -> Split:
    """A split, with its encoded captions and the encodings of its images, or without the excluded class."""
    split = open_split(folder, name, encoded, sources=card.source is not None)
    if job.without is not None:
        return split.without(job.without)
    if not job.latents:
        return split
    return replace(split, latents=open_sharded_array(store.local_copy(f"{job.latents}/{name}"), "latents"))
