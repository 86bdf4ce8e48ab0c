"""Encoded captions."""

from __future__ import annotations

import numpy as np

from components.data.text.encoded import EncodedCaptions, SplitCaptions
from components.data.text.package import DIM


def test_no_caption_has_no_tokens() -> None:
    tokens, mask = SplitCaptions(EncodedCaptions.nothing(), np.zeros(3, np.int64)).tensors()
    assert tokens.shape == (3, 1, DIM) and not mask.any() and not tokens.any()
