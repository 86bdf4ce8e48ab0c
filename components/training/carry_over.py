"""Which networks fit a saved state."""

from __future__ import annotations

import torch

from models.family import Terms


def compatible_networks(old: Terms, new: torch.nn.Module) -> dict[str, bool]:
    """For each network of a family, whether its weights in `old` fit it as it is now.

    A network carries over whole or not at all: half a critic is no critic.
    """
    fits = {}
    for name, network in new.named_children():
        state = network.state_dict()
        before = {key[len(name) + 1 :]: value for key, value in old.items() if key.startswith(f"{name}.")}
        fits[name] = before.keys() == state.keys() and all(
            before[key].shape == value.shape for key, value in state.items()
        )
    return fits
