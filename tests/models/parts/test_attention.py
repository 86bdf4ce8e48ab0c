"""Attention written out for gradients of gradients."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from models.parts import attention

N, L, TEXT = 3, 5, 8


def test_written_out_attention_is_the_fused_one() -> None:
    q, k, v = torch.randn(3, N, 4, L, 16).unbind()
    mask = (torch.arange(L) < 3).expand(N, 1, 1, L)
    for m in (None, mask):
        fused = scaled_dot_product_attention(q, k, v, m).transpose(1, 2).flatten(2)
        torch.testing.assert_close(attention.attend(q, k, v, m), fused, atol=1e-5, rtol=1e-5)
