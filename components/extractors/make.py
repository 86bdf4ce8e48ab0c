"""Create the folder of an extractor, by training or by copying verified weights.

    config.json         name, hash, recipe, training and accuracy; written last
    model.safetensors   classifier, rotation, a custom network
    model.pt            a custom TorchScript module
    inception-2015-12-05.pth, efficientnet-lite0.pth

The folder is complete except for the source of a custom network.
"""

from __future__ import annotations

from pathlib import Path

from components.common.errors import InputError
from components.config.evaluate import Evaluate
from components.data.dataset import Split
from components.extractors.custom import adopt_custom
from components.extractors.efficientnet import adopt_efficientnet
from components.extractors.inception import adopt_inception
from components.extractors.kinds import KINDS, TRAINED
from components.extractors.small import SEED, THREADS, train_extractor
from components.records.extractor import ExtractorConfig


def make(kind: str, settings: Evaluate, train: Split, validation: Split, out: Path) -> ExtractorConfig:
    """Create the extractor `kind`, one of KINDS, in the folder `out`, and return its config.json.

    Raises:
        InputError: It cannot be created; the message says why and what to do.
    """
    if kind in TRAINED:
        return train_extractor(train, validation, out, kind, settings.extractor_steps, SEED, THREADS)
    if kind == "inception":
        return adopt_inception(settings.inception_path, out)
    if kind == "efficientnet":
        return adopt_efficientnet(out)
    if kind == "custom" and settings.custom is not None:
        return adopt_custom(settings.custom.model_dump(), out)
    raise InputError(f"evaluate.extractor={kind!r} is unknown; accepted: auto, {', '.join(KINDS)}")
