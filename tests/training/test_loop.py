"""The loop's parts, each pinned by what it must give."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from components.common.errors import RunError
from components.data.batches import Batches
from components.training.loop import train
from components.training.validation import validation_batches
from tests import tiny


def test_early_stopping_keeps_the_best_weights() -> None:
    """Weights are ruined after step 20: training stops, and what is kept are those of the best step."""
    chosen = tiny.settings(steps=200, validate_every=5, patience=2, ema_half_life_images=0, batch=16)
    trainer, log = tiny.trainer("autoencoder", chosen), tiny.Memory()
    batches = Batches(tiny.split(), chosen.batch, 0)
    scores: dict[int, float] = {}
    select, step = trainer.select, trainer.step

    def worse_after_twenty(data: Any) -> None:
        step(data)
        if trainer.control.step > 20:
            with torch.no_grad():
                [p.add_(0.3 * torch.ones_like(p)) for p in trainer.family.parameters()]
            trainer.ema.update(16, 10**6)

    def noted(score: float) -> None:
        scores[trainer.control.step] = score
        select(score)

    trainer.step, trainer.select = worse_after_twenty, noted  # type: ignore[method-assign]
    trained = train(trainer, batches, log, validation=validation_batches(tiny.split(), 16))
    assert trained.control.stopped and trained.control.step < 200
    best = min(scores, key=scores.__getitem__)
    assert trained.control.best_step == best
    with torch.no_grad():
        batch = validation_batches(tiny.split(), 64)[0]
        torch.manual_seed(0)
        best_model = trainer.weights("best")
        error = (best_model(batch.image) - batch.image).square().mean()
    assert float(error) == pytest.approx(scores[best], rel=1e-4)


class Judged(tiny.Memory):
    """A log whose jury gives known scores by step."""

    def __init__(self, scores: dict[int, float]):
        super().__init__()
        self.scores = scores

    def judge(self, step: int, generator: torch.nn.Module) -> dict[str, float]:
        return {"score": self.scores[step], "kid": self.scores[step]}


SCORES = {0: 9.0, 4: 3.0, 8: 1.0, 12: 2.0, 16: 5.0}


def judged(name: str, resume: dict[str, Any] | None = None, **changes: Any) -> tuple[Any, Judged, Any]:
    chosen = tiny.settings(steps=16, num_snapshots=4, checkpoint_every=4, **changes)
    trainer, log = tiny.trainer(name, chosen), Judged(SCORES)
    return trainer, log, train(trainer, Batches(tiny.split(), 8, 0), log, resume=resume)


def test_the_best_judged_snapshot_is_kept_beside_the_last() -> None:
    """Also of a family with two phases, which no validation loss could judge; and over an interruption."""
    trainer, log, trained = judged("dcgan")
    assert trained.control.best_step == 8 and trained.control.step == 16
    assert [point["step"] for point in trained.control.curve] == list(SCORES)
    assert trained.control.curve[2] == {"step": 8, "kid": 1.0}
    last = {name: value.clone() for name, value in trainer.weights("last").state_dict().items()}
    best = trainer.weights("best").state_dict()
    averaged = {name: value for name, value in best.items() if "running" not in name and "num_b" not in name}
    for name, value in averaged.items():
        assert torch.equal(value, log.saved[8]["ema"][name]) and not torch.equal(value, last[name]), name
    assert log.rows[-1]["snapshot/kid"] == 5.0

    resumed, _, again = judged("dcgan", resume=log.saved[12])
    assert again.control.best_step == 8 and again.control.curve == trained.control.curve
    assert all(torch.equal(v, best[k]) for k, v in resumed.weights("best").state_dict().items())


def test_judging_leaves_the_weights_as_they_would_be_without() -> None:
    plain, _ = tiny.run("dcgan", tiny.settings(steps=16, num_snapshots=4, checkpoint_every=4))
    watched, _, _ = judged("dcgan")
    for a, b in zip(plain.family.state_dict().values(), watched.family.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_patience_counts_snapshots_where_there_is_no_validation_loss() -> None:
    _, _, trained = judged("dcgan", patience=1)
    assert trained.control.stopped and trained.control.step == 12 and trained.control.best_step == 8


def test_a_term_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint() -> None:
    trainer, log = (
        tiny.trainer("vae", tiny.settings(steps=12, checkpoint_every=3, log_every=1)),
        tiny.Memory(),
    )
    step = trainer.step

    def breaks(data: Any) -> None:
        step(data)
        if trainer.control.step == 5:
            trainer.logged.sums["elbo/kl"] = torch.tensor(math.nan)

    trainer.step = breaks  # type: ignore[method-assign]
    with pytest.raises(RunError, match="elbo/kl became nan.*before step 5"):
        train(trainer, Batches(tiny.split(), 8, 0), log)
    assert list(log.saved) == [3]


# A family that knows what its phases see


# Checkpoints


@pytest.mark.parametrize("name", ["autoencoder", "dcgan"])
def test_a_notice_leaves_a_checkpoint_that_resumes_to_the_same_bits(name: str) -> None:
    """One only, and none in the middle of what a row or a health check takes the mean of."""
    chosen = tiny.settings(steps=16, checkpoint_every=8, log_every=2, health_every=4)
    expected, undisturbed = tiny.run(name, chosen)
    noticed, log = tiny.trainer(name, chosen), tiny.Memory()
    batches = tiny.batches(name, noticed)
    trained = train(noticed, batches, log, leaving=lambda: noticed.control.step >= 2)
    extra = 4 if name == "dcgan" else 2
    assert sorted(log.saved) == [extra, 8, 16] and trained.finished
    resumed, rest = tiny.run(name, chosen, resume=log.saved[extra])
    for trainer in (noticed, resumed):
        assert tiny.equal(trainer.state(), expected.state())
    assert tiny.losses(log) == tiny.losses(undisturbed)
    assert tiny.losses(rest) == [row for row in tiny.losses(undisturbed) if row["step"] > extra]
