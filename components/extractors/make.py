"""Create the folder of an extractor, by training or by copying verified weights.

    config.json         name, hash, recipe, training and accuracy; written last
    model.safetensors   classifier, rotation, a custom network
    model.pt            a custom TorchScript module
    inception-2015-12-05.pth, efficientnet-lite0.pth

The folder is complete except for the source of a custom network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.config.evaluate import Evaluate
from components.data.dataset import Split
from components.extractors import efficientnet, inception
from components.extractors.custom import adopt_custom, custom_preparation, custom_recipe
from components.extractors.efficientnet import EFFICIENTNET_PREPARATION, adopt_efficientnet
from components.extractors.files import extractor_hash
from components.extractors.inception import INCEPTION_PREPARATION, adopt_inception
from components.extractors.small import SEED, THREADS, TRAINED, train_extractor
from components.records.extractor import ExpectedExtractor, ExtractorConfig

KINDS = ("classifier", "rotation", "inception", "efficientnet", "custom")


def identity(kind: str, custom: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return what identifies a pre-trained extractor, without loading it; {} for those trained on the data.

    Args:
        kind: One of KINDS.
        custom: The fields of config.Custom.

    Raises:
        InputError: The source of the custom network does not exist.
    """
    if kind == "inception":
        return {"weights": inception.INCEPTION_SHA256, "preparation": INCEPTION_PREPARATION}
    if kind == "efficientnet":
        return {"weights": efficientnet.EFFICIENTNET_SHA256, "preparation": EFFICIENTNET_PREPARATION}
    if kind == "custom":
        assert custom is not None, "the config requires it"
        return {
            "name": custom["name"],
            "weights": custom["sha256"],
            "preparation": custom_preparation(custom),
            "recipe": custom_recipe(custom),
        }
    return {}


def expected(kind: str, custom: Mapping[str, Any] | None = None) -> ExpectedExtractor:
    """Return name and hash of a pre-trained extractor, without loading it; arguments as for `identity`."""
    of = identity(kind, custom)
    name = f"custom:{of['name']}" if kind == "custom" else kind
    return ExpectedExtractor(name, extractor_hash(name, of["weights"], of["preparation"], of.get("recipe")))


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
