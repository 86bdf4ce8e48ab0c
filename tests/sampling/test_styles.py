"""Styles of style-based generators: points of seeds, truncation, class means, lists of seeds and layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.families.catalogue import is_style_based
from components.sampling.styles import (
    StyleOptions,
    Styles,
    parsed_layers,
    parsed_seeds,
    slerp,
)
from components.sampling.to_file import sample_to_file
from models.parts.mapping import truncated
from models.registry import FAMILIES
from tests.sampling.style_models import opened, saved


def images(styles: Styles, keys: Any) -> np.ndarray:
    drawn = styles.images([styles.styles(key) for key in keys], [key.noises for key in keys])
    return np.concatenate(list(drawn))


def test_families_with_styles_are_known_without_building_them() -> None:
    style_based = {name for name in FAMILIES if is_style_based(name)}
    assert {"stylegan", "stylegan2", "stylegan3"} <= style_based and not style_based & {
        "dcgan",
        "vae",
        "diffusion",
    }


@pytest.mark.parametrize("name", [name for name in FAMILIES if is_style_based(name)])
@pytest.mark.parametrize("options", [{}, {"truncation": 0.5, "truncation_cutoff": 2}])
def test_the_point_of_a_seed_is_its_first_sample(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    model = saved(tmp_path, name)
    styles = Styles.open(model, StyleOptions(**options), "a test")
    made = images(styles, styles.keys([3, 8]))
    for image, seed in zip(made, (3, 8), strict=True):
        sampled = sample_to_file(model, tmp_path / "out.png", n=1, seed=seed, options=StyleOptions(**options))
        # Another size of the batch changes pixels by rounding only.
        assert np.abs(sampled[0].astype(int) - image).max() <= 1


def test_other_families_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="a test: dcgan has no space W of styles; families that have: .*gan3"
    ):
        opened(tmp_path, "dcgan")


@pytest.mark.parametrize("psi", [1.5, -0.1])
def test_psi_out_of_range_is_refused(tmp_path: Path, psi: float) -> None:
    with pytest.raises(InputError, match=f"--truncation {psi:g} is not accepted"):
        opened(tmp_path, truncation=psi)


def test_the_mean_of_w_is_that_of_many(tmp_path: Path) -> None:
    styles = opened(tmp_path)
    mean, sigma = styles.mean()
    z = torch.randn(20_000, styles.generator.mapping.latent)
    w = styles.mapped(z, None)
    assert torch.allclose(mean, w.mean(0), atol=4 * float(w.std()) / 100)
    assert sigma == pytest.approx(float(w.var(0).sum().sqrt()), rel=0.05)
    assert torch.equal(mean, styles.mean()[0]), "it is the same every time"


def test_the_mean_of_all_classes_is_the_mean_of_their_means(tmp_path: Path) -> None:
    styles = opened(tmp_path, conditional=True)
    of_classes = torch.stack([styles.mean(label, 2000)[0] for label in range(10)])
    assert torch.allclose(styles.mean(n=20_000)[0], of_classes.mean(0), atol=0.05)
    assert of_classes.std(0).max() > 0.2


def test_truncation_towards_the_class(tmp_path: Path) -> None:
    """At psi 0 all samples of a class have its mean style, and at psi .5 they are half-way."""
    model = saved(tmp_path, conditional=True)

    def sampled(n: int = 4, **options: Any) -> np.ndarray:
        chosen = StyleOptions(label="digit 3", **options)
        return sample_to_file(model, tmp_path / "out.png", n=n, options=chosen)

    towards = Styles.open(model, StyleOptions(truncation=0.5, truncation_mean="class", label="3"), "a test")
    key = towards.from_seed(0)
    assert key.label == 3
    expected = 0.5 * (towards.mean(3)[0] + key.w)
    assert torch.allclose(towards.styles(key), expected.expand(towards.layers, -1), atol=1e-6)
    half = sampled(truncation=0.5, truncation_mean="class")
    assert np.abs(half[0].astype(int) - images(towards, [key])[0]).max() <= 1
    assert not np.array_equal(half, sampled(truncation=0.5, truncation_mean="all"))
    assert np.array_equal(sampled(truncation=0.5, truncation_mean="all"), sampled(truncation=0.5))


@pytest.mark.parametrize(
    ("name", "settings", "options", "sentence"),
    [
        ("stylegan2", {}, {"truncation": 0.5}, "--truncation-mean class: this model was trained without lab"),
        ("stylegan2", {"conditional": True}, {}, "--truncation-mean class: set psi, below 1, with --trunc"),
        ("dcgan", {}, {}, "--truncation-mean class: dcgan has no such setting"),
    ],
)
def test_where_there_is_no_mean_of_a_class(
    tmp_path: Path, name: str, settings: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    chosen = StyleOptions(truncation_mean="class", **options)
    with pytest.raises(InputError, match=sentence):
        sample_to_file(saved(tmp_path, name, **settings), tmp_path / "out.png", n=1, options=chosen)


def test_classes_of_seeds(tmp_path: Path) -> None:
    model = saved(tmp_path, conditional=True)
    assert [k.label for k in Styles.open(model, StyleOptions(), "x").keys([5, 5, 5])] == [0, 1, 2]
    chosen = Styles.open(model, StyleOptions(label="digit 7"), "x")
    assert [k.label for k in chosen.keys([5, 6])] == [7, 7]
    with pytest.raises(InputError, match="--label 10: unknown class"):
        Styles.open(model, StyleOptions(label="10"), "x")
    with pytest.raises(InputError, match="--label 1: this model was trained without labels"):
        Styles.open(saved(tmp_path / "other"), StyleOptions(label="1"), "x")


def test_truncation_is_linear_between_the_mean_and_w(tmp_path: Path) -> None:
    styles = opened(tmp_path, truncation=0.3)
    key = styles.from_seed(4)
    expected = truncated(key.w.expand(1, styles.layers, -1), styles.generator.mapping.mean, 0.3)[0]
    assert torch.equal(styles.styles(key), expected)


def test_arcs_have_constant_speed_and_unit_length() -> None:
    a, b, t = torch.tensor([[2.0, 0, 0]]), torch.tensor([[0.0, 3, 0]]), torch.linspace(0, 1, 5)
    points = slerp(a.expand(5, -1), b.expand(5, -1), t)
    angles = t * torch.pi / 2
    expected = torch.stack([angles.cos(), angles.sin(), torch.zeros(5)], 1)
    assert torch.allclose(points, expected, atol=1e-6)
    assert torch.allclose(slerp(a, a, torch.tensor([0.5])), a / 2, atol=1e-6)


def test_lists_of_seeds() -> None:
    assert parsed_seeds("--seeds", "1, 2,8-11,-3,a/face.safetensors,") == [
        1, 2, 8, 9, 10, 11, -3, Path("a/face.safetensors")
    ]  # fmt: skip
    for text, words in [
        ("1,x", "--seeds 'x' is no seed: give a list such as 1,2,8-11"),
        ("1", "names 1 points; accepted: 2 to 1,000"),
        ("", "names 0 points"),
        ("5-2", "names 0 points"),
        ("0-99999999999999", "accepted: 2 to 1,000"),
    ]:
        with pytest.raises(InputError, match=words):
            parsed_seeds("--seeds", text, least=2)


def test_parts_of_the_layers() -> None:
    def layers(text: str, of: int) -> list[int]:
        return list(range(of))[parsed_layers(text, of)]

    for of in (4, 8, 16, 18):
        parts = [layers(part, of) for part in ("coarse", "middle", "fine")]
        assert sum(parts, []) == list(range(of)) and max(map(len, parts)) - min(map(len, parts)) <= 1
    assert layers("0-3", 18) == [0, 1, 2, 3] and layers("5", 8) == [5]
    for text in ("rough", "3-2", "0-8", "8", "-1", ""):
        with pytest.raises(InputError, match=f"--layers {text} is not accepted: .* the layers 0 to 7"):
            parsed_layers(text, 8)


def test_a_file_that_is_not_of_this_model_is_refused(tmp_path: Path) -> None:
    styles = opened(tmp_path)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    for name in ("torn", "none"):
        with pytest.raises(InputError, match=f"{name}.safetensors: no file of `atelier project` can be read"):
            styles.from_file(tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match="was not written by `atelier project` for this model"):
        styles.from_file(tmp_path / "stylegan2" / "model.safetensors")
