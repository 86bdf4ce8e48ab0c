"""The section `sweep`: the search of hyperparameters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from components.config.base import Section


class Sweep(Section):
    """The search of a family's hyperparameters: trials, finalists, and a confirmation at full budget.

    A trial trains with sampled values and is repeatedly evaluated on validation. If all hyperparameters are
    sampling settings, trials sample from one trained model instead. Finalists are retrained with other seeds
    and evaluated with more samples. The best finalist and the experiment's settings are then trained for
    `train.steps` and compared on fresh seeds.
    """

    family: str | None = None  # None: the experiment's only family
    # Hyperparameter (of the family, or train.NAME) -> values to try: null for the range that is declared with
    # it, a list of values, or {low, high, scale: linear | log}.
    search: dict[str, list[Any] | dict[str, Any] | None] = Field(min_length=1)
    searcher: Literal["random", "grid", "optuna"] = "random"
    # asha stops trials that are worse than others at the same rung; pbt continues the worst from the best.
    scheduler: Literal["none", "asha", "pbt"] = "asha"
    trials: int = Field(16, ge=1)  # the first has the experiment's values, if in range; a grid must fit
    grid_points: int = Field(3, ge=2)  # per range of a grid
    steps: int | None = Field(
        None, ge=1
    )  # per trial; None: train.steps. Settings that count steps shrink alike
    evaluations: int = Field(8, ge=1)  # evaluations per trial, evenly spaced; a trial can be stopped at each
    grace_period: int = Field(2, ge=1)  # evaluations before the first rung: early distances are uninformative
    # Of `reduction_factor` trials at a rung one continues, with `reduction_factor` times the budget until the
    # next rung.
    reduction_factor: int = Field(2, ge=2)
    samples: int = Field(256, ge=8)  # per evaluation
    metric: Literal["auto", "frechet_distance", "kid", "mse"] = "auto"  # auto: as for selecting snapshots
    # Trials whose samples have less than this fraction of real images' diversity (Vendi score) rank last.
    min_diversity: float = Field(0.5, ge=0, le=1)
    cost: bool = False  # optuna: also minimise the cost
    # cost: take the cheapest finalist that is not worse than the experiment's settings.
    objective: Literal["quality", "cost"] = "quality"
    workers: int = Field(1, ge=1)  # processes per trial; with several, each rung is a Ray Train run
    # Share of a GPU for a trial of one process, so that others use it too; 1 if two do not fit its memory.
    gpus: float = Field(0.5, gt=0, le=1)
    max_concurrent_trials: int | None = Field(
        None, ge=1
    )  # concurrent trials; None: as many as the cluster can run
    seed: int = Field(0, ge=0)  # of the search; all trials are trained with the seed of the experiment
    finalists: int = Field(3, ge=1)
    seeds_per_finalist: int = Field(
        2, ge=1
    )  # trainings per finalist with different seeds, including its trial's
    finalist_samples: int = Field(1000, ge=8)  # per finalist
    confirmation_seeds: int = Field(3, ge=0)  # trainings at full budget; 0: none
    checkpoints: Literal["finalists", "all", "none"] = "finalists"  # the trials whose checkpoints are stored

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        if self.steps is not None and self.steps % self.evaluations:
            raise ValueError(
                f"steps={self.steps} cannot be cut into evaluations={self.evaluations} equal parts"
            )
        if self.grace_period > self.evaluations:
            raise ValueError(f"grace_period={self.grace_period} is more than evaluations={self.evaluations}")
        if self.scheduler == "pbt" and self.searcher != "random":
            raise ValueError("scheduler: pbt starts from random values: give searcher: random")
        if self.scheduler == "pbt" and self.trials < 4:
            raise ValueError(f"scheduler: pbt needs at least 4 trials, not trials={self.trials}")
        if self.scheduler == "pbt" and (fixed := [name for name in self.search if name.startswith("train.")]):
            raise ValueError(f"scheduler: pbt changes settings of the family only, so not {fixed[0]}")
        if self.scheduler == "pbt" and self.workers > 1:
            raise ValueError("scheduler: pbt needs trials of one process: give workers: 1")
        if self.cost and (self.searcher, self.scheduler_for()) != ("optuna", "none"):
            raise ValueError("cost: true needs searcher: optuna and scheduler: none")
        return self

    def scheduler_for(self, sampling: bool = False) -> str:
        """Return the scheduler; if it is not set, the default for these settings.

        The default is `none` with `cost`, and if trials only sample, since they are evaluated only once.
        """
        explicit = "scheduler" in self.model_fields_set
        return self.scheduler if explicit or not (self.cost or sampling) else "none"

    @property
    def rungs(self) -> list[int]:
        """The numbers of evaluations after which trials are compared, all before the last.

        With asha these are grace_period, grace_period * reduction_factor, ...; with pbt all multiples of
        grace_period.
        """
        if self.scheduler == "none":
            return []
        rungs, rung = [], self.grace_period
        while rung < self.evaluations:
            rungs.append(rung)
            rung = rung * self.reduction_factor if self.scheduler == "asha" else rung + self.grace_period
        return rungs
