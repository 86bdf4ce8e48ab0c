"""Find the networks of a family that fit a saved state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from models.family import Terms


def compatible_networks(old: Terms, new: nn.Module) -> dict[str, bool]:
    """Return for each network of `new` whether all its weights in `old` fit."""
    fits = {}
    for name, network in new.named_children():
        state = network.state_dict()
        saved = {key[len(name) + 1 :]: value for key, value in old.items() if key.startswith(f"{name}.")}
        fits[name] = saved.keys() == state.keys() and all(
            saved[key].shape == value.shape for key, value in state.items()
        )
    return fits
