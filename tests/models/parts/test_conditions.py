"""Conditions of a network: time, class and caption."""

from __future__ import annotations

import torch

from models.parts.conditions import Condition, Embedding


def test_nothing_is_not_class_0_and_no_caption_not_an_empty_one() -> None:
    torch.manual_seed(0)
    embedding = Embedding(8, width=16, num_classes=3, text=6)
    t, text = torch.zeros(1), torch.zeros(1, 2, 6)
    with torch.no_grad():
        assert embedding.text is not None
        embedding.text.nothing.fill_(1.0)
        labels = [embedding(t, Condition(torch.tensor([k]), text, torch.ones(1, 2).bool())) for k in (0, 3)]
        mute = embedding(t, Condition(torch.tensor([0]), text, torch.zeros(1, 2).bool()))
    assert not torch.allclose(*labels) and not torch.allclose(labels[0], mute)
