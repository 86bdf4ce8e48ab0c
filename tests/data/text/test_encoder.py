"""The text encoder itself; skipped only where its packages are not installed."""

import importlib.util

import numpy as np
import pytest
import torch

from components.data.text import encoded, package
from components.data.text.encoder import encode, load
from components.data.text.package import INSTALL

INSTALLED = all(importlib.util.find_spec(package) for package in package.PACKAGES)
needs_encoder = pytest.mark.skipif(not INSTALLED, reason=INSTALL)


def sentence(table: encoded.EncodedCaptions) -> np.ndarray:
    """The mean over the tokens there are, of length 1."""
    mask = table.mask[:, :, None]
    mean = (table.tokens.astype(np.float64) * mask).sum(1) / mask.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@needs_encoder
def test_it_is_the_network_that_others_know():
    """The first components of the sentence's embedding as sentence-transformers gives it."""
    expected = [0.06765693, 0.0634958, 0.04871308, 0.07930495, 0.03744799]
    np.testing.assert_allclose(sentence(encode(["This is an example sentence"]))[0, :5], expected, atol=5e-5)


@needs_encoder
def test_padding_and_company_change_nothing():
    alone, beside = encode(["red heart"]), encode(["red heart", "a " * 20, "red heart"])
    length = int(alone.mask.sum())
    assert alone.tokens.shape == (1, length, 384) and alone.tokens.dtype == np.float16
    assert beside.tokens.shape == (3, 22, 384) and beside.mask.sum(1).tolist() == [length, 22, length]
    np.testing.assert_allclose(beside.tokens[0, :length], alone.tokens[0], atol=5e-3)
    np.testing.assert_array_equal(beside.tokens[0], beside.tokens[2])
    assert not beside.tokens[~beside.mask].any()


@needs_encoder
def test_what_is_not_there_is_not_seen():
    encoder = load()
    ids = torch.tensor(encoder.ids(["red heart"]))
    longer = torch.cat([ids, torch.tensor([[2000, 3000, 4000]])], 1)
    there = torch.arange(longer.shape[1])[None] < ids.shape[1]
    with torch.inference_mode():
        states, masked = (
            encoder.states(ids, torch.ones_like(ids, dtype=torch.bool)),
            encoder.states(longer, there),
        )
        unmasked = encoder.states(longer, torch.ones_like(there))
    torch.testing.assert_close(masked[:, : ids.shape[1]], states, atol=1e-5, rtol=0)
    assert (unmasked[:, : ids.shape[1]] - states).abs().max() > 0.1


@needs_encoder
def test_like_phrases_are_near():
    names = ["red heart", "crimson heart", "a bus at its stop", "green apple"]
    near = sentence(encode(names)) @ sentence(encode(names)).T
    assert near[0, 1] > 0.6 > 0.5 > max(near[0, 2], near[0, 3])
    states = encode(names).tokens[encode(names).mask].astype(np.float64)
    assert 0.8 < states.std() < 1.3, "about unit variance"


@needs_encoder
def test_long_captions_are_cut_and_counted_and_empty_ones_say_nothing():
    table = encode(["word " * 100, "", "  ", "short"])
    assert table.cut == 1 and table.mask.sum(1).tolist() == [32, 0, 0, 3]
    assert table.tokens.shape == (4, 32, 384) and np.isfinite(table.tokens).all()
    shorter = encode(["one two three four five"], longest=4)
    assert shorter.cut == 1 and shorter.mask.sum() == 4
    assert encode([""]).mask.shape == (1, 1) and not encode([""]).mask.any()
