"""The graphs of each family compute what its generator computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from components.families.catalogue import task_of
from components.publishing import graphs
from components.records.formats import GraphInput
from components.sampling import generate
from components.sampling.conditions import target_images
from models.family import Noise
from tests import tiny


@pytest.mark.parametrize("name", [*tiny.CONFIGS, "diffusion-text", "vae-conditional", "stylegan2-ada"])
def test_samples_through_the_graphs_are_those_of_the_generator(name: str) -> None:
    card = tiny.card_of(name)
    made = tiny.trainer(name, card=card)
    generator, split, family = made.family.generator.eval(), tiny.split(5, card), name.partition("-")[0]
    fixed = dict(target_images(family, split, np.arange(5) if task_of(family).paired else None))
    if "label" in type(made.family).conditions(made.family.config, card):
        fixed["labels"] = np.arange(5)
    if card.text:
        fixed["text"] = split.text
    expected = generate.draw(generator, card, n=5, seed=1, **fixed)
    result = graphs.graphs(generator, card, fixed)
    latents = getattr(generator, "card", card).shape != card.shape
    assert list(result) == [graphs.MODEL, *([graphs.DECODER] if graphs.steps(generator) and latents else [])]
    for graph in result.values():
        assert {k: list(v.shape[1:]) for k, v in graph.examples.items()} == {
            k: [size or graph.examples[k].shape[1] for size in v.shape] for k, v in graph.inputs.items()
        }
    runs = {key: graph.module for key, graph in result.items()}
    drawn = graphs.through(generator, runs, {key: graph.inputs for key, graph in result.items()})
    np.testing.assert_array_equal(generate.draw(drawn, card, n=5, seed=1, **fixed), expected)


def test_noise_is_recorded_and_replayed() -> None:
    recorded = graphs.Recorded(Noise([1, 2]))
    draws = [recorded(3), recorded.uniform(2, 2)]
    assert [distribution for distribution, _ in recorded.drawn] == ["normal", "uniform"]
    replayed = graphs.Replayed([values for _, values in recorded.drawn])
    assert torch.equal(replayed(3), draws[0]) and torch.equal(replayed.uniform(2, 2), draws[1])


def test_captions_have_any_length() -> None:
    text: Mapping[str, Tensor] = {"text": torch.zeros(2, 7, 4), "label": torch.zeros(2, dtype=torch.int64)}
    assert [graphs.described(name, value) for name, value in text.items()] == [
        GraphInput(shape=[None, 4]),
        GraphInput(dtype="int64"),
    ]
