"""Seeds as functions of names and numbers, so that nothing random has a state to save."""

from __future__ import annotations

import hashlib

import torch


def derive(*parts: int | str) -> int:
    """A 63-bit seed that is a function of `parts` alone, and unrelated for unequal parts."""
    return int.from_bytes(_hash(repr(parts)), "big") >> 1


def seed(value: int, device: torch.device) -> None:
    """Seed what is drawn from in a step: the generators of the CPU and of the device.

    torch.manual_seed does it for every kind of device there might be, and of those that are not there writes
    down who asked: a tenth of the step of a small network.
    """
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(value)


def seed_of(seed: int, index: int) -> int:
    """The seed of the noise of image `index`: nearby seeds and positions give unrelated noise."""
    return hash_of("noise", seed, index) >> 1  # torch takes 63 bits


def hash_of(use: str, seed: int, index: int) -> int:
    """64 bits that depend on all three."""
    return int.from_bytes(_hash(f"{use}/{seed}/{index}"), "little")


def _hash(text: str) -> bytes:
    """8 bytes; losses and samples rest on the byte order in which each caller reads them."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
