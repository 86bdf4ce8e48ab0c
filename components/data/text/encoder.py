"""Captions -> tokens: a text encoder in plain torch, its weights from a package that is optional.

Reimers & Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084, in the form all-MiniLM-L6-v2 (Wang
et al. 2020, MiniLM, https://arxiv.org/abs/2002.10957): a BERT of 6 layers, 12 heads and 384 components.

    h = norm(word + position + type), and in every layer h = norm(h + attention(h)), h = norm(h + mlp(h))

What networks are told are the states of the last layer, times SCALE: the components then have a variance of
about 1. (Its means over a caption, normalised, would be the sentence's embedding, for which it was trained.)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from components.data.text.encoded import EncodedCaptions
from components.data.text.package import DIM, LONGEST, verified_files

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
SCALE = 2.2  # the median standard deviation of a component, over the names of all emoji, is 0.45
CHUNK = 64  # captions encoded at once


@dataclass(frozen=True)
class Encoder:
    """The tokenizer, and the weights by the names that their file gives them."""

    tokenizer: Any  # of the package tokenizers
    weights: dict[str, Tensor]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's pieces of words, begun by [CLS] and ended by [SEP]."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The last layer's states of ids (N, L), which see what mask (N, L) says is there: (N, L, 384)."""
        h = self._norm("embeddings.LayerNorm", self._embedded(ids))
        for i in range(LAYERS):
            layer = f"encoder.layer.{i}"
            attended = self._attention(f"{layer}.attention.self", h, mask)
            h = self._norm(
                f"{layer}.attention.output.LayerNorm",
                h + self._linear(f"{layer}.attention.output.dense", attended),
            )
            inner = gelu(self._linear(f"{layer}.intermediate.dense", h))
            h = self._norm(f"{layer}.output.LayerNorm", h + self._linear(f"{layer}.output.dense", inner))
        return h

    def _embedded(self, ids: Tensor) -> Tensor:
        kinds = ("word", "position", "token_type")
        words, positions, types = (self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in kinds)
        return words[ids] + positions[: ids.shape[1]] + types[0]

    def _attention(self, name: str, h: Tensor, mask: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(D)) v, of every token over the tokens there are."""
        q, k, v = (
            self._linear(f"{name}.{each}", h).unflatten(2, (HEADS, -1)).transpose(1, 2)  # (N, heads, L, D)
            for each in ("query", "key", "value")
        )
        attended = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        return attended.transpose(1, 2).flatten(2)

    def _linear(self, name: str, h: Tensor) -> Tensor:
        return linear(h, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, h: Tensor) -> Tensor:
        return layer_norm(
            h, h.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPSILON
        )


@functools.cache
def load() -> Encoder:
    """The encoder, its files verified.

    Raises:
        InputError: the packages are not installed, or their files are not the ones that are expected.
    """
    weights, words = verified_files()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_padding()  # so that the number of ids is the length
    tokenizer.no_truncation()
    return Encoder(tokenizer, load_file(weights))


def encode(texts: Sequence[str], longest: int = LONGEST) -> EncodedCaptions:
    """Each text as tokens, padded to the longest of them.

    A text without words has no tokens: it says nothing.

    Args:
        texts: U captions.
        longest: tokens at most; of what is longer, the end is cut.
    """
    encoder = load()
    whole = [ids if text.strip() else [] for text, ids in zip(texts, encoder.ids(texts), strict=True)]
    cut = [ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]] for ids in whole]
    lengths = np.array([len(ids) for ids in cut])
    mask = np.arange(max(1, lengths.max())) < lengths[:, None]  # (U, L)
    tokens = np.zeros((*mask.shape, DIM), np.float16)
    order = np.argsort(lengths, kind="stable")[(lengths == 0).sum() :]  # alike in length: little is padded
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        longest_here = lengths[rows[-1]]
        ids = torch.tensor([cut[row] + [0] * (longest_here - lengths[row]) for row in rows])
        there = torch.from_numpy(mask[rows, :longest_here])
        with torch.inference_mode():
            states = SCALE * encoder.states(ids, there) * there[:, :, None]
        tokens[rows, :longest_here] = states.numpy()
    return EncodedCaptions(tokens, mask, int(sum(len(ids) > longest for ids in whole)))
