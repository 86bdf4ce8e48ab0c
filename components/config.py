"""The experiment: what to run, on which data, judged how, published where.

One frozen object, closed to unknown keys.

A section per stage. `families` holds a block per family: that family's own Config fields, and under `train`
whatever it overrides of the common training settings. Everything a result depends on is in here or in the
data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components.errors import InputError

SHORTEST, LONGEST = 0.01, 0.28  # averages: at 1 / sqrt(12) = 0.289 there is the plain mean of all steps


class Section(BaseModel):
    """A part of the experiment: frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Data(Section):
    """Which prepared data set, and which version of it."""

    name: str = Field("mnist5k", pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    revision: str | None = None  # a git revision or a data version; None: the pinned one
    flips: bool = False  # mirror training images at random; off, since digits and letters must not be


class Milestone(Section):
    """A change on the way: before step `step` (from 0) some of the family's own settings become others."""

    step: int = Field(ge=1)
    change: dict[str, Any] = Field(min_length=1)  # such that no network changes its shape


class Train(Section):
    """How a family is trained.

    All but `workers` and the cadence of logs shape the weights, and are in the key.

    Beside fields is where sweeps search, as plain data: models/search.py, whose it is, comes with torch.
    """

    steps: int = Field(1000, ge=1)
    # Images per step, over all workers.
    batch: int = Field(
        128,
        ge=1,
        json_schema_extra={
            "values": [32, 64, 128, 256],
            "source": "Radford et al. 2016, Sec. 4, and Ho et al. 2020, App. B: 128",
            "recommended": 128,
        },
    )
    shards: int = Field(
        1, ge=1
    )  # the batch is cut into this many; statistics and randomness belong to a shard
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Of the learning rate, down to 0.
    schedule: Literal["constant", "linear", "cosine", "sqrt"] = Field(
        "constant",
        json_schema_extra={
            "values": ["constant", "linear", "cosine", "sqrt"],
            "source": "Ho et al. 2020: constant; Gulrajani et al. 2017 for residual networks: linear",
            "recommended": "constant",
        },
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        json_schema_extra={
            "values": [0, 50, 100, 200],
            "source": "Ho et al. 2020, authors' code: 5000 of 800,000 steps",
        },
    )
    # Largest norm of a phase's gradient.
    clip: float | None = Field(
        None,
        gt=0,
        json_schema_extra={
            "values": [None, 0.5, 1.0, 5.0],
            "source": "Ho et al. 2020, authors' code: 1",
            "recommended": 1.0,
        },
    )
    # After so many images old weights count half; 0: no averaging. None: in proportion to the run, namely
    # ema_ramp_up of the images seen so far. That is a power-function average, gamma = ln 2 / ema_ramp_up - 1
    # (by default of relative length 0.063), so what is right for a short run is right for a long one.
    ema_half_life_images: int | None = Field(None, ge=0)
    # Half-life at most this fraction of the images seen so far.
    ema_ramp_up: float = Field(
        0.05,
        gt=0,
        json_schema_extra={
            "low": 0.01,
            "high": 0.3,
            "scale": "log",
            "source": "Karras et al. 2022, authors' code, and StyleGAN2-ADA's settings for CIFAR-10: 0.05",
            "recommended": 0.05,
        },
    )
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
    keep: Literal["best", "last"] = (
        "best"  # the weights to give out: of the best judged snapshot, or the last
    )
    # What the doctor of adversarial training (components/health.py) may do: tell, stop, or treat.
    health: Literal["observe", "stop", "treat"] = "observe"
    # Steps between its looks. How long evidence must last is counted in looks, set for one in 50 steps: more
    # often is sooner, on less evidence.
    health_every: int = Field(50, ge=1)
    treatments: int = Field(3, ge=0)  # at most; then the training stops
    smoke: bool = False  # every phase is due at least twice, however few the steps
    milestones: tuple[Milestone, ...] = ()  # a schedule of settings, such as population-based training finds

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


class Custom(Section):
    """An extractor of the user's own: a network and its weights, or a TorchScript file.

    Its input is (pixels / 255 - mean) / std, float32 (N, channels, resize, resize); its output (N, dim).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    network: str | None = None  # package.module:Class, or path/to/file.py:Class; None with torchscript
    torchscript: bool = (
        False  # the weights file is a TorchScript module, which is code: sha256 vouches for it
    )
    weights: str  # a .safetensors file, or the TorchScript file; relative to the project
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # of the weights file
    dim: int = Field(ge=1)
    resize: int = Field(ge=8)  # pixels
    channels: Literal[1, 3] = 3
    mean: list[float] = [0.5]  # one for all channels, or one each
    std: list[float] = [0.5]

    @model_validator(mode="after")
    def _one_form(self) -> Custom:
        if (self.network is None) != self.torchscript:
            raise ValueError("name either a network (with .safetensors weights) or torchscript: true")
        return self


class Evaluate(Section):
    """How the results are judged."""

    samples: int = Field(1000, ge=8)  # per side; at most the size of the test split
    seed: int = Field(1_000_000, ge=0)  # of the judged samples; what selects uses others
    extractor: Literal["auto", "classifier", "rotation", "inception", "efficientnet", "custom"] = (
        "auto"  # classifier if the data is labelled, else rotation
    )
    extractor_epochs: int = Field(8, ge=1)  # of classifier and rotation
    inception_path: str | None = None  # the 2015 Inception weights; None: ATELIER_INCEPTION, caches, download
    custom: Custom | None = None
    lpips_path: str | None = None  # LPIPS's AlexNet trunk; None: ATELIER_ALEXNET, torch hub's cache, or none
    threads: int = Field(1, ge=1)  # per judging job: changes bits
    # Drawn for every variant of a family's studies, such as each number of sampling steps; at most the size
    # of the test split. A study compares its variants with each other: few images for many variants show the
    # course, and are not the leaderboard's numbers. 0: no studies.
    study_samples: int = Field(250, ge=0)
    uses: bool = True  # what codes are good for, of families that encode images
    # Classes by name, each left out of the training of one more model, which is then to find it strange;
    # "all": every class in turn. For families that encode images, and are not told their class.
    held_out: Literal["all"] | tuple[str, ...] = ()

    @field_validator("held_out", mode="before")
    @classmethod
    def _by_name(cls, asked: Any) -> Any:
        """One class needs no list, and the names of digits are numbers to YAML."""
        if asked == "all":
            return asked
        names = asked if isinstance(asked, list | tuple) else (asked,)
        if not all(isinstance(name, str | int | float) and not isinstance(name, bool) for name in names):
            raise ValueError("names of classes are wanted, such as [3, 7], or all")
        return tuple(map(str, names))

    @model_validator(mode="after")
    def _described(self) -> Evaluate:
        if 0 < self.study_samples < 8:
            raise ValueError(f"study_samples={self.study_samples} are too few to judge; give 0 or at least 8")
        if self.held_out and not self.uses:
            raise ValueError("held_out is for what codes are good for, which uses=false turns off")
        if (self.extractor == "custom") != (self.custom is not None):
            raise ValueError("extractor: custom and a section custom go together")
        return self


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


class Publish(Section):
    """Where the accepted results go."""

    url: str | None = None  # any fsspec URL; None: published/ in the store


class Store(Section):
    """Where everything is kept."""

    url: str = "output"  # a folder (relative to the project) or any fsspec URL


class Experiment(Section):
    """One run, complete."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda if this machine has it
    data: Data = Data()
    families: dict[str, dict[str, Any]] = Field(min_length=1)
    train: dict[str, Any] = {}
    evaluate: Evaluate = Evaluate()
    sweep: Sweep | None = None
    publish: Publish = Publish()
    store: Store = Store()

    @property
    def swept(self) -> str:
        """The family that a sweep is about.

        Raises:
            InputError: there is no sweep, or it does not say which family it is about.
        """
        if self.sweep is None:
            raise InputError("this config has no section sweep: `atelier run` is for it")
        family = self.sweep.family or (next(iter(self.families)) if len(self.families) == 1 else None)
        if family not in self.families:
            known = ", ".join(self.families)
            raise InputError(f"sweep.family={family!r}: name the family to search, one of: {known}")
        return family

    def training(self, family: str) -> Train:
        """The training settings of `family`: the common ones, then its own."""
        return Train(**{**self.train, **self.families[family].get("train", {})})


# From files and the command line.


def load(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with `a.b=c` changes applied.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown, or a value is not accepted.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no config file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{path}{line} is not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold settings such as `families:`; it holds {type(content).__name__}")
    for change in changes:
        content = changed(content, change)
    return parse(content, str(path))


def parse(content: Mapping[str, Any], where: str) -> Experiment:
    """The experiment in plain data; errors name the key, the value and what is accepted."""
    try:
        experiment = Experiment.model_validate(content)
        _section(Train, "train", experiment.train)
        for family in experiment.families:
            _typed(Train, f"families.{family}.train", experiment, family)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, '', Experiment)}") from None
    return experiment


def _section(model: type[Train], where: str, content: Mapping[str, Any]) -> None:
    try:
        model(**content)
    except ValidationError as error:
        raise InputError(explain(error, where, model)) from None


def _typed(section: type[Train], where: str, experiment: Experiment, family: str) -> None:
    try:
        experiment.training(family)
    except ValidationError as error:
        own = experiment.families[family].get("train", {})
        known = error.errors()[0]["loc"][:1]
        prefix = where if not known or known[0] in own else "train"
        raise InputError(explain(error, prefix, section)) from None


def explain(error: ValidationError, prefix: str, model: type[BaseModel]) -> str:
    """The first mistake in one sentence."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in ((prefix,) if prefix else ()) + first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields(model, first["loc"][:-1])
        return f"unknown key {path}; known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"{path} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{prefix}: {message}" if prefix else message
    return f"{path}={first['input']!r} is not accepted: {message[0].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return sorted(model.model_fields)


def changed(content: Mapping[str, Any], change: str) -> dict[str, Any]:
    """`content` with one `a.b=c` applied; c is read as YAML."""
    path, equals, text = change.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {change!r} is not of the form key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 takes 2e-4 for a word; in quotes it is one
            value = float(text)
    return _put(content, parts, value, path)


def _put(content: Any, parts: Sequence[str], value: Any, path: str) -> dict[str, Any]:
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise InputError(f"--set {path}: there is nothing below a plain value")
    head, *rest = parts
    return {**content, head: _put(content.get(head), rest, value, path) if rest else value}
