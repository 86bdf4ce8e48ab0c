"""The diffusion family: its loss, its conditions, its guidance, its networks."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from models.data_spec import DataSpec
from models.diffusion import Diffusion, block_side, by_noise
from models.diffusion_config import DiffusionConfig
from models.family import Batch, Noise
from models.parts import processes
from models.parts.conditions import Condition
from models.parts.processes import Level

CLASSES, CAPTIONS = DataSpec(1, 8, 3), DataSpec(1, 8, 3, text=6)


def build(card: DataSpec = CLASSES, **changes: object) -> Diffusion:
    torch.manual_seed(0)
    family = Diffusion(DiffusionConfig(**{"width": 16, "sampler_steps": 3, **changes}), card)  # type: ignore[arg-type]
    for p in family.parameters():  # residual branches start at zero: then little could go wrong
        p.data += 0.02 * torch.randn_like(p)
    return family


def batch(card: DataSpec = CLASSES, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(n, *card.shape, generator=generator) * 2 - 1
    text = torch.randn(n, 5, card.text, generator=generator) if card.text else None
    mask = torch.arange(5) < torch.arange(n)[:, None] % 5 + 1 if card.text else None
    return Batch(
        n, image, torch.arange(n) % card.num_classes if card.num_classes else None, text=text, text_mask=mask
    )


def sample(family: Diffusion, inputs: Batch, seeds: range = range(4)) -> Tensor:
    with torch.inference_mode():
        return family.eval().generator.sample(inputs, Noise(seeds))


def level(t: float, n: int) -> Level:
    parts = (torch.tensor(v).expand(n)[:, None, None, None] for v in (t, 1 - t, t))
    return Level(*parts)


COLOUR = DataSpec(3, 64)


@pytest.mark.parametrize(
    ("card", "changes", "values"),
    [
        (COLOUR, {}, 48),  # blocks of 4 x 4
        (COLOUR, {"noise_schedule": "edm", "prediction": "edm"}, 48),
        (COLOUR, {"network": "dit", "width": 32}, 48),
        (COLOUR, {"space_to_depth": 8, "width": 128}, 192),
        (COLOUR, {"width": 48}, None),
        (COLOUR, {"space_to_depth": 2}, None),
        (COLOUR, {"prediction": "x_0", "weighting": "edm"}, None),
        (DataSpec(3, 32), {}, None),
        (DataSpec(1, 64), {}, None),
    ],
)
def test_noise_of_more_values_than_channels_is_advised_against(
    card: DataSpec, changes: dict[str, object], values: int | None
) -> None:
    config = DiffusionConfig(**{"width": 32, **changes})  # type: ignore[arg-type]
    advice = Diffusion.advice(config, card)
    assert (advice or "").endswith(f"or a width of at least {values}") if values else advice is None


def test_a_network_of_the_width_that_is_advised_reads_such_blocks() -> None:
    """The advice counts the values of a block as the network does."""
    for changes in ({"width": 32}, {"network": "dit", "width": 32}, {"space_to_depth": 8, "width": 128}):
        config = DiffusionConfig(**changes)  # type: ignore[arg-type]
        shapes = {tuple(p.shape[:2]) for p in Diffusion(config, COLOUR).parameters() if p.ndim > 1}
        assert (config.width, 3 * block_side(config, 64) ** 2) in shapes


COMBINATIONS: list[dict[str, object]] = [
    {},
    {
        "noise_schedule": "linear",
        "prediction": "eps",
        "timestep_sampling": "uniform",
        "sampler": "ancestral",
        "clip_denoised": True,
    },
    {"noise_schedule": "cosine", "prediction": "v", "weighting": "min_snr", "sampler": "ddim", "eta": 0.5},
    {
        "noise_schedule": "cosine",
        "prediction": "v",
        "zero_terminal_snr": True,
        "timestep_spacing": "trailing",
    },
    {
        "noise_schedule": "sigmoid",
        "prediction": "x_0",
        "weighting": "p2",
        "shift": 0.5,
        "sampler": "dpmpp_2m",
    },
    {
        "noise_schedule": "edm",
        "prediction": "edm",
        "weighting": "edm",
        "timestep_sampling": "log_normal",
        "timestep_mean": -1.2,
    },
    {"noise_schedule": "flow", "prediction": "x_0", "shift": 3.0, "sampler": "euler"},
    {"guidance_scale": 2.0, "guidance_interval": (0.2, 0.7)},
    {"network": "dit", "width": 32, "depth": 2, "heads": 2, "patch": 4},
]


@pytest.mark.parametrize("changes", COMBINATIONS, ids=lambda c: "-".join(map(str, c.values())) or "flow")
def test_every_combination_trains_and_samples(changes: dict[str, object]) -> None:
    family = build(**changes)
    terms, _ = family.loss(batch(n=16))
    (term,) = terms.values()
    assert term.shape == (16,) and term.isfinite().all()
    term.mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in family.parameters())
    images = sample(family, batch())
    assert images.shape == (4, 1, 8, 8) and images.isfinite().all() and images.abs().max() <= 1
    # Image i is the same whatever is drawn beside it.
    torch.testing.assert_close(sample(family, batch()[1:3], range(1, 3)), images[1:3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("card", "changes", "match"), [
    (DataSpec(1, 8), {"condition": "class"}, "condition=class needs labels"),
    (DataSpec(1, 8), {"condition": "text"}, "condition=text needs encoded captions"),
    (DataSpec(1, 8), {"space_to_depth": 3}, "space_to_depth=3 must divide"),
    (CLASSES, {"condition_dropout": 0}, "guidance_scale=1.5 needs .* condition_dropout=0 never trains"),
    (CLASSES, {"condition_dropout": 1}, "condition_dropout=1 never trains the condition"),
    (
        DataSpec(1, 8),
        {"noise_schedule": "linear", "prediction": "v", "sampler_steps": 1001},
        "more than the 1000 steps",
    ),
])  # fmt: skip
def test_settings_that_do_not_fit_the_data_are_refused(
    card: DataSpec, changes: dict[str, object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        Diffusion(DiffusionConfig(**changes), card)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [
    {},
    {"noise_schedule": "linear", "prediction": "eps"},
    {"noise_schedule": "cosine", "prediction": "v", "weighting": "min_snr"},
    {"noise_schedule": "edm", "prediction": "edm", "weighting": "edm", "timestep_sampling": "log_normal"},
])  # fmt: skip
def test_a_network_that_knows_has_no_loss(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images are the same, so x_0 is known and eps can be told from x."""
    family, x_0 = build(**changes), torch.full((32, 1, 8, 8), 0.3)
    drawn: list[Level] = []

    def oracle(x: Tensor, at: Level, condition: Condition) -> Tensor:
        drawn.append(at)
        a, b = family.generator.target(at)
        return a * x_0 + b * (x - at.alpha * x_0) / at.sigma

    monkeypatch.setattr(family.generator, "forward", oracle)
    (term,) = family.loss(Batch(32, x_0, torch.zeros(32, dtype=torch.long)))[0].values()
    assert float(term.max()) < 1e-6
    monkeypatch.setattr(family.generator, "forward", lambda x, at, c: oracle(x, at, c) + 0.1)
    (term,) = family.loss(Batch(32, x_0, torch.zeros(32, dtype=torch.long)))[0].values()
    weighting = str(changes.get("weighting", "plain"))
    weight = processes.weight(weighting, drawn[-1], *family.generator.target(drawn[-1])).flatten()
    torch.testing.assert_close(term, 0.01 * weight, rtol=1e-3, atol=1e-6)


def test_a_new_network_predicts_nothing() -> None:
    """Its loss is then the mean of |eps - x_0|^2, which is 1 + 0.25 for images of +-0.5."""
    torch.manual_seed(0)
    family = Diffusion(DiffusionConfig(width=16), DataSpec(1, 8))
    x = torch.randn(100, 1, 8, 8)
    assert torch.equal(family.generator(x, level(0.5, 100), Condition()), torch.zeros_like(x))
    loss = family.loss(Batch(100, 0.5 * x.sign()))[0]["velocity"]
    assert loss.shape == (100,) and float(loss.detach().mean()) == pytest.approx(1.25, rel=0.05)


def test_the_loss_is_told_by_share_of_noise() -> None:
    loss, share = torch.arange(32.0), torch.linspace(0, 31 / 32, 32)
    logged = by_noise(loss, share)
    assert [float(logged[f"loss_t{k}"]) for k in range(8)] == [4 * k + 1.5 for k in range(8)]
    assert [float(logged[f"var_t{k}"]) for k in range(8)] == pytest.approx([5 / 3] * 8)
    assert [float(logged[f"noise_t{k}"]) for k in range(8)] == [(4 * k + 1.5) / 32 for k in range(8)]
    assert by_noise(torch.arange(15.0), torch.arange(15.0)) == {}
    assert by_noise(torch.arange(17.0), torch.arange(17.0)).keys() == logged.keys()


def test_a_log_has_the_noise_that_was_drawn() -> None:
    """Not the eighths of [0, 1]: times drawn log-normally around more noise are of more noise."""
    logged = [
        build(timestep_sampling="log_normal", timestep_mean=mean).loss(batch(n=32))[1] for mean in (-1.0, 1.0)
    ]
    low, high = ([float(terms[f"noise_t{k}"]) for k in range(8)] for terms in logged)
    assert low == sorted(low) and high == sorted(high)
    assert all(a < b for a, b in zip(low, high, strict=True))
    assert low[3] < 1 / (1 + math.e) < low[4], "the median, where sigma / alpha = 1 / e"


# Conditions


def test_conditions_are_withheld_image_by_image() -> None:
    family = build(CAPTIONS, condition="text", condition_dropout=0.1)
    inputs = batch(CAPTIONS, 3000)
    torch.manual_seed(0)
    condition = family.training_condition(inputs, torch.device("cpu"))
    assert condition.text_mask is not None and inputs.text_mask is not None and condition.label is None
    dropped = ~condition.text_mask.any(1)
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert torch.equal(condition.text_mask[~dropped], inputs.text_mask[~dropped])
    classes = build(condition_dropout=0.1).training_condition(batch(n=3000), torch.device("cpu")).label
    assert classes is not None
    dropped, inputs = classes == 3, batch(n=3000)  # the index after the last class
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert inputs.label is not None and torch.equal(classes[~dropped], inputs.label[~dropped])


@pytest.mark.parametrize(("dropout", "rows"), [(0.0, [0, 1, 2]), (1 - 1e-7, [3])])
def test_the_loss_teaches_labels_and_their_absence(dropout: float, rows: list[int]) -> None:
    family = build(condition_dropout=dropout, guidance_scale=1)
    family.loss(batch())[0]["velocity"].mean().backward()
    (embedding,) = (m for m in family.modules() if isinstance(m, nn.Embedding))
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist() == rows


def test_without_a_condition_or_with_guidance_zero_samples_are_unconditional() -> None:
    for card, changes in ((CLASSES, {}), (CAPTIONS, {"condition": "text"})):
        inputs, free = batch(card), sample(build(card, **changes), Batch(4))
        result = sample(build(card, guidance_scale=0, **changes), inputs)
        torch.testing.assert_close(result, free, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(sample(build(card, guidance_scale=1, **changes), inputs), free, atol=1e-4)


def test_condition_none_ignores_labels() -> None:
    family = build(condition="none", guidance_scale=3)
    assert not any(isinstance(m, nn.Embedding) for m in family.modules())
    inputs = batch()
    assert inputs.label is not None
    other = dataclasses.replace(inputs, label=(inputs.label + 1) % 3)
    assert torch.equal(sample(family, inputs), sample(family, other))


def test_guidance_is_one_pass_within_its_interval_and_none_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    family = build(guidance_scale=2, guidance_interval=(0.3, 0.8), sampler="euler", sampler_steps=4)
    calls: list[tuple[float, int]] = []
    real = family.generator.forward

    def counted(x: Tensor, at: Level, condition: Condition) -> Tensor:
        calls.append((round(float(at.sigma[0]), 2), len(x)))
        return real(x, at, condition)

    monkeypatch.setattr(family.generator, "forward", counted)
    sample(family, batch())
    assert calls == [(1.0, 4), (0.75, 8), (0.5, 8), (0.25, 4)]


def test_only_the_end_is_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that carries every pixel out of range and back in again ends where it began."""
    family = build(sampler="euler", sampler_steps=2, guidance_scale=1)

    def away_and_back(x: Tensor, at: Level, condition: Condition) -> Tensor:
        return torch.full_like(x, -20 if float(at.sigma[0]) == 1 else 20)

    monkeypatch.setattr(family.generator, "forward", away_and_back)
    expected = Noise(range(4))(1, 8, 8).clamp(-1, 1)
    torch.testing.assert_close(sample(family, batch()), expected, rtol=0, atol=1e-5)


def test_tokens_that_are_masked_change_nothing_and_others_do() -> None:
    family, inputs = build(CAPTIONS, condition="text"), batch(CAPTIONS)
    assert inputs.text is not None and inputs.text_mask is not None
    images = sample(family, inputs)
    noise = torch.randn_like(inputs.text)
    hidden = dataclasses.replace(inputs, text=torch.where(inputs.text_mask[..., None], inputs.text, noise))
    torch.testing.assert_close(sample(family, hidden), images, rtol=0, atol=1e-6)
    visible = dataclasses.replace(inputs, text=inputs.text + noise)
    assert not torch.allclose(sample(family, visible), images, atol=1e-3)


# From an image, and on the way


def test_a_weak_start_stays_near_the_image() -> None:
    inputs = batch()
    assert inputs.image is not None

    def distance(strength: float) -> float:
        result = sample(build(strength=strength, sampler_steps=20), inputs)
        return float((result - inputs.image).abs().mean())

    assert distance(0.05) < distance(0.5) < distance(0.95)
    fresh = build(sampler_steps=20)
    assert torch.equal(sample(fresh, inputs), sample(fresh, dataclasses.replace(inputs, image=None)))


@pytest.mark.parametrize("sampler", ["heun", "ddim", "dpmpp_2m"])
def test_a_trajectory_ends_in_the_sample(sampler: str) -> None:
    family, inputs = build(sampler=sampler, sampler_steps=6), batch()
    with torch.inference_mode():
        way = family.eval().generator.trajectory(inputs, Noise(range(4)), 4)
    assert way.shape == (4, 4, 1, 8, 8) and way.abs().max() <= 1
    assert torch.equal(way[-1], sample(family, inputs))
    torch.testing.assert_close(way[0], Noise(range(4))(1, 8, 8).clamp(-1, 1), rtol=0, atol=1e-6)


def test_the_forward_process_goes_from_the_image_to_noise() -> None:
    family, inputs = build(sampler_steps=8), batch()
    assert inputs.image is not None
    way = family.generator.noised(inputs.image, Noise(range(4)), 5)
    assert torch.equal(way[0], inputs.image)
    torch.testing.assert_close(way[-1], Noise(range(4))(1, 8, 8).clamp(-1, 1))


# Networks


def test_a_study_has_what_the_settings_accept() -> None:
    def steps(**changes: object) -> set[str]:
        first, *_ = Diffusion.studies(DiffusionConfig(**changes), CLASSES)  # type: ignore[arg-type]
        return set(first.variants)

    every = steps()
    assert {"heun 3", "ddim 5", "ancestral 100"} <= every
    assert every - steps(noise_schedule="cosine", timestep_spacing="leading", sampler_steps=50) >= {
        "heun 3",
        "ddim 5",
    }
    kinds = [
        s.name for s in Diffusion.studies(DiffusionConfig(condition_dropout=0, guidance_scale=1), CLASSES)
    ]
    assert kinds == ["steps"], "guidance by what was never trained is not studied"
