"""The section `train`: the settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from components.common.chunks import CHUNK
from components.config.base import Section
from models.search_space import tunable
from models.step_counts import Steps

MIN_SIGMA_REL, MAX_SIGMA_REL = 0.01, 0.28  # 1 / sqrt(12) = 0.289 is the plain mean of all steps


class SettingChange(Section):
    """A change of some of the family's settings before step `step` (counted from 0)."""

    step: int = Field(ge=1)
    change: dict[str, Any] = Field(min_length=1)  # must not change the shape of a network


class Initial(Section):
    """The exported model whose weights a training begins with, where they fit."""

    model: str = Field(min_length=1)  # RUN/FAMILY, or the folder or URL of an exported model
    sha256: str | None = None  # of its weights, which must be these; None: those it has when the run begins


class Train(Section):
    """The settings of a training. All except those in NOT_SEMANTIC affect the weights and enter the key."""

    # fmt: off
    steps: int = Field(1000, ge=1)
    batch: int = tunable(128, ge=1, choices=(32, 64, 128, 256),  # images per step, of all workers together
        source="Radford et al. 2016, Sec. 4, and Ho et al. 2020, App. B: 128")
    micro_batches: int = Field(1, ge=1)  # equal parts of the batch, each with its own statistics and noise
    seed: int = Field(0, ge=0)
    # Begin with the weights of this model that fit by name and shape; a text is the model. None: at random.
    initial: Initial | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Decay of the learning rate to 0; constant_linear: in the second half only.
    schedule: Literal["constant", "linear", "constant_linear", "cosine", "sqrt"] = tunable("constant",
        source="Ho et al. 2020: constant; Gulrajani et al. 2017 for residual networks: linear; "
        "Zhu et al. 2017, Sec. 4: constant_linear")
    warmup_steps: Steps = tunable(0, ge=0, choices=(0, 50, 100, 200),
        source="Ho et al. 2020, authors' code: 5000 of 800,000 steps")
    clip_grad_norm: float | None = tunable(None, gt=0, choices=(None, 0.5, 1.0, 5.0), recommended=1.0,
        source="Ho et al. 2020, authors' code: 1")  # maximum norm of a phase's gradient
    # Half-life of the average of the weights; 0: no average. None: ema_rampup_ratio times the images seen so
    # far, a power-function average with gamma = ln 2 / ema_rampup_ratio - 1 (by default of relative length
    # 0.063). It scales with the run, so the same setting suits short and long runs.
    ema_half_life_images: int | None = Field(None, ge=0)
    # Maximum half-life as a fraction of the images seen so far.
    ema_rampup_ratio: float = tunable(0.05, gt=0, low=0.01, high=0.3, log=True,
        source="Karras et al. 2022, authors' code, and StyleGAN2-ADA's settings for CIFAR-10: 0.05")
    # Relative lengths (sigma_rel of Karras et al. 2024), such as 0.03, 0.05, 0.1, 0.15 and 0.2. After the
    # last step an average of each length is computed and evaluated on validation, and the best is selected;
    # (): none. They are combinations of two averages stored at each of num_snapshots: 8 suffice for 0.05 to
    # 0.15, 16 for 0.03 to 0.2.
    ema_sigma_rel: tuple[float, ...] = ()
    patience: int | None = Field(None, ge=1)  # validations without improvement before stopping; None: never
    validate_every: int = Field(200, ge=1)  # steps, for families with a validation loss
    validation_images: int = Field(1000, ge=1)  # at most, for that loss and the errors stored with a model
    torch_threads: int = Field(1, ge=1)  # per worker; changes bits, so it enters the key
    # Ray Train processes, each with a part of the micro-batches; 0: train in the calling process.
    # [LEAST, MOST]: as many as there is room for, which may change during training.
    workers: int | tuple[int, int] = 1
    max_failures: int = Field(2, ge=0)  # restarts of a training's workers by Ray
    log_every: int = Field(20, ge=1)  # steps
    checkpoint_every: int = Field(500, ge=1)  # steps
    num_snapshots: int = Field(8, ge=1)  # with a fixed-seed grid, besides the one before the first step
    sample_images: int = Field(60, ge=1)  # images in a grid
    snapshot_samples: int = Field(256, ge=0)  # per snapshot, evaluated against validation; 0: no evaluation
    select: Literal["best", "last"] = "best"  # select the weights of the best evaluated or the last snapshot
    # The health monitor of adversarial training: report problems, stop the training, or apply remedies.
    health: Literal["observe", "stop", "treat"] = "observe"
    # Steps between health checks. Evidence must last for a number of checks, tuned for 50 steps: with a
    # smaller value the monitor reacts sooner, on less evidence.
    health_every: int = Field(50, ge=1)
    max_treatments: int = Field(3, ge=0)  # maximum; then the training stops
    smoke: bool = False  # every phase is due at least twice, even in few steps
    setting_changes: tuple[SettingChange, ...] = ()  # as population-based training yields them
    # fmt: on

    @field_validator("initial", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        steps = [milestone.step for milestone in self.setting_changes]
        if steps != sorted(set(steps)):
            raise ValueError(f"setting_changes must be ordered, at most one per step; they are at {steps}")
        if self.batch % self.micro_batches:
            raise ValueError(
                f"batch={self.batch} cannot be cut into micro_batches={self.micro_batches} equal parts"
            )
        least, most = self.least_workers, self.most_workers
        if not 0 <= least <= most or (least == 0 and isinstance(self.workers, tuple)):
            raise ValueError("workers must be 0 or more, or [LEAST, MOST] with 1 <= LEAST <= MOST")
        if most > max(1, self.micro_batches):
            raise ValueError(
                f"workers={most} need as many micro-batches or more, not micro_batches={self.micro_batches}"
            )
        if self.health == "treat" and self.checkpoint_every % self.health_every:
            raise ValueError(
                f"health=treat returns to checkpoints, so health_every={self.health_every} must divide "
                f"checkpoint_every={self.checkpoint_every}"
            )
        for length in self.ema_sigma_rel:
            if not MIN_SIGMA_REL <= length <= MAX_SIGMA_REL:
                raise ValueError(
                    f"ema_sigma_rel must be from {MIN_SIGMA_REL} to {MAX_SIGMA_REL}; {length} is not"
                )
        if len(set(self.ema_sigma_rel)) < len(self.ema_sigma_rel):
            raise ValueError("ema_sigma_rel contains a length twice")
        if self.ema_sigma_rel and not self.judges:
            raise ValueError("ema_sigma_rel are evaluated on validation, so snapshot_samples must not be 0")
        if 0 < self.snapshot_samples < 8:
            raise ValueError(f"snapshot_samples={self.snapshot_samples} is too few; give 0 or at least 8")
        return self

    @property
    def least_workers(self) -> int:
        """The number of workers without which a training does not begin."""
        return self.workers[0] if isinstance(self.workers, tuple) else self.workers

    @property
    def most_workers(self) -> int:
        """The largest number of workers."""
        return self.workers[1] if isinstance(self.workers, tuple) else self.workers

    @property
    def micro_batch(self) -> int:
        """The number of images in a shard of a batch."""
        return self.batch // self.micro_batches

    @property
    def chunk(self) -> int:
        """The number of images that snapshots draw at once; a smoke run draws no more than it shows."""
        return min(CHUNK, self.sample_images) if self.smoke else CHUNK

    @property
    def judges(self) -> bool:
        """Whether snapshots are evaluated during training, which needs the reference first."""
        return self.snapshot_samples > 0

    def semantic(self) -> Mapping[str, Any]:
        """Return the settings that affect the weights; with remedies, these include checkpoint_every."""
        excluded = set(NOT_SEMANTIC) - ({"checkpoint_every"} if self.treats else set())
        content = self.model_dump(mode="json", exclude=excluded)
        # Its weights affect the result, not where they are.
        return content | {"initial": self.initial.sha256 if self.initial else None}

    @property
    def treats(self) -> bool:
        """Whether the health monitor may change the training."""
        return self.health == "treat"


NOT_SEMANTIC = ("workers", "max_failures", "log_every", "checkpoint_every")
