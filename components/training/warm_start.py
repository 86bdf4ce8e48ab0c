"""Begin a training with the weights of another model, where they fit by name and shape."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load
from torch import Tensor

from components.common.errors import InputError
from components.common.public import public
from components.config.train import Initial
from components.records.training import Fate, WarmStart
from components.registry.models import read_weights
from components.store import Store
from models.family import Family

# Of the weights of a layer, the first of these decides how the layer is reported.
DECISIVE: tuple[Fate, ...] = ("other shape", "missing here", "new", "taken")


def load_initial(store: Store, initial: Initial) -> dict[str, Tensor]:
    """Return the weights of the model to begin with, after checking their hash.

    Raises:
        InputError: there is no such model, its weights have changed, or they cannot be read.
    """
    data = read_weights(store, initial)
    try:
        return load(data)
    except Exception as error:  # safetensors raises various errors for damaged files
        raise InputError(f"train.initial: the weights of {initial.model} cannot be read: {error}") from None


def warm_start(family: Family, weights: Mapping[str, Tensor], initial: Initial) -> WarmStart:
    """Load the weights that fit into a family's generator; return what became of each layer.

    An export holds a generator, so discriminators begin anew. Networks that no phase trains, such as an
    upstream autoencoder, keep their own weights.

    Raises:
        InputError: no weight fits.
    """
    own = _trained(family)
    fates: dict[str, Fate] = {name: "new" for name in own}
    for name, value in weights.items():
        fits = name in own and own[name].shape == value.shape
        fates[name] = "taken" if fits else "other shape" if name in own else "missing here"
    taken = [name for name, fate in fates.items() if fate == "taken"]
    if not any(own[name].is_floating_point() and own[name].ndim for name in taken):
        raise InputError(
            f"train.initial: no layer of {initial.model} fits by name and shape; begin with a model of a "
            "family with the same networks"
        )
    with torch.no_grad():
        for name in taken:
            own[name].copy_(weights[name])
    return WarmStart(model=public(initial.model), sha256=initial.sha256 or "", layers=_by_layer(fates))


def _trained(family: Family) -> dict[str, Tensor]:
    """Return the state of a generator without its networks that no phase trains."""
    trained = {id(p) for phase in family.phases for p in phase.parameters}
    frozen = [
        f"{name}."
        for name, module in family.generator.named_modules()
        if (own := list(module.parameters())) and not any(id(p) in trained for p in own)
    ]
    state: dict[str, Tensor] = family.generator.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(tuple(frozen))}


def _by_layer(fates: Mapping[str, Fate]) -> dict[str, Fate]:
    """Return the fate of each layer from those of its weights."""
    layers: dict[str, Fate] = {}
    for name, fate in fates.items():
        layer = name.rpartition(".")[0] or name
        layers[layer] = min(fate, layers.get(layer, "taken"), key=DECISIVE.index)
    return layers
