"""Averages made after training, against averages computed directly."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from components.data import card as data_card
from components.data.batches import Batches
from components.data.card import DatasetCard
from components.records import names
from components.records.health import HealthEvent
from components.records.training import SavedWeights, Selection, TrainingResult
from components.report import checkpoints
from components.store import Store
from components.training import inputs, job, posthoc_ema, request
from components.training.ema import decay
from components.training.log import NullLog
from components.training.loop import train, try_posthoc_ema
from components.training.posthoc_ema import (
    TRACKED,
    PowerFunctionEMAs,
    Profile,
    exponent,
    inner,
    relative_length,
    solve,
)
from models.family import Remedy
from tests import tiny
from tests.training.test_loop import Judged

LENGTHS = (0.03, 0.05, 0.1, 0.15, 0.2)


# Profiles


def sampled(profile: Profile, n: int = 200_000) -> tuple[np.ndarray, np.ndarray, float]:
    """The middle of many intervals of [0, end], the profile there, and their width."""
    width = profile.end / n
    tau = (np.arange(n) + 0.5) * width
    return tau, (profile.gamma + 1) * tau**profile.gamma / profile.end ** (profile.gamma + 1), width


@pytest.mark.parametrize("length", LENGTHS)
def test_a_profile_adds_up_to_one_and_is_as_wide_as_its_length_says(length: float) -> None:
    tau, p, width = sampled(Profile(7.0, exponent(length)))
    mean = (p * tau).sum() * width
    deviation = math.sqrt((p * (tau - mean) ** 2).sum() * width)
    assert p.sum() * width == pytest.approx(1, rel=1e-6)
    assert deviation / 7 == pytest.approx(length, rel=1e-5)


@pytest.mark.parametrize("length", [0.01, *LENGTHS, 0.28])
def test_the_exponent_solves_its_equation(length: float) -> None:
    assert exponent(length) > 0 and relative_length(exponent(length)) == pytest.approx(length, rel=1e-9)


def test_exponents_of_the_tracks() -> None:
    """As the paper rounds them."""
    assert [exponent(length) for length in TRACKED] == pytest.approx([16.97, 6.94], abs=0.005)


@pytest.mark.parametrize("ends", [(3.0, 7.0), (7.0, 3.0), (5.0, 5.0)])
def test_inner_products_are_integrals(ends: tuple[float, float]) -> None:
    a, b = Profile(ends[0], exponent(0.05)), Profile(ends[1], exponent(0.2))
    tau, p, width = sampled(a)
    q = np.where(tau <= b.end, (b.gamma + 1) * tau**b.gamma / b.end ** (b.gamma + 1), 0)
    assert inner(a, b) == pytest.approx((p * q).sum() * width, rel=1e-4)
    assert inner(a, b) == inner(b, a)


def test_in_proportion_to_the_run_is_a_power_function_average() -> None:
    """After 1000 steps either gives every earlier step the same weight, whatever the size of batches."""
    gamma = math.log(2) / 0.05 - 1
    ours = [decay(64, 64 * step, None, 0.05) for step in range(1, 1001)]
    reference = [posthoc_ema.decay(step, gamma) for step in range(1, 1001)]

    def given(decays: list[float]) -> np.ndarray:
        later = np.append(np.cumprod(decays[:0:-1])[::-1], 1)
        return (1 - np.array(decays)) * later

    assert given(ours).sum() == pytest.approx(1)
    assert np.abs(given(ours) - given(reference)).sum() < 0.02
    assert relative_length(gamma) == pytest.approx(0.063, abs=5e-4)
    assert decay(64, 10**9, None, 0.05) > decay(64, 10**9, 20_000, 0.05)


# Reconstruction


class Wanderer(nn.Module):
    """Weights that approach a goal ever slower and shake ever less, and one that never moves."""

    def __init__(self, steps: int):
        super().__init__()
        self.weight, self.still = nn.Parameter(torch.zeros(300)), nn.Parameter(torch.full((2,), 3.0))
        random = np.random.default_rng(0)
        t, walk = np.arange(steps)[:, None] / steps, np.zeros((steps, 300))
        for i in range(1, steps):
            walk[i] = 0.95 * walk[i - 1] + 0.1 * random.normal(size=300) * math.sqrt(1 - i / steps)
        self.path = 1 + 3 * np.exp(-6 * t) * random.normal(size=300) + walk

    @torch.no_grad()
    def go(self, step: int) -> None:
        self.weight.copy_(torch.from_numpy(self.path[step - 1]))

    def average(self, length: float, steps: int) -> torch.Tensor:
        """The power-function average in float64, by the recursion."""
        average = np.zeros(300)
        for step in range(1, steps + 1):
            average += (1 - posthoc_ema.decay(step, exponent(length))) * (self.path[step - 1] - average)
        return torch.from_numpy(average)


def remade(
    snapshots: int, lengths: tuple[float, ...], steps: int = 800
) -> tuple[Wanderer, PowerFunctionEMAs, Any]:
    walker = Wanderer(steps)
    tracks, stored = PowerFunctionEMAs(walker), []
    for step in range(1, steps + 1):
        walker.go(step)
        tracks.update(walker, step)
        if step % (steps // snapshots) == 0:
            tracks.mark(1, step)
            stored.append(posthoc_ema.decode(posthoc_ema.encode(posthoc_ema.flat(tracks.parameters))))
    return walker, tracks, posthoc_ema.averages(lengths, tracks.moments, stored, steps)


def test_tracks_are_the_averages_they_say() -> None:
    walker, tracks, made = remade(8, TRACKED)
    for length, (parameters, missed) in zip(TRACKED, made, strict=True):
        assert torch.allclose(
            tracks.parameters[length]["weight"].double(), walker.average(length, 800), atol=1e-5
        )
        assert torch.allclose(parameters["weight"], tracks.parameters[length]["weight"], atol=1e-5)
        assert missed < 1e-5


@pytest.mark.parametrize(
    ("snapshots", "length", "error"),
    [(16, 0.03, 0.06), (8, 0.07, 0.03), (8, 0.15, 0.04), (16, 0.15, 0.01), (16, 0.2, 0.05)],
)
def test_other_lengths_are_made_of_two_tracks(snapshots: int, length: float, error: float) -> None:
    """The error is a share of how far the average is from the last weights."""
    walker, _, [(parameters, missed)] = remade(snapshots, (length,))
    wanted = walker.average(length, 800)
    off = (parameters["weight"].double() - wanted).norm() / (walker.weight.double() - wanted).norm()
    assert off < error and missed < 0.05
    assert torch.allclose(parameters["still"], torch.full((2,), 3.0), atol=1e-5)


def test_the_closest_combination_is_found() -> None:
    """No other weights that add up to 1 come closer."""
    stored = [Profile(end, exponent(length)) for end in (50, 100) for length in TRACKED]
    wanted, random = Profile(100, exponent(0.15)), np.random.default_rng(0)

    def missed(x: np.ndarray) -> float:
        both = sum(x[i] * x[j] * inner(a, b) for i, a in enumerate(stored) for j, b in enumerate(stored))
        cross = sum(w * inner(a, wanted) for w, a in zip(x, stored, strict=True))
        return math.sqrt((both - 2 * cross + inner(wanted, wanted)) / inner(wanted, wanted))

    x, least = solve(stored, wanted)
    assert x.sum() == pytest.approx(1) and missed(x) == pytest.approx(least)
    for _ in range(20):
        change = random.normal(size=4) * 0.05
        assert missed(x + change - change.mean()) > least


# In training


class Jury(Judged):
    """A log whose jury knows the steps' scores and, after the last, those of lengths in their order."""

    def __init__(self, scores: dict[int, float], after: tuple[float, ...]):
        super().__init__(scores)
        self.after, self.trained, self.seen = list(after), False, []  # type: ignore[var-annotated]

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        if not self.trained:
            return super().judge(step, generator)
        self.seen.append({name: value.clone() for name, value in generator.state_dict().items()})
        score = self.after.pop(0)
        return {"score": score, "kid": score}


SCORES = {0: 9.0, 4: 3.0, 8: 1.0, 12: 2.0, 16: 5.0}


def trained(
    after: tuple[float, ...], resume: Any = None, tracks: Any = None, name: str = "dcgan", **changes: Any
) -> tuple[Any, Jury]:
    chosen = tiny.settings(
        **{"steps": 16, "num_snapshots": 4, "checkpoint_every": 4, "ema_sigma_rel": (0.1, 0.15), **changes}
    )
    trainer, log = tiny.trainer(name, chosen), Jury(SCORES, after)
    log.tracks |= tracks or {}
    train(trainer, Batches(tiny.split(), 8, 0), log, resume=resume)
    log.trained = True
    return trainer, log


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_the_best_length_is_kept() -> None:
    trainer, log = trained((1.0, 0.9, 0.5))
    result = try_posthoc_ema(trainer, log)
    assert result.won == 0.15 and result.snapshots == 4
    assert [point["length"] for point in result.curve] == [None, 0.1, 0.15]
    assert [point["kid"] for point in result.curve] == [1.0, 0.9, 0.5]
    assert trainer.control.best_step == 16 and same(trainer.weights("best").state_dict(), log.seen[2])


def test_the_ordinary_average_is_kept_where_no_length_beats_it() -> None:
    trainer, log = trained((1.0, 1.0, 2.0))
    last = {name: value.clone() for name, value in trainer.ema.generator.state_dict().items()}
    assert try_posthoc_ema(trainer, log).won is None
    assert same(trainer.ema.generator.state_dict(), last)
    assert trainer.control.best_step == 8 and same(trainer.weights("best").state_dict(), log.seen[0])


def test_who_gives_out_the_last_weights_compares_with_those() -> None:
    trainer, log = trained((1.0, 2.0, 2.0), select="last")
    try_posthoc_ema(trainer, log)
    assert same(trainer.weights("last").state_dict(), log.seen[0])


def test_a_length_that_is_tracked_comes_back_with_its_own_statistics() -> None:
    """The parameters are the track's; BatchNorm's statistics are those of these parameters."""
    trainer, log = trained((1.0, 0.5, 0.9))
    assert try_posthoc_ema(trainer, log).won == 0.1
    made = dict(trainer.weights("best").named_parameters())
    for name, value in trainer.tracks.parameters[0.1].items():
        assert torch.allclose(made[name], value, atol=1e-6), name
    mean = next(name for name in log.seen[0] if name.endswith("running_mean"))
    assert not torch.equal(log.seen[1][mean], log.seen[0][mean])
    assert not torch.equal(log.seen[1][mean], log.seen[2][mean])


def test_a_resumed_training_has_the_same_tracks() -> None:
    through, log = trained((1.0, 0.9, 0.5))
    resumed, again = trained((1.0, 0.9, 0.5), log.saved[8], {m: log.tracks[m] for m in ((1, 4), (1, 8))})
    assert again.tracks == log.tracks and resumed.tracks.moments == [(1, s) for s in (4, 8, 12, 16)]
    assert same(resumed.tracks.state()["parameters"], through.tracks.state()["parameters"])
    for trainer, its in ((through, log), (resumed, again)):
        try_posthoc_ema(trainer, its)
    assert same(resumed.weights("best").state_dict(), through.weights("best").state_dict())


def test_every_process_keeps_the_same_tracks() -> None:
    """The others, whose logs are silent, go on from the first one's checkpoint too."""
    first, _ = trained(())
    other = tiny.trainer("dcgan", first.settings)
    train(other, Batches(tiny.split(), 8, 0), NullLog())
    assert other.tracks and other.tracks.moments == first.tracks.moments
    assert same(other.tracks.state()["parameters"], first.tracks.state()["parameters"])


def test_tracks_leave_the_weights_as_they_would_be_without() -> None:
    plain, log = trained((), ema_sigma_rel=())
    tracked, _ = trained(())
    assert plain.tracks is None and log.tracks == {} and log.saved[16]["tracks"] is None
    assert same(plain.family.state_dict(), tracked.family.state_dict())
    assert same(plain.ema.generator.state_dict(), tracked.ema.generator.state_dict())


@pytest.mark.parametrize(
    ("change", "moments"),
    [({}, [(1, 4), (2, 8), (2, 12), (2, 16)]), ({"width": 4}, [(2, 8), (2, 12), (2, 16)])],
)
def test_snapshots_behind_a_treatment_or_of_another_generator_do_not_count(
    change: dict[str, Any], moments: list[tuple[int, int]]
) -> None:
    """Step 8 of the first attempt is what the treatment went back behind."""
    trainer, log = trained(())
    trainer.treat(HealthEvent(step=8, attempt=1), Remedy("another", "nobody", change), log.saved[4])
    log.trained = False
    train(trainer, Batches(tiny.split(), 8, 0), log, resume=trainer.state())
    assert trainer.tracks.moments == moments and set(log.tracks) > set(moments)
    assert posthoc_ema.name((1, 8)) == "ema/step-0000008.safetensors" != posthoc_ema.name((2, 8))
    log.trained, log.after = True, [3.0, 2.0, 1.0]
    assert try_posthoc_ema(trainer, log).won == 0.15


@pytest.fixture
def fitted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains in the store of a folder, its samples judged by scores in the order of judging."""
    about = dict.fromkeys(("name", "title", "source", "licence", "credit"), "digits")
    card = DatasetCard(**about, resolution=8, channels=1, labels=list("0123456789"), counts={"train": 64})

    class Scores:
        evaluator = SimpleNamespace(described=Selection(metric="kid", split="validation", n=8))

        def __init__(self, scores: tuple[float, ...]):
            self.left = list(scores)

        def __call__(self, generator: nn.Module) -> dict[str, float]:
            score = self.left.pop(0)
            return {"score": score, "kid": score}

    def fit(
        scores: tuple[float, ...], name: str = "vae", **changes: Any
    ) -> tuple[TrainingResult | None, Store]:
        monkeypatch.setattr(data_card.DatasetCard, "read", lambda folder: card)
        monkeypatch.setattr(inputs, "open_split", lambda *_, **__: tiny.split())
        monkeypatch.setattr(job, "open_selector", lambda *_: Scores(scores))
        (tmp_path / "data").mkdir()
        chosen = tiny.settings(num_snapshots=2, sample_images=4, **changes)
        job.fit(
            request.TrainRequest(
                name, tiny.CONFIGS[name], chosen.model_dump(mode="json"), "data", "try", Store(tmp_path)
            )
        )
        attempt = Store(tmp_path / "try")
        return TrainingResult.read(attempt.read_json(names.RESULT)), attempt

    return fit


def test_a_length_that_wins_is_published(fitted: Any) -> None:
    result, attempt = fitted((3.0, 2.0, 1.0, 1.0, 1.0, 0.5), ema_sigma_rel=(0.1, 0.15))
    assert attempt.list("ema") == ["step-0000003.safetensors", "step-0000006.safetensors"]
    assert result.kept == "best" and result.averages.won == 0.15
    assert result.checkpoints == {
        "last": SavedWeights(step=6, model="model-last"),
        "best": SavedWeights(step=6, model="model"),
    }
    assert result.selected_by.ema_length == 0.15
    assert [(p["length"], p["kid"]) for p in result.averages.curve] == [
        (None, 1),
        (0.1, 1),
        (0.15, 0.5),
    ]
    published, last = (load(attempt.read_bytes(f"{m}/model.safetensors")) for m in ("model", "model-last"))
    assert published.keys() == last.keys() and not same(published, last)
    assert checkpoints.averages(result.averages) == (
        "KID by length of the average: ordinary 1.00; 0.1 1.00; 0.15 0.500 (kept)"
    )
    assert checkpoints.selected_by(result.selected_by) == (
        "lowest KID on 8 images of the validation split (an average of length 0.15)"
    )
    assert checkpoints.kept_step(result) is None


def test_nothing_is_written_when_off(fitted: Any) -> None:
    result, attempt = fitted((3.0, 2.0, 1.0))
    assert attempt.list("ema") == [] and result.averages is None and result.kept == "last"
    assert checkpoints.averages(result.averages) is None
    assert result.selected_by.ema_length is None and checkpoints.kept_step(result) == 6


# Settings
