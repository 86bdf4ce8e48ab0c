"""Objectives, penalties, remedies and schedules of adversarial training, each by hand; little is trained."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from components.data.batches import Batches
from components.training.trainer import Trainer
from models import adversarial, family, gan
from models.adversarial import Adversarial
from models.adversarial_config import AdversarialConfig
from models.data_spec import DataSpec
from models.dcgan import DCGAN, DCGANConfig
from models.family import Batch, Terms
from models.gan import GANConfig
from models.parts.discriminator import (
    Discriminator,
)
from models.parts.layers import batch_norms
from models.parts.losses import OBJECTIVES, between, one_centred
from models.registry import FAMILIES
from tests import tiny
from tests.tiny import equal

pytestmark = pytest.mark.usefixtures("seeded")

CARD = DataSpec(1, 8, 10)
PIXELS = 64
DEEP = DataSpec(
    1, 16
)  # large enough for BatchNorm in DCGAN's discriminator, which its first layer is without
ADVERSARIAL = [name for name, kind in FAMILIES.items() if issubclass(kind, Adversarial)]


def images(n: int = 4, *, card: DataSpec = CARD, labelled: bool = False) -> Batch:
    return Batch(n, torch.rand(n, *card.shape) * 2 - 1, torch.arange(n) % 10 if labelled else None)


def flat(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.detach().flatten(1)


class Linear(Adversarial):
    """D(x) = w.x + b, whose slope is w everywhere, against the dense generator."""

    Config = GANConfig
    discriminator: Discriminator

    def networks(self, config: Any, card: DataSpec) -> tuple[family.Generator, nn.Module]:
        return gan.Generator(config, card), Discriminator(nn.Flatten(), PIXELS, config)

    @property
    def w(self) -> Tensor:
        return self.discriminator.score.weight[0].detach()

    @property
    def b(self) -> Tensor:
        return self.discriminator.score.bias[0].detach()


def linear(**settings: Any) -> Linear:
    return Linear(GANConfig(widths=(16,), latent=4, **settings), CARD)


def dcgan(**settings: Any) -> DCGAN:
    return DCGAN(DCGANConfig(width=4, latent=4, **settings), DEEP)


def adversary(made: Trainer) -> Adversarial:
    return cast(Adversarial, made.family)


def trainer(name: str, steps: int = 8, **change: Any) -> tuple[Trainer, Batches]:
    chosen = tiny.settings(steps=steps, micro_batches=1)
    return tiny.trainer(name, chosen, change=change), Batches(tiny.split(), chosen.batch, chosen.seed)


# Objectives.


def test_an_undecided_discriminator_loses_two_bits() -> None:
    model = dcgan()
    nn.init.zeros_(cast(Discriminator, model.discriminator).score.weight)
    nn.init.zeros_(cast(Discriminator, model.discriminator).score.bias)
    terms, observed = model.discriminator_loss(images(card=DEEP))
    assert {k: float(v.detach().mean()) for k, v in terms.items()} == {
        "real": pytest.approx(math.log(2)),
        "fake": pytest.approx(math.log(2)),
    }
    assert {k: float(v.detach().mean()) for k, v in observed.items()} == {
        "D(x)": 0.5,
        "D(G(z))": 0.5,
        "auc": 0.5,
        "loss": pytest.approx(math.log(2)),
    }


@pytest.mark.parametrize("name", OBJECTIVES)
def test_probabilities_are_shown_where_scores_are_their_logits(name: str) -> None:
    model = linear(loss=name)
    batch = images()
    _, observed = model.discriminator_loss(batch)
    score = flat(batch.image) @ model.w + model.b
    expected = score.sigmoid() if name in ("non_saturating", "minimax") else score
    torch.testing.assert_close(observed["D(x)"].detach(), expected)


# Penalties.


def test_penalties_in_the_loss_carry_their_weight_and_nothing_else() -> None:
    for loss in ("hinge", "wasserstein", "relativistic"):
        model = linear(loss=loss, gradient_penalty=10.0, r1=0.6, r2=0.4, instance_noise=0.3)
        terms, _ = model.discriminator_loss(images())
        length = float(model.w.norm())
        expected = {"penalty": 10 * (length - 1) ** 2, "r1": 0.3 * length**2, "r2": 0.2 * length**2}
        for key, value in expected.items():
            assert terms[key].tolist() == pytest.approx([value] * 4, rel=1e-4)


class Quadratic(nn.Module):
    """D(x) = s |x|^2 / 2, whose slope at x is s x."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return self.s * x.square().flatten(1).sum(1) / 2


def test_each_penalty_is_taken_at_its_place_and_moves_d(monkeypatch: pytest.MonkeyPatch) -> None:
    """At images gamma/2 s^2 |x|^2, at samples alike, between them lambda (s |x^| - 1)^2."""
    model, batch = linear(gradient_penalty=10.0, r1=0.6, r2=0.4), images()
    x, fake = batch.image, torch.randn(4, *CARD.shape, requires_grad=True)
    model.discriminator = critic = Quadratic()  # type: ignore[assignment]
    monkeypatch.setattr(model, "fake", lambda _: fake)
    assert x is not None
    torch.manual_seed(1)
    middle = between(x, fake)
    torch.manual_seed(1)
    terms, _ = model.discriminator_loss(batch)
    s = torch.tensor(0.5, requires_grad=True)
    at_x, at_fake, at_middle = (flat(place).norm(dim=1) for place in (x, fake, middle))
    expected = {
        "penalty": 10 * (s * at_middle - 1).square(),
        "r1": 0.3 * (s * at_x).square(),
        "r2": 0.2 * (s * at_fake).square(),
    }
    for key, value in expected.items():
        torch.testing.assert_close(terms[key], value, rtol=1e-4, atol=1e-5)
        slopes = [
            torch.autograd.grad(term.sum(), by, retain_graph=True)[0]
            for term, by in ((terms[key], critic.s), (value, s))
        ]
        torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_penalties_are_not_part_of_the_logged_loss() -> None:
    model, batch, logged = linear(gradient_penalty=10.0, r1=5.0), images(), []
    for penalised in (True, False):
        model.config = model.config.model_copy(
            update={} if penalised else {"gradient_penalty": 0.0, "r1": 0.0}
        )
        torch.manual_seed(1)
        terms, observed = model.discriminator_loss(batch)
        logged.append(float(observed["loss"]))
        assert logged[-1] == pytest.approx(float((terms["real"].mean() + terms["fake"].mean()).detach()) / 2)
    assert logged[0] == logged[1]


def test_a_penalty_is_an_image_s_own() -> None:
    model, x = dcgan(norm="none"), images(6, card=DEEP).image
    assert x is not None

    def penalties(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return one_centred(model.discriminator(x), x).detach()

    alone = torch.cat([penalties(image[None]) for image in x])
    torch.testing.assert_close(penalties(x), alone, rtol=1e-4, atol=1e-6)


def test_r1_through_augmentations_reaches_the_discriminator() -> None:
    model = dcgan(norm="none", r1=1.0, augment=("colour", "translation", "cutout", "geometry"))
    terms, _ = model.discriminator_loss(images(card=DEEP))
    terms["r1"].mean().backward()
    weights = [p for name, p in model.discriminator.named_parameters() if name.endswith("weight")]
    assert all(w.grad is not None and w.grad.isfinite().all() and w.grad.abs().sum() > 0 for w in weights)


def test_r1_does_not_see_what_is_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear(r1=2.0, augment=("cutout",))
    masks: list[Tensor] = []

    def without_the_middle(x: Tensor, kinds: object, p: object) -> Tensor:
        mask = torch.ones_like(x)
        mask[:, :, 2:6, 2:6] = 0
        masks.append(mask[0].flatten())
        return x * mask

    monkeypatch.setattr(adversarial, "augmented", without_the_middle)
    terms, _ = model.discriminator_loss(images())
    expected = float((model.w * masks[0]).square().sum())
    assert terms["r1"].tolist() == pytest.approx([expected] * 4, rel=1e-4)


# Statistics of the batch.


# Bounds on the weights of D.


@pytest.mark.parametrize("clip", [0.01, 0.05])
def test_weights_are_clipped_after_each_update(clip: float) -> None:
    made, data = trainer("wgan", clip_weights=clip, lr=0.1)
    for _ in range(4):
        made.step(data)
        largest = max(float(p.detach().abs().max()) for p in adversary(made).discriminator.parameters())
        assert largest == pytest.approx(clip)
    assert max(float(p.detach().abs().max()) for p in made.family.generator.parameters()) > clip


# Unrolling.


def losses_and_slopes(model: Adversarial, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """G's loss and its gradient by G's parameters, always with the same noise."""
    torch.manual_seed(3)
    loss = model.generator_loss(batch)[0]["score"].mean()
    return loss.detach(), list(torch.autograd.grad(loss, list(model.generator.parameters())))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_unrolling_by_no_steps_changes_nothing(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = dcgan(norm=norm), images(card=DEEP)
    plain = losses_and_slopes(model, batch)
    unrolled = model.unrolled

    def generator_loss(batch: Batch) -> tuple[Terms, Terms]:
        fake = model.fake(batch)
        f = unrolled(model.discriminator, batch.image, fake, batch)(
            model.augmented_input(fake, batch), batch.label
        )
        return {"score": model.objective.generator(f, f)}, {}

    monkeypatch.setattr(model, "generator_loss", generator_loss)
    loss, slopes = losses_and_slopes(model, batch)
    assert torch.equal(loss, plain[0])
    assert all(torch.equal(a, b) for a, b in zip(slopes, plain[1], strict=True))


def test_one_unrolled_step_of_a_linear_critic_by_hand() -> None:
    """w' = w - a (m - x), b' = b, with m and x the mean sample and image; G minimises -w'.m.

    The gradient of that by m is -(w - a (m - x)) + a m: the last term is D's answer to G.
    """
    a = 0.3
    model, batch = linear(loss="wasserstein", unrolled_steps=1, unrolled_lr=a), images()
    fake = torch.randn(4, *CARD.shape, requires_grad=True)
    f = model.unrolled(model.discriminator, batch.image, fake, batch)(fake, None)
    mean, x = flat(fake).mean(0), flat(batch.image).mean(0)
    ahead = model.w - a * (mean - x)
    torch.testing.assert_close(f.detach(), flat(fake) @ ahead + model.b)
    (slope,) = torch.autograd.grad((-f).mean(), fake)
    for image in flat(slope):
        torch.testing.assert_close(image, (-ahead + a * mean) / 4)


def test_two_unrolled_steps_of_the_cross_entropy_by_hand() -> None:
    a = 0.2
    model, batch = linear(unrolled_steps=2, unrolled_lr=a, label_smoothing=0.1), images()
    fake = torch.randn(4, *CARD.shape)
    result = model.unrolled(model.discriminator, batch.image, fake, batch)(fake, None).detach()
    x, g, w, b = flat(batch.image), flat(fake), model.w, model.b
    for _ in range(2):  # the derivative of a cross entropy by its logit is sigmoid - target
        on_x, on_g = (x @ w + b).sigmoid() - 0.9, (g @ w + b).sigmoid()
        w = w - a * ((on_x[:, None] * x).mean(0) + (on_g[:, None] * g).mean(0))
        b = b - a * (on_x.mean() + on_g.mean())
    torch.testing.assert_close(result, g @ w + b)


def test_unrolling_minds_d_s_answer_to_g(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = dcgan(unrolled_steps=2), images(card=DEEP)
    loss, slopes = losses_and_slopes(model, batch)
    unrolled = model.unrolled
    monkeypatch.setattr(model, "unrolled", lambda d, x, fake, batch: unrolled(d, x, fake.detach(), batch))
    same, others = losses_and_slopes(model, batch)
    torch.testing.assert_close(loss, same)
    assert not all(torch.allclose(a, b, rtol=1e-3) for a, b in zip(slopes, others, strict=True))


@pytest.mark.parametrize(("change", "buffer"), [
    ({"norm": "batch"}, "running_mean"),
    ({"norm": "none", "spectral_norm": True}, "_u"),
])  # fmt: skip
def test_unrolling_leaves_the_discriminator_alone(change: Mapping[str, Any], buffer: str) -> None:
    model, batch = dcgan(**change, unrolled_steps=3), images(card=DEEP)
    optimizer = model.phases[0].optimizer
    torch.stack([term.mean() for term in model.discriminator_loss(batch)[0].values()]).sum().backward()
    optimizer.step()
    state = model.discriminator.state_dict(), optimizer.state_dict()["state"]
    before = copy.deepcopy(state)
    model.generator_loss(batch)[0]["score"].mean().backward()
    assert any(key.endswith(buffer) for key in before[0])
    assert equal((model.discriminator.state_dict(), optimizer.state_dict()["state"]), before)


# Noise and augmentations.


def test_instance_noise_falls_in_a_straight_line() -> None:
    model = linear(instance_noise=0.4, instance_noise_steps=100)
    levels = {0: 0.4, 25: 0.3, 50: 0.2, 100: 0.0, 1000: 0.0}
    for step, level in levels.items():
        model.begin(step)
        assert model.sigma == pytest.approx(level)
        noisy = model.augmented_input(torch.zeros(200, *CARD.shape), images(200))
        assert float(noisy.std()) == pytest.approx(level, abs=0.01)
    assert model.augmented_input(x := torch.ones(2, *CARD.shape), images(2)) is x


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], float]]:
    calls: list[tuple[tuple[str, ...], float]] = []

    def augmented(x: Tensor, kinds: Any, p: Any) -> Tensor:
        calls.append((tuple(kinds), float(p)))
        return x

    monkeypatch.setattr(adversarial, "augmented", augmented)
    return calls


@pytest.mark.parametrize(("change", "in_d", "in_g"), [
    ({}, 2, 1),
    ({"loss": "relativistic"}, 2, 2),
    ({"gradient_penalty": 1.0}, 3, 1),
    ({"r1": 1.0, "r2": 1.0}, 2, 1),
    ({"unrolled_steps": 2}, 2, 1 + 2 * 2),
])  # fmt: skip
def test_all_that_d_sees_is_augmented_and_in_both_phases(
    change: dict[str, Any], in_d: int, in_g: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = recorded(monkeypatch)
    model = linear(augment=("translation", "colour"), augment_p=0.25, **change)
    model.discriminator_loss(images())
    assert calls == [(("translation", "colour"), 0.25)] * in_d
    model.generator_loss(images())
    assert len(calls) == in_d + in_g and len(set(calls)) == 1


@pytest.mark.parametrize(("bias", "after"), [(5.0, [0.35, 0.4, 0.45]), (-5.0, [0.25, 0.2, 0.15])])
def test_p_rises_while_d_knows_the_images_and_falls_otherwise(bias: float, after: list[float]) -> None:
    made, data = trainer("gan", augment=["cutout"], augment_p=0.3, ada_target=0.6, ada_steps=20)
    nn.init.constant_(cast(Discriminator, adversary(made).discriminator).score.bias, bias)
    values = []
    for _ in range(3):
        made.step(data)
        values.append(float(made.family.state_dict()["augment_p"]))
    assert values == pytest.approx(after)


@pytest.mark.parametrize(("loss", "undecided"), [
    ("non_saturating", 0.0),
    ("minimax", 0.0),
    ("hinge", 0.0),
    ("least_squares", 0.5),
])  # fmt: skip
def test_the_sign_that_moves_p_is_that_of_the_advantage_over_guessing(loss: str, undecided: float) -> None:
    """Least squares have 1 for images and 0 for samples, so there D guesses at a half."""
    model, guess = linear(loss=loss, augment=("cutout",), ada_target=0.6), torch.tensor(undecided)
    terms = OBJECTIVES[loss].discriminator(guess, guess, 0.0)
    assert terms["real"] == terms["fake"]
    r = torch.tensor([undecided - 0.1, undecided, undecided + 0.1, undecided + 0.2])
    assert model.observed(r, r)["sign"].tolist() == [-1, 0, 1, 1]


def test_p_starts_at_0_with_a_target_and_at_1_without() -> None:
    adaptive = linear(augment=("cutout",), ada_target=0.6)
    assert float(adaptive.augment_p) == 0
    assert float(linear(augment=("cutout",)).augment_p) == 1
    assert float(linear(augment=("cutout",), ada_target=0.6, augment_p=0.3).augment_p) == pytest.approx(0.3)
    assert float(adaptive.changed({"ada_target": None}).augment_p) == 1
    for _ in range(100):
        adaptive.after_discriminator({"sign": torch.tensor(0.1)})
    assert float(adaptive.augment_p) == 0


@pytest.mark.parametrize(("bias", "end"), [(5.0, 1.0), (-5.0, 0.0)])
def test_p_stays_a_probability(bias: float, end: float) -> None:
    made, data = trainer("gan", augment=["cutout"], augment_p=0.5, ada_target=0.6, ada_steps=3)
    nn.init.constant_(cast(Discriminator, adversary(made).discriminator).score.bias, bias)
    for _ in range(4):
        made.step(data)
    assert float(adversary(made).augment_p) == end


def test_p_stays_where_it_is_without_a_target() -> None:
    made, data = trainer("gan", augment=["cutout"], augment_p=0.5)
    made.step(data)
    assert float(adversary(made).augment_p) == 0.5
    assert not made.family.phases[0].after


# Which phase, how often, how fast.


def updates(made: Trainer, data: Batches, steps: int) -> list[tuple[str, int]]:
    """The updates of some steps: the phase, and which images (numbered as they came) it was shown."""
    order: list[tuple[str, int]] = []
    distinct: list[float] = []

    def watched(phase: family.Phase) -> Callable[[Batch], Any]:
        def loss(batch: Batch) -> Any:
            assert batch.image is not None
            image = float(batch.image.double().sum())
            if image not in distinct:
                distinct.append(image)
            order.append((phase.name[0], distinct.index(image)))
            return phase.loss(batch)

        return loss

    made.family.phases = [dataclasses.replace(p, loss=watched(p)) for p in made.family.phases]
    for _ in range(steps):
        made.step(data)
    return order


@pytest.mark.parametrize(("change", "expected"), [
    ({}, "d0 g0 d1 g1 d2 g2 d3 g3 d4 g4 d5 g5"),
    ({"n_critic": 3}, "d0 d1 d2 g2 d3 d4 d5 g5"),
    ({"n_generator": 2}, "g0 d1 g1 g2 d3 g3 g4 d5 g5"),
])  # fmt: skip
def test_every_update_of_d_sees_other_images(change: dict[str, int], expected: str) -> None:
    made, data = trainer("gan", steps=100, **change)
    assert " ".join(f"{name}{i}" for name, i in updates(made, data, 6)) == expected


def test_d_has_a_learning_rate_of_its_own() -> None:
    for chosen, expected in ((None, 1e-3), (4e-3, 4e-3)):
        phases = linear(lr=1e-3, lr_discriminator=chosen).phases
        rates = {phase.name: [g["lr"] for g in phase.optimizer.param_groups] for phase in phases}
        assert rates == {"discriminator": [expected], "generator": [1e-3]}


PAPERS: dict[str, dict[str, Any]] = {
    "gan": {"loss": "non_saturating", "lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "n_critic": 1},
    "dcgan": {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "n_critic": 1, "norm": "batch", "latent": 100},
    "wgan": {
        "loss": "wasserstein",
        "optimizer": "rmsprop",
        "lr": 5e-5,
        "n_critic": 5,
        "clip_weights": 0.01,
        "norm": "batch",
    },
    "wgan_gp": {
        "loss": "wasserstein",
        "lr": 1e-4,
        "beta1": 0.5,
        "beta2": 0.9,
        "n_critic": 5,
        "gradient_penalty": 10,
        "clip_weights": None,
        "norm": "none",
    },
    "sngan": {
        "loss": "hinge",
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "n_critic": 5,
        "spectral_norm": True,
        "norm": "none",
    },
    "pix2pix": {"loss": "non_saturating", "lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "n_critic": 1, "l1": 100},
    "cyclegan": {
        "loss": "least_squares",
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "cycle": 10,
        "identity": 0.5,
        "pool": 50,
    },
    "esrgan": {
        "loss": "relativistic_average",
        "lr": 1e-4,
        "beta1": 0.9,
        "beta2": 0.999,
        "gan": 5e-3,
        "l1": 1e-2,
        "perceptual": 1.0,
        "perceptual_layer": 5,
        "width": 64,
    },
    "cgan": {"loss": "non_saturating", "condition": "concatenation"},
    "stylegan": {
        "loss": "non_saturating",
        "optimizer": "adam",
        "latent": 512,
        "width": 512,
        "mapping_depth": 8,
        "mapping_lr_multiplier": 0.01,
        "channel_max": 512,
        "lr": 0.001,
        "beta1": 0,
        "beta2": 0.99,
        "minibatch_stddev": 4,
        "r1": 10,
        "mixing": 0.9,
        "first_resolution": 8,
        "stable_images": 600_000,
        "fade_images": 600_000,
    },
    "stylegan2": {
        "loss": "non_saturating",
        "latent": 512,
        "width": 512,
        "mapping_depth": 8,
        "mapping_lr_multiplier": 0.01,
        "lr": 0.0025,
        "beta1": 0,
        "beta2": 0.99,
        "minibatch_stddev": 4,
        "r1_every": 16,
        "path_weight": 2,
        "path_decay": 0.01,
        "mixing": 0.9,
    },
    "stylegan3": {  # Karras et al. 2021, App. F.2
        "loss": "non_saturating",
        "optimizer": "adam",
        "lr": 0.0025,
        "lr_discriminator": 0.002,
        "beta1": 0.0,
        "beta2": 0.99,
        "latent": 512,
        "mapping_depth": 2,
        "layers": 14,
        "mixing": 0.0,
        "path_weight": 0.0,
    },
    "r3gan": {"loss": "relativistic", "beta1": 0, "beta2": 0.9, "r1": 0.05, "r2": 0.05, "norm": "none"},
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_defaults_are_the_paper_s(name: str) -> None:
    config = FAMILIES[name].Config().model_dump()
    assert {key: config[key] for key in PAPERS[name]} == PAPERS[name]


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_optimizers_are_those_of_the_settings(name: str) -> None:
    lazy = name in ("stylegan2", "stylegan3")
    without_lazy_phases = {"r1": 0.0, "path_weight": 0.0} if lazy else {}
    made = tiny.trainer(name, change=without_lazy_phases).family
    config = cast(AdversarialConfig, made.config)
    for optimizer, rate in zip(made.optimizers, (config.lr_d, config.lr), strict=True):
        (group,) = optimizer.param_groups
        assert group["lr"] == rate and not group["weight_decay"]
        if config.optimizer == "rmsprop":
            assert isinstance(optimizer, torch.optim.RMSprop)
            assert (group["alpha"], group["momentum"], group["centered"]) == (0.99, 0, False)
        else:
            assert group["betas"] == (config.beta1, config.beta2)
    assert sorted(phase.name for phase in made.phases) == ["discriminator", "generator"]


@pytest.mark.parametrize(("name", "norms"), [
    ("dcgan", 1),
    ("wgan", 1),
    ("cgan", 1),
    ("wgan_gp", 0),
    ("sngan", 0),
    ("r3gan", 0),
])  # fmt: skip
def test_a_penalised_discriminator_has_no_batch_norm(name: str, norms: int) -> None:
    config = FAMILIES[name].Config(**tiny.CONFIGS[name])
    made = cast(Adversarial, FAMILIES[name](config, dataclasses.replace(DEEP, num_classes=10)))
    assert len(batch_norms(made.discriminator)) == norms


# What is refused.


# Conditions.


def test_the_generator_s_loss_is_its_score_under_d() -> None:
    model, batch = linear(), images()
    torch.manual_seed(2)
    terms, observed = model.generator_loss(batch)
    torch.manual_seed(2)
    f = flat(model.fake(batch)) @ model.w + model.b
    torch.testing.assert_close(terms["score"].detach(), softplus(-f))
    torch.testing.assert_close(observed["D(G(z))"].detach(), f.sigmoid())
