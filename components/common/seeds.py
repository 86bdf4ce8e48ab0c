"""Seeds as functions of names and numbers, so that no random state needs to be saved."""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on `parts` only; different parts give unrelated seeds."""
    return int.from_bytes(_hash(repr(parts)), "big") >> 1


def seed_of(seed: int, index: int) -> int:
    """Return the seed of the noise of image `index`; nearby seeds and indices give unrelated noise."""
    return hash_of("noise", seed, index) >> 1  # torch takes 63 bits


def hash_of(use: str, seed: int, index: int) -> int:
    """Return a 64-bit hash of the three arguments."""
    return int.from_bytes(_hash(f"{use}/{seed}/{index}"), "little")


def _hash(text: str) -> bytes:
    """Return 8 bytes. Losses and samples depend on the byte order in which each caller reads them."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
