"""Adversarial losses and gradient penalties, against formulas written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.adversarial_config import AdversarialConfig
from models.parts import losses
from models.parts.losses import OBJECTIVES, auc, between, one_centred, zero_centred
from models.search_space import searchable

pytestmark = pytest.mark.usefixtures("seeded")

R, F = 0.7, -1.2  # D of an image and of a sample


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


BY_HAND: dict[str, tuple[dict[str, float], float]] = {
    "non_saturating": ({"real": -log_sigmoid(R), "fake": -log_sigmoid(-F)}, -log_sigmoid(F)),
    "minimax": ({"real": -log_sigmoid(R), "fake": -log_sigmoid(-F)}, log_sigmoid(-F)),
    "least_squares": ({"real": (R - 1) ** 2 / 2, "fake": F**2 / 2}, (F - 1) ** 2 / 2),
    "hinge": ({"real": 1 - R, "fake": 0.0}, -F),
    "wasserstein": ({"real": -R, "fake": F}, -F),
    "relativistic": ({"pair": -log_sigmoid(R - F)}, -log_sigmoid(F - R)),
    "relativistic_average": (
        {"real": -log_sigmoid(R - F), "fake": -log_sigmoid(R - F)},
        -log_sigmoid(F - R),
    ),
}


def test_every_objective_is_here() -> None:
    assert BY_HAND.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_by_hand(name: str) -> None:
    objective, (expected, of_generator) = OBJECTIVES[name], BY_HAND[name]
    r, f = torch.full((3,), R, dtype=torch.float64), torch.full((3,), F, dtype=torch.float64)
    terms = objective.discriminator(r, f, 0.0)
    assert {key: term.tolist() for key, term in terms.items()} == {
        key: pytest.approx([value] * 3) for key, value in expected.items()
    }
    assert objective.generator(f, r).tolist() == pytest.approx([of_generator] * 3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_of_a_sure_discriminator_stay_finite(name: str) -> None:
    for score in (1e4, -1e4):
        r, f = (torch.tensor([value], requires_grad=True) for value in (score, -score))
        terms = OBJECTIVES[name].discriminator(r, f, 0.0)
        loss = torch.stack([*terms.values(), OBJECTIVES[name].generator(f, r)])
        loss.sum().backward()
        assert loss.isfinite().all() and all(s.grad is None or s.grad.isfinite().all() for s in (r, f))


def test_only_the_saturating_loss_stops_teaching_where_d_is_sure() -> None:
    slopes = {}
    for name, objective in OBJECTIVES.items():
        f = torch.tensor([-20.0], requires_grad=True)
        objective.generator(f, torch.tensor([20.0])).sum().backward()
        assert f.grad is not None and f.grad < 0  # G wants a higher score, always
        slopes[name] = abs(float(f.grad))
    assert slopes.pop("minimax") < 1e-8 and min(slopes.values()) > 0.99


def test_a_relativistic_loss_at_equal_scores_is_log_2_twice() -> None:
    score = torch.randn(5, dtype=torch.float64)
    objective = OBJECTIVES["relativistic"]
    for result in (objective.discriminator(score, score, 0.0)["pair"], objective.generator(score, score)):
        torch.testing.assert_close(result, torch.full_like(score, math.log(2)))


def test_relativistic_averages_at_equal_scores_are_log_2() -> None:
    score, objective = torch.full((5, 2, 2), 0.8, dtype=torch.float64), OBJECTIVES["relativistic_average"]
    terms = objective.discriminator(score, score, 0.0)
    for loss in (terms["real"], terms["fake"], objective.generator(score, score)):
        torch.testing.assert_close(loss, torch.full_like(score, math.log(2)))


def test_relativistic_averages_by_hand() -> None:
    """Each score against the mean of the others: means 1 and -1."""
    r, f = torch.tensor([0.0, 2.0]), torch.tensor([-2.5, 0.5])
    terms = OBJECTIVES["relativistic_average"].discriminator(r, f, 0.0)
    assert terms["real"].tolist() == pytest.approx([-log_sigmoid(1), -log_sigmoid(3)])
    assert terms["fake"].tolist() == pytest.approx([-log_sigmoid(3.5), -log_sigmoid(0.5)])
    of_generator = OBJECTIVES["relativistic_average"].generator(f, r).tolist()
    assert of_generator == pytest.approx([
        (-log_sigmoid(-1) - log_sigmoid(-3.5)) / 2,
        (-log_sigmoid(-3) - log_sigmoid(-0.5)) / 2,
    ])  # fmt: skip


def test_label_smoothing_is_the_cross_entropy_with_a_smaller_target() -> None:
    r, f, s = torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64), 0.1
    terms = losses.cross_entropy(r, f, s)
    for result, score, target in ((terms["real"], r, 1 - s), (terms["fake"], f, 0.0)):
        goal = torch.full_like(score, target)
        torch.testing.assert_close(result, binary_cross_entropy_with_logits(score, goal, reduction="none"))


def test_smoothed_targets_of_squares_and_hinges() -> None:
    r, f = torch.tensor([0.9, 0.5, 2.0]), torch.tensor([-3.0, 0.0, 0.5])
    squares, hinges = losses.least_squares(r, f, 0.1), losses.hinge(r, f, 0.1)
    assert squares["real"].tolist() == pytest.approx([0, 0.08, 0.605], abs=1e-6)
    assert hinges["real"].tolist() == pytest.approx([0, 0.4, 0], abs=1e-6)
    assert squares["fake"].tolist() == pytest.approx([4.5, 0, 0.125])
    assert hinges["fake"].tolist() == pytest.approx([0, 1, 1.5])  # one-sided: samples stay 0


def test_auc_by_hand() -> None:
    r, f = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5])
    assert float(auc(r, f)) == pytest.approx((0.5 + 0 + 1 + 0 + 1 + 1) / 6)
    assert float(auc(r, r - 10)) == 1 and float(auc(r - 10, r)) == 0 and float(auc(r, r)) == 0.5


def test_penalties_of_a_linear_critic() -> None:
    x = torch.randn(5, 3, 4, dtype=torch.float64).requires_grad_()
    w = torch.randn(3, 4, dtype=torch.float64)
    length = float(w.norm())
    score = (x * w).sum((1, 2)) + 3
    for penalty, expected in ((one_centred, (length - 1) ** 2), (zero_centred, length**2 / 2)):
        assert penalty(score, x).tolist() == pytest.approx([expected] * 5)


def test_r1_of_20_is_the_authors_10() -> None:
    """LMescheder/GAN_stability multiplies |grad D|^2 by reg_param, 10, without the 1/2 of Eq. 9."""
    x = torch.randn(5, 3, 4, dtype=torch.float64).requires_grad_()
    w = torch.randn(3, 4, dtype=torch.float64)
    penalty = 20 * zero_centred((x * w).sum((1, 2)), x)
    assert penalty.tolist() == pytest.approx([10 * float(w.square().sum())] * 5)
    for field in ("r1", "r2"):
        space = searchable(AdversarialConfig)[field]
        assert space.recommended == 10 and "2018: 10 (authors' code: 20," in space.source


def test_a_flat_critic_has_a_finite_penalty_with_a_gradient() -> None:
    x, w = torch.randn(4, 6).requires_grad_(), torch.zeros(6, requires_grad=True)
    for penalty, expected in ((one_centred, 1.0), (zero_centred, 0.0)):
        value = penalty((x * w).sum(1), x).mean()
        assert float(value.detach()) == pytest.approx(expected, abs=1e-5)
        (slope,) = torch.autograd.grad(value, w)
        assert slope.isfinite().all()


def test_a_nearly_flat_critic_is_pushed_to_a_slope_of_one() -> None:
    x, w = torch.randn(4, 6).requires_grad_(), torch.full((6,), 1e-3, requires_grad=True)
    (slope,) = torch.autograd.grad(one_centred((x * w).sum(1), x).mean(), w)
    assert float(slope.norm()) == pytest.approx(2, rel=0.01) and (slope < 0).all()


def test_the_penalty_is_taken_on_lines_between_images_and_samples() -> None:
    x, fake = torch.randn(500, 1, 3, 3), torch.randn(500, 1, 3, 3)
    t = (between(x, fake) - fake) / (x - fake)
    torch.testing.assert_close(t, t[:, :, :1, :1].expand_as(t), rtol=1e-2, atol=1e-3)
    place = t[:, 0, 0, 0]
    assert place.min() > -1e-3 and place.max() < 1 + 1e-3
    assert float(place.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(place.var()) == pytest.approx(1 / 12, abs=0.01)
