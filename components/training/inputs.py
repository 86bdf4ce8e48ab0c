"""Open the inputs of a training: data set, captions, upstream models and latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from components.data.card import DatasetCard
from components.data.dataset import Split, open_sharded_array, open_split
from components.data.text.encoded import ENCODER
from components.extractors.perceptual import load_perceptual
from components.families.artifact import load_model
from components.families.catalogue import card_for, features_of
from components.records.captions import CaptionEncoder
from components.records.model import ModelConfig
from components.store import Store
from components.training.request import TrainRequest
from models.data_spec import DataSpec
from models.family import Generator


@dataclass(frozen=True)
class Inputs:
    """The opened data and upstream models of a training."""

    data: DatasetCard
    card: DataSpec  # image shape and conditions of the family
    training: Split
    validation: Split
    upstream: Mapping[str, Generator]
    upstream_configs: Mapping[str, ModelConfig]  # the config.json of each of these
    encoder: CaptionEncoder | None  # of captions; None unless the family is text-conditional
    features: nn.Module | None  # the frozen network of a perceptual loss; None: no loss needs one

    @property
    def given(self) -> Mapping[str, nn.Module]:
        """The trained networks that the family receives, by name."""
        return {**self.upstream, **({"features": self.features} if self.features else {})}


def open_inputs(job: TrainRequest, device: torch.device | str = "cpu") -> Inputs:
    """Open the data set, its encoded captions, the trained networks and the cached latents of a job.

    Args:
        job: the job.
        device: where the network of a perceptual loss computes.
    """
    store = job.store
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
        features=load_perceptual(network, card.resolution, device)
        if (network := features_of(job.family, job.config))
        else None,
    )


def _open(
    job: TrainRequest, store: Store, folder: Path, name: str, encoded: Path | None, card: DataSpec
) -> Split:
    """Open a split with its encoded captions, without the excluded class or with its cached latents."""
    split = open_split(folder, name, encoded, sources=card.source is not None)
    if job.without is not None:
        return split.without(job.without)
    if not job.latents:
        return split
    return replace(split, latents=open_sharded_array(store.local_copy(f"{job.latents}/{name}"), "latents"))
