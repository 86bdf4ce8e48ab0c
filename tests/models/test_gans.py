"""Adversarial objectives, penalties and remedies against what can be worked out by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from components.data.dataset import Batches
from components.jobs import build
from components.training import Trainer, train
from models import FAMILIES, augment, losses
from models.adversarial import (
    Adversarial,
    AdversarialConfig,
    MinibatchDiscrimination,
    MinibatchStddev,
    normalise_spectrally,
)
from models.family import Batch, Card
from models.remedies import TABLE
from tests import tiny
from tests.test_contract import equal

ADVERSARIAL = sorted(name for name, family in FAMILIES.items() if issubclass(family, Adversarial))
R, F = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([-0.5, 0.9, 0.1])


# Objectives


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(smoothing: float) -> None:
    terms = losses.cross_entropy(R, F, smoothing)
    target = torch.full_like(R, 1 - smoothing)
    torch.testing.assert_close(terms["real"], binary_cross_entropy_with_logits(R, target, reduction="none"))
    zeros = torch.zeros_like(F)
    torch.testing.assert_close(terms["fake"], binary_cross_entropy_with_logits(F, zeros, reduction="none"))
    assert torch.allclose(losses.non_saturating(F, R), -F.sigmoid().log())
    assert torch.allclose(losses.minimax(F, R), (1 - F.sigmoid()).log())


def test_other_objectives_by_hand() -> None:
    assert torch.allclose(losses.least_squares(R, F, 0.1)["real"], (R - 0.9) ** 2 / 2)
    assert torch.allclose(losses.least_squares(R, F, 0.0)["fake"], F**2 / 2)
    assert torch.allclose(losses.least_squares_generator(F, R), (F - 1) ** 2 / 2)
    hinge = losses.hinge(R, F, 0.0)
    assert torch.allclose(hinge["real"], torch.tensor([0.7, 2.2, 0.0]))
    assert torch.allclose(hinge["fake"], torch.tensor([0.5, 1.9, 1.1]))
    terms = losses.wasserstein(R, F, 0.0)
    assert torch.allclose(terms["real"] + terms["fake"], F - R)
    assert torch.equal(losses.critic_score(F, R), -F)


def test_relativistic_loss_at_equal_scores_is_log_two_twice() -> None:
    (pair,) = losses.relativistic(R, R, 0.0).values()
    both = pair + losses.relativistic_generator(R, R)
    assert torch.allclose(both, torch.full_like(R, 2 * math.log(2)))


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert losses.auc(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])) == pytest.approx(
        (1 + 1 + 0 + 0.5) / 4
    )


# Penalties


def linear(w: Tensor) -> Any:
    return lambda x: x.flatten(1) @ w


def test_penalties_of_a_linear_critic() -> None:
    w = torch.randn(12, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 3, 2, 2, requires_grad=True)
    score = linear(w)(x)
    assert torch.allclose(
        losses.one_centred(score, x), torch.full((5,), float((w.norm() - 1) ** 2)), rtol=1e-4
    )
    assert torch.allclose(losses.zero_centred(score, x), torch.full((5,), float(w.square().sum() / 2)))


def test_a_penalty_is_finite_where_the_slope_is_zero() -> None:
    w = torch.zeros(4, requires_grad=True)
    x = torch.randn(3, 1, 2, 2, requires_grad=True)
    losses.one_centred(linear(w)(x), x).sum().backward()
    assert w.grad is not None and torch.isfinite(w.grad).all()


def test_points_between_lie_on_lines_from_images_to_samples() -> None:
    x, fake = torch.zeros(50, 1, 2, 2), torch.ones(50, 1, 2, 2)
    middle = losses.between(x, fake)
    assert torch.equal(middle, middle[:, :, :1, :1].expand_as(middle)), "one place an image"
    assert 0 <= middle.min() < 0.2 and 0.8 < middle.max() <= 1


@pytest.mark.parametrize("name", ["wgan_gp", "r3gan", "sngan"])
def test_a_score_and_its_penalty_do_not_depend_on_other_images(name: str) -> None:
    family = tiny.trainer(name).family.eval()
    x = tiny_images(6)
    assert isinstance(family, Adversarial)
    together, alone = family.discriminator(x, None), family.discriminator(x[:1], None)
    torch.testing.assert_close(together[:1], alone)


def tiny_images(n: int) -> Tensor:
    return torch.from_numpy(tiny.split(n).images[:]).float() / 127.5 - 1


# Statistics of the batch


def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(4, kernels=3, dim=2)
    h = torch.randn(5, 4)
    m = (h @ layer.project.weight.T).unflatten(1, (3, 2))
    for i in range(5):
        others = [(-(m[i] - m[j]).abs().sum(1)).exp() for j in range(5) if j != i]
        torch.testing.assert_close(layer(h)[i], torch.stack(others).sum(0))


def test_minibatch_stddev_takes_strided_groups_and_biased_variance() -> None:
    h = torch.randn(8, 3)
    found = MinibatchStddev(4)(h).squeeze(1)
    for group in ([0, 2, 4, 6], [1, 3, 5, 7]):
        expected = (h[group].var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[group], expected.expand(4))
    with pytest.raises(ValueError, match="minibatch_stddev=4 must divide"):
        MinibatchStddev(4)(torch.randn(6, 3))


# Spectral normalisation


def spectral(steps: int = 1) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 36, 4))
    normalise_spectrally(network)
    for _ in range(steps):
        network(torch.randn(2, 1, 8, 8))
    return network


def test_the_largest_singular_value_is_one() -> None:
    network = spectral(200).eval()
    for layer in (network[0], network[3]):
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=1e-3)


def test_spectral_norm_can_be_copied_and_saved() -> None:
    network, x = spectral(3), torch.randn(2, 1, 8, 8)
    twin, other = copy.deepcopy(network), spectral(0)
    other.load_state_dict(network.state_dict())
    assert any(name.endswith("_u") for name in network.state_dict())
    for _ in range(2):  # in training every forward moves the vectors
        out = network(x)
        assert torch.equal(out, twin(x)) and torch.equal(out, other(x))


# Unrolling


def unrolling(**change: Any) -> tuple[Adversarial, Batch]:
    torch.manual_seed(0)
    family = build("gan", tiny.CONFIGS["gan"] | change, tiny.CARD)
    assert isinstance(family, Adversarial)
    return family, Batch(8, image=tiny_images(8))


def slopes(family: Adversarial, batch: Batch) -> list[Tensor]:
    torch.manual_seed(1)
    for p in family.discriminator.parameters():
        p.requires_grad_(False)
    terms = family.generator_loss(batch)[0]
    return list(torch.autograd.grad(terms["score"].mean(), list(family.generator.parameters())))


def test_no_unrolled_step_is_the_plain_loss() -> None:
    plain, batch = unrolling()
    family, _ = unrolling(unrolled_steps=1)
    vanilla = slopes(plain, batch)
    assert not equal(vanilla, slopes(family, batch))
    object.__setattr__(family.config, "__dict__", family.config.__dict__ | {"unrolled_steps": 0})
    assert equal(vanilla, slopes(family, batch))
    # The unrolled code itself, run for no steps, gives the same to the bit.
    fake = plain.fake(batch)
    assert torch.equal(family.unrolled(batch, fake)(fake, None), plain.discriminator(fake, None))


def test_unrolling_in_closed_form() -> None:
    """With D(x) = w.x and the Wasserstein loss, w after a step is w + lr (mean x - mean G), and G sees it."""
    family, batch = unrolling(loss="wasserstein", unrolled_steps=1, unrolled_lr=0.5)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.linspace(-1, 1, 64))

        def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
            return x.flatten(1) @ self.w

    family.discriminator = Linear()
    x, fake = batch.image, tiny_images(16)[8:].requires_grad_()
    assert x is not None
    score = family.unrolled(batch, fake)(fake, None).mean()
    mean, w = fake.flatten(1).mean(0), family.discriminator.w.detach()
    expected = mean @ (w + 0.5 * (x.flatten(1).mean(0) - mean))
    torch.testing.assert_close(score, expected)
    (slope,) = torch.autograd.grad(score, fake)
    by_hand = (w + 0.5 * (x.flatten(1).mean(0) - 2 * mean)) / 8
    torch.testing.assert_close(slope.flatten(1)[0], by_hand.detach())


def test_unrolling_leaves_the_discriminator_as_it_was() -> None:
    trainer = tiny_trainer("dcgan", unrolled_steps=3)
    family = trainer.family
    before = copy.deepcopy(family.discriminator.state_dict())
    trainer.update(1, family.phases[1], [tiny_batch(trainer, shard) for shard in trainer.shards])
    assert equal(before, family.discriminator.state_dict())
    assert family.optimizers[0].state_dict()["state"] == {}


def tiny_batch(trainer: Trainer, shard: int) -> Batch:
    data = Batches(tiny.split(), trainer.settings.batch, trainer.settings.seed)
    return trainer.place(data.at(0, shard, trainer.settings.shards))


# Remedies compose


CHANGES: dict[str, dict[str, Any]] = {
    "n_critic": {"n_critic": 2},
    "n_generator": {"n_generator": 2},
    "two_rates": {"lr_discriminator": 4e-4},
    "gradient_penalty": {"gradient_penalty": 10.0, "norm": "none"},
    "spectral_norm": {"spectral_norm": True, "norm": "none"},
    "r1_r2": {"r1": 1.0, "r2": 1.0, "norm": "none"},
    "minibatch_discrimination": {"minibatch_discrimination": 4},
    "minibatch_stddev": {"minibatch_stddev": 2},
    "unrolled": {"unrolled_steps": 2},
    "instance_noise": {"instance_noise": 0.2, "instance_noise_steps": 4},
    "label_smoothing": {"label_smoothing": 0.1},
    "diffaugment": {"augment": ["colour", "translation", "cutout"]},
    "ada": {
        "augment": ["colour", "translation", "geometry"],
        "augment_p": 0.2,
        "ada_target": 0.6,
        "ada_steps": 10,
    },
    "least_squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "projection": {"condition": "projection"},
}


def tiny_trainer(name: str, chosen: Any = None, **change: Any) -> Trainer:
    chosen = chosen or tiny.settings(steps=4, checkpoint_every=2, sample_grids=1)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Trainer(build(name, tiny.CONFIGS[name] | change, tiny.CARD), chosen)


def composed() -> list[tuple[str, str]]:
    """Every family with every remedy that its other settings allow."""
    found = []
    for name in ADVERSARIAL:
        for remedy, change in CHANGES.items():
            try:
                FAMILIES[name].Config(**(tiny.CONFIGS[name] | change))
            except ValidationError:
                continue
            found.append((name, remedy))
    return found


@pytest.mark.parametrize(("name", "remedy"), composed())
def test_a_remedy_composes_and_resumes(name: str, remedy: str) -> None:
    data, log = Batches(tiny.split(), 8, 0), tiny.Memory()
    whole = tiny_trainer(name, **CHANGES[remedy])
    train(whole, data, log)
    rest = tiny_trainer(name, **CHANGES[remedy])
    train(rest, data, tiny.Memory(), resume=log.load((1, 2)))
    assert equal(whole.family.state_dict(), rest.family.state_dict())
    assert all(torch.isfinite(p).all() for p in whole.family.parameters())


def test_most_remedies_go_with_every_family() -> None:
    assert len(composed()) >= 0.7 * len(ADVERSARIAL) * (len(CHANGES) - 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_critic": 2, "n_generator": 2}, "n_critic and n_generator"),
        ({"norm": "batch", "r1": 1}, "r1 needs norm: none"),
        (
            {"loss": "wasserstein", "label_smoothing": 0.1},
            "label_smoothing has no meaning with loss: wasserstein",
        ),
        ({"clip_weights": 0.1, "spectral_norm": True}, "choose one"),
        ({"unrolled_steps": 2, "gradient_penalty": 1}, "cannot look ahead through gradient_penalty"),
        ({"ada_target": 0.6}, "name them in augment"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AdversarialConfig(**change)


def test_clipped_weights_stay_within_bounds() -> None:
    trainer = tiny_trainer("wgan")
    train(trainer, Batches(tiny.split(), 8, 0), tiny.Memory())
    family = trainer.family
    assert max(float(p.detach().abs().max()) for p in family.discriminator.parameters()) <= 0.01 + 1e-8


def test_the_first_generator_update_comes_after_n_critic_critic_updates() -> None:
    trainer = tiny_trainer("wgan_gp", n_critic=3)
    before = copy.deepcopy(trainer.family.generator.state_dict())
    data = Batches(tiny.split(), 8, 0)
    moved = []
    for _ in range(4):
        trainer.step(data)
        moved.append(not equal(before, dict(trainer.family.generator.state_dict())))
    assert moved == [False, False, True, True]
    assert not torch.equal(data.at(0).image, data.at(1).image)


def test_instance_noise_falls_in_a_straight_line() -> None:
    family, _ = unrolling(instance_noise=0.4, instance_noise_steps=10)
    levels = []
    for step in (0, 5, 10, 20):
        family.begin(step)
        levels.append(family.sigma)
    assert levels == pytest.approx([0.4, 0.2, 0, 0])


def test_ada_moves_p_towards_its_target() -> None:
    p = torch.tensor(0.5)
    assert augment.adjusted(p, torch.tensor(0.9), 0.6, 10) == pytest.approx(0.6)
    assert augment.adjusted(p, torch.tensor(0.1), 0.6, 10) == pytest.approx(0.4)
    assert augment.adjusted(torch.tensor(0.0), torch.tensor(-1.0), 0.6, 10) == 0


# Augmentations


def test_warping_by_nothing_changes_nothing_and_by_a_right_angle_turns() -> None:
    x = torch.randn(2, 1, 5, 5)
    one, zero = torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    torch.testing.assert_close(augment.warp(x, one, zero), x)
    torch.testing.assert_close(augment.warp(x, zero, one), x.rot90(1, (2, 3)))


def test_warping_has_a_second_derivative() -> None:
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    a, b = (torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (0.9, 0.3))
    assert torch.autograd.gradgradcheck(lambda y: augment.warp(y, a, b).square(), (x,))


@pytest.mark.parametrize("kind", sorted(augment.KINDS))
def test_augmentations_keep_shape_and_act_on_the_chosen_only(kind: str) -> None:
    torch.manual_seed(0)
    x = tiny_images(16)
    assert torch.equal(augment.augmented(x, [kind], 0.0), x)
    changed = augment.augmented(x, [kind], 1.0)
    assert changed.shape == x.shape and not torch.equal(changed, x)


def test_translation_moves_whole_pixels() -> None:
    torch.manual_seed(0)
    x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(200, 1, 1, 1)
    moved = augment.translation(x)
    assert {float(v) for v in moved[:, 0, 4, 4]} == {27.0, 28, 29, 35, 36, 37, 43, 44, 45}


# The papers' settings


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dcgan", {"lr": 2e-4, "beta1": 0.5, "norm": "batch", "loss": "non_saturating"}),
        ("wgan", {"lr": 5e-5, "optimizer": "rmsprop", "n_critic": 5, "clip_weights": 0.01}),
        (
            "wgan_gp",
            {"lr": 1e-4, "beta1": 0.5, "beta2": 0.9, "n_critic": 5, "gradient_penalty": 10, "norm": "none"},
        ),
        ("sngan", {"lr": 2e-4, "spectral_norm": True, "norm": "none", "n_critic": 5, "loss": "hinge"}),
        ("r3gan", {"loss": "relativistic", "r1": 0.05, "r2": 0.05, "beta1": 0.0, "beta2": 0.9}),
    ],
)
def test_defaults_are_the_papers(name: str, values: dict[str, Any]) -> None:
    config = FAMILIES[name].Config().model_dump()
    assert {key: config[key] for key in values} == values


def test_dcgan_has_no_dense_hidden_layer_and_its_initial_weights() -> None:
    family = build("dcgan", {"width": 64}, Card(3, 64))
    assert isinstance(family, Adversarial)
    linear = [m for m in family.discriminator.modules() if isinstance(m, nn.Linear)]
    assert len(linear) == 1 and linear[0].out_features == 1
    for module in family.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 1000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-5 and module.weight.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("condition", ["concatenation", "projection"])
def test_the_label_enters_generator_and_discriminator(condition: str) -> None:
    family = tiny_trainer("cgan", condition=condition).family.eval()
    z, x, label = torch.randn(4, 8), tiny_images(4), torch.tensor([0, 1, 2, 3])
    assert isinstance(family, Adversarial)
    assert not torch.allclose(family.generator(z, label), family.generator(z, label.flip(0)))
    score, other = family.discriminator(x, label), family.discriminator(x, label.flip(0))
    assert not torch.allclose(score, other)
    if condition == "projection":  # D(x, y) - D(x, y') is <v_y - v_y', h>
        network = family.discriminator
        v = network.project.weight
        by_hand = ((v[label] - v[label.flip(0)]) * network.features(x)).sum(1)
        torch.testing.assert_close(score - other, by_hand)


def test_a_conditional_gan_refuses_unlabelled_data() -> None:
    from components.errors import InputError

    with pytest.raises(InputError, match="needs labels"):
        build("cgan", tiny.CONFIGS["cgan"], Card(1, 8))


# The table of remedies

REPEATED = (
    "lower learning rates",
    "more discriminator steps",
    "fewer discriminator steps",
)  # further each time


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("disease", sorted(TABLE))
def test_every_remedy_changes_something_and_is_accepted(name: str, disease: str) -> None:
    family = build(name, tiny.CONFIGS[name], tiny.CARD)
    offered = family.remedies(disease)
    assert offered, "for every disease there is something to try"
    for remedy in offered:
        changed = family.changed(remedy.change)
        assert changed.config != family.config and "http" in remedy.paper
        again = [r.name for r in changed.remedies(disease)]
        assert remedy.name not in again or remedy.name in REPEATED


def test_remedies_come_in_the_order_of_the_table() -> None:
    family = build("dcgan", {"lr_discriminator": 0.01}, tiny.CARD)
    names = {disease: [r.name for r in family.remedies(disease)] for disease in TABLE}
    assert names["mode_collapse"] == [
        "minibatch discrimination",
        "unrolled discriminator steps",
        "Wasserstein loss with gradient penalty",
    ]
    assert names["vanishing_gradients"][1:] == [
        "fewer discriminator steps",
        "Wasserstein loss with gradient penalty",
        "instance noise",
    ]
    assert names["oscillation"][-3:] == ["lower learning rates", "R1 penalty", "spectral normalisation"]
