"""The perceptual path length of style-based models: closed forms, its recipe, and what it depends on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from components.analysis.path_length import path_length
from components.extractors.feature_distance import FeatureDistance, feature_distance
from components.records.model import ModelConfig
from components.sampling.styles import Styles
from tests import tiny
from tests.sampling.style_models import opened

PIXELS = feature_distance("pixels", tiny.CARD)


class LinearMapping(nn.Module):
    """W = 3 z."""

    latent, num_classes = 4, 0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return 3 * z


class LinearSynthesis(nn.Module):
    """Images are w, in float64; two styles are the same."""

    num_styles, noise_sizes = 2, ()

    def forward(self, ws: Tensor, noises: Any = None) -> Tensor:
        assert torch.equal(ws[:, 0], ws[:, 1])
        return ws[:, 0, :, None, None].double()


def linear() -> Styles:
    generator = SimpleNamespace(mapping=LinearMapping(), synthesis=LinearSynthesis())
    return Styles(generator, tiny.CARD, ModelConfig(family="toy", config={}, card={}))


def test_of_a_linear_generator_and_the_distance_of_images() -> None:
    """E|3 (z2 - z1)|^2 = 9 * 2 * 4 for z of 4 dimensions, whatever the place on the line."""
    squared = FeatureDistance("pixels", "", lambda x: [x])  # the mean over 4 dimensions
    ends, full = (path_length(linear(), squared, along=along, pairs=4000) for along in ("ends", "full"))
    assert ends.value * 4 == pytest.approx(72, rel=0.05)
    assert ends.value == pytest.approx(full.value, rel=0.01), "the same pairs"
    assert ends.low is not None and ends.high is not None and ends.low < ends.value < ends.high


def test_along_arcs_of_unit_length() -> None:
    """E[angle^2] of random directions in 4 dimensions, with 9 for the mapping: 9 (pi^2/4 + Var) / 4."""
    squared = FeatureDistance("pixels", "", lambda x: [x])
    result = path_length(linear(), squared, space="z", along="full", pairs=4000)
    # The density of the angle is 2/pi sin^2: E[angle^2] = pi^2/3 - 1/2.
    assert result.value == pytest.approx(9 * (torch.pi**2 / 3 - 0.5) / 4, rel=0.03)


def test_its_recipe_names_the_network_and_the_place(tmp_path: Path) -> None:
    styles = opened(tmp_path)
    one = path_length(styles, PIXELS, pairs=20)
    assert one.recipe["metric"] == "ppl_w_ends" and one.recipe["network"] == "pixels"
    same = path_length(styles, PIXELS, pairs=20)
    assert same == one
    others = [
        path_length(styles, PIXELS, pairs=20, space="z"),
        path_length(styles, PIXELS, pairs=20, along="full"),
        path_length(styles, FeatureDistance("toy", "1", lambda x: [x]), pairs=20),
    ]
    assert len({one.comparability, *(other.comparability for other in others)}) == 4
    assert path_length(styles, PIXELS, pairs=20, seed=1).comparability == one.comparability


@pytest.mark.parametrize("settings", [{"conditional": True}, {}])
@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "stylegan3"])
def test_paths_do_not_depend_on_their_number(
    tmp_path: Path, name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.analysis import path_length as module

    styles, calls = opened(tmp_path, name, **settings), []
    monkeypatch.setattr(module, "trimmed", lambda values: calls.append(values) or values)
    path_length(styles, PIXELS, pairs=16)
    path_length(styles, PIXELS, pairs=20)
    assert calls[0].tolist() == calls[1][:16].tolist() and (calls[1] > 0).all()
