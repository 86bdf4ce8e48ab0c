"""The section `sweep`: how hyperparameters are searched."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from components.config.base import Section


class Sweep(Section):
    """How hyperparameters of one family are searched: trials, finalists, and the best at full budget.

    A trial is a training with its own values, judged on validation through the way; where all that is
    searched are settings of sampling, it draws with one trained model instead. Finalists are trained again
    with other seeds and judged by more samples. Their best, and the experiment's own settings, are then
    trained with all of `train.steps` and compared on fresh seeds.
    """

    family: str | None = None  # which one; None: the only one of the experiment
    # Hyperparameter (of the family, or train.NAME) -> what is tried: null for the range beside it in the
    # family's file, a list of values, or {low, high, scale: linear | log}.
    search: dict[str, list[Any] | dict[str, Any] | None] = Field(min_length=1)
    searcher: Literal["random", "grid", "optuna"] = "random"
    # asha stops what is worse than others at the same rung; pbt has the worst go on from the best.
    scheduler: Literal["none", "asha", "pbt"] = "asha"
    trials: int = Field(16, ge=1)  # the first has the experiment's own values, if in range; a grid must fit
    points: int = Field(3, ge=2)  # of each range in a grid
    steps: int | None = Field(None, ge=1)  # of a trial; None: as many as train.steps
    judgements: int = Field(8, ge=1)  # of a trial, evenly spaced; a decision can fall at each
    grace: int = Field(2, ge=1)  # judgements before the first rung, since early distances say little
    factor: int = Field(
        2, ge=2
    )  # of so many trials at a rung, one goes on; from rung to rung the budget grows so
    samples: int = Field(256, ge=8)  # a judgement
    metric: Literal["auto", "frechet_distance", "kid", "mse"] = "auto"  # auto: what selects snapshots, too
    # Samples less diverse than so much of real images' diversity (Vendi score) rank behind all that are not.
    diversity: float = Field(0.5, ge=0, le=1)
    cost: bool = False  # optuna: search for what is cheap, too
    prefer: Literal["quality", "cost"] = (
        "quality"  # cost: the cheapest finalist not worse than the experiment's
    )
    workers: int = Field(1, ge=1)  # processes of a trial; with several, each rung is a Ray Train run
    # Of a GPU, a trial of one process, for others share it; 1 where its memory does not do for two.
    gpus: float = Field(0.5, gt=0, le=1)
    side_by_side: int | None = Field(None, ge=1)  # trials; None: as many as the cluster has room for
    seed: int = Field(0, ge=0)  # of the search; all trials are trained with the seed of the experiment
    finalists: int = Field(3, ge=1)
    repeats: int = Field(2, ge=1)  # seeds that a finalist is trained with, that of its trial among them
    final_samples: int = Field(1000, ge=8)  # that a finalist is judged by
    fresh_seeds: int = Field(3, ge=0)  # of the trainings at full budget; 0: none
    checkpoints: Literal["finalists", "all", "none"] = "finalists"  # of which trials they are kept

    @model_validator(mode="after")
    def _agrees(self) -> Sweep:
        if self.steps is not None and self.steps % self.judgements:
            raise ValueError(
                f"steps={self.steps} cannot be cut into judgements={self.judgements} equal parts"
            )
        if self.grace > self.judgements:
            raise ValueError(f"grace={self.grace} is more than judgements={self.judgements}")
        if self.scheduler == "pbt" and self.searcher != "random":
            raise ValueError("scheduler: pbt finds its values by itself, from random ones: searcher: random")
        if self.scheduler == "pbt" and self.trials < 4:
            raise ValueError(f"a population needs at least 4 trials, not trials={self.trials}")
        if self.scheduler == "pbt" and (fixed := [name for name in self.search if name.startswith("train.")]):
            raise ValueError(
                f"scheduler: pbt changes a family's settings as it trains, and {fixed[0]} is one of training"
            )
        if self.scheduler == "pbt" and self.workers > 1:
            raise ValueError(
                "scheduler: pbt moves checkpoints between trials of one process each: workers: 1"
            )
        if self.cost and (self.searcher, self.asked()) != ("optuna", "none"):
            raise ValueError("cost: true needs searcher: optuna and scheduler: none")
        return self

    def asked(self, drawing: bool = False) -> str:
        """The scheduler that was asked for; where none was, the one that goes with the rest.

        Trials that only draw, `drawing`, are judged once, and there is nothing to stop.
        """
        named = "scheduler" in self.model_fields_set
        return self.scheduler if named or not (self.cost or drawing) else "none"

    @property
    def rungs(self) -> list[int]:
        """The judgements after which trials are compared, all before the last.

        Of asha grace, grace * factor and so on; of pbt every multiple of grace.
        """
        if self.scheduler == "none":
            return []
        found, rung = [], self.grace
        while rung < self.judgements:
            found.append(rung)
            rung = rung * self.factor if self.scheduler == "asha" else rung + self.grace
        return found
