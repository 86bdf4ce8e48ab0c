"""The section `train`: how a family is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from components.config.base import Section
from models.search_space import tunable

SHORTEST, LONGEST = 0.01, 0.28  # averages: at 1 / sqrt(12) = 0.289 there is the plain mean of all steps


class Milestone(Section):
    """A change on the way: before step `step` (from 0) some of the family's own settings become others."""

    step: int = Field(ge=1)
    change: dict[str, Any] = Field(min_length=1)  # such that no network changes its shape


class Train(Section):
    """How a family is trained.

    All but `workers` and the cadence of logs shape the weights, and are in the key.
    """

    # fmt: off
    steps: int = Field(1000, ge=1)
    batch: int = tunable(128, ge=1, choices=(32, 64, 128, 256),  # images per step, over all workers
        source="Radford et al. 2016, Sec. 4, and Ho et al. 2020, App. B: 128")
    shards: int = Field(1, ge=1)  # parts the batch is cut into; statistics and randomness belong to a shard
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Of the learning rate, down to 0.
    schedule: Literal["constant", "linear", "cosine", "sqrt"] = tunable("constant",
        source="Ho et al. 2020: constant; Gulrajani et al. 2017 for residual networks: linear")
    warmup_steps: int = tunable(0, ge=0, choices=(0, 50, 100, 200),
        source="Ho et al. 2020, authors' code: 5000 of 800,000 steps")
    clip: float | None = tunable(None, gt=0, choices=(None, 0.5, 1.0, 5.0), recommended=1.0,
        source="Ho et al. 2020, authors' code: 1")  # largest norm of a phase's gradient
    # After so many images old weights count half; 0: no averaging. None: in proportion to the run, namely
    # ema_ramp_up of the images seen so far. That is a power-function average, gamma = ln 2 / ema_ramp_up - 1
    # (by default of relative length 0.063), so what is right for a short run is right for a long one.
    ema_half_life_images: int | None = Field(None, ge=0)
    # Half-life at most this fraction of the images seen so far.
    ema_ramp_up: float = tunable(0.05, gt=0, low=0.01, high=0.3, log=True,
        source="Karras et al. 2022, authors' code, and StyleGAN2-ADA's settings for CIFAR-10: 0.05")
    # Relative lengths (sigma_rel of Karras et al. 2024), such as 0.03, 0.05, 0.1, 0.15 and 0.2, of averages
    # that are made after the last step and judged on validation, the best kept; (): none. They are made of
    # two averages stored at each of sample_grids: 8 are enough from 0.05 to 0.15, 16 from 0.03 to 0.2.
    ema_lengths: tuple[float, ...] = ()
    patience: int | None = Field(None, ge=1)  # validations without improvement before stopping; None: never
    validate_every: int = Field(200, ge=1)  # steps, for families with a validation loss
    threads: int = Field(1, ge=1)  # per worker: changes bits, so it is part of what is trained
    workers: int = Field(1, ge=0)  # processes under Ray Train; 0: inside the calling process
    max_failures: int = Field(2, ge=0)  # times Ray restarts the workers of one fit
    log_every: int = Field(20, ge=1)  # steps
    checkpoint_every: int = Field(500, ge=1)  # steps
    sample_grids: int = Field(8, ge=1)  # fixed-seed grids through training, besides the one before it
    sample_images: int = Field(60, ge=1)  # images in a grid
    judge_samples: int = Field(256, ge=0)  # drawn and judged with every grid, against validation; 0: never
    keep: Literal["best", "last"] = "best"  # weights to give out: of the best judged snapshot, or the last
    # What the health monitor of adversarial training may do: tell, stop, or treat.
    health: Literal["observe", "stop", "treat"] = "observe"
    # Steps between its looks. How long evidence must last is counted in looks, set for one in 50 steps: more
    # often is sooner, on less evidence.
    health_every: int = Field(50, ge=1)
    treatments: int = Field(3, ge=0)  # at most; then the training stops
    smoke: bool = False  # every phase is due at least twice, however few the steps
    milestones: tuple[Milestone, ...] = ()  # a schedule of settings, such as population-based training finds
    # fmt: on

    @model_validator(mode="after")
    def _fits(self) -> Train:
        moments = [milestone.step for milestone in self.milestones]
        if moments != sorted(set(moments)):
            raise ValueError(
                f"milestones must come in the order of their steps, one each; they are at {moments}"
            )
        if self.batch % self.shards:
            raise ValueError(f"batch={self.batch} cannot be cut into shards={self.shards} equal parts")
        if self.workers > 1 and self.shards % self.workers:
            raise ValueError(f"workers={self.workers} must divide shards={self.shards}")
        if self.health == "treat" and self.checkpoint_every % self.health_every:
            raise ValueError(
                f"health=treat goes back to checkpoints, so health_every={self.health_every} must divide "
                f"checkpoint_every={self.checkpoint_every}"
            )
        for length in self.ema_lengths:
            if not SHORTEST <= length <= LONGEST:
                raise ValueError(
                    f"ema_lengths are relative ones, from {SHORTEST} to {LONGEST}; {length} is not"
                )
        if len(set(self.ema_lengths)) < len(self.ema_lengths):
            raise ValueError("ema_lengths name a length twice")
        if self.ema_lengths and not self.judges:
            raise ValueError("ema_lengths are judged on validation, for which judge_samples must not be 0")
        if 0 < self.judge_samples < 8:
            raise ValueError(f"judge_samples={self.judge_samples} are too few to judge; give 0 or at least 8")
        return self

    @property
    def shard(self) -> int:
        """Images in a shard of a batch."""
        return self.batch // self.shards

    @property
    def judges(self) -> bool:
        """Whether snapshots are judged through training, for which the reference is needed first."""
        return self.judge_samples > 0

    def semantic(self) -> dict[str, Any]:
        """What the trained weights depend on; with treatments, checkpoints are among it."""
        return self.model_dump(
            mode="json", exclude=set(NOT_SEMANTIC) - {"checkpoint_every" if self.treats else ""}
        )

    @property
    def treats(self) -> bool:
        """Whether a diagnosis changes the training."""
        return self.health == "treat"


NOT_SEMANTIC = ("workers", "max_failures", "log_every", "checkpoint_every")
