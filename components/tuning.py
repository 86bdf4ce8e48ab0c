"""Ray Tune: which values are tried, what is stopped, who goes on from whom. With launch, what knows Ray.

Trials are functions of their values (components/trials.py); here is only the order of things.
Nothing that Tune keeps is needed again: a sweep that goes on suggests what it suggested before, and its
trials say from the store what they said before.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator

from components import launch, trials
from components.config import Sweep
from components.distributed import derive
from components.errors import InputError, RunError
from components.spaces import Hyperparameter
from components.storage import Store
from components.story import Story
from components.trials import WORST, Terms
from models.search import Choice, Range

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials keep their own curves
    "RAY_AIR_NEW_OUTPUT": "0",  # whose tables come with any verbosity
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are flows/signals.py's
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # a stopped trial stores its last files before the next begins
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
POINTER = "pointer.json"
# What a trial takes whose workers are Ray Train's: a megabyte, since Ray refuses nothing at all, and of the
# cores even a hundredth would leave the workers one too few.
LEAST = {"CPU": 0.0, "memory": 2.0**20}


def search(
    terms: Terms, hyperparameters: Sequence[Hyperparameter], settings: Sweep, story: Story, scratch: Store
) -> None:
    """Try the values that the sweep asks for; what happens is told to the story.

    Args:
        terms: what trials have in common.
        hyperparameters: what is searched, and where.
        settings: of the sweep.
        story: knows what was suggested before an interruption, and is told everything.
        scratch: a folder for Tune's own files.
    """
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(settings.trials)  # a population is there as a whole
    warnings.filterwarnings("ignore", module="ray")
    launch.connect()
    side_by_side, _ = concurrency(terms, settings)
    # One at a time, the same seed suggests the same again; side by side, it depends on who is faster.
    before = story.suggested if side_by_side > 1 else []
    points = suggestions(hyperparameters, settings, before)
    listed = settings.searcher != "optuna"
    story.planned, story.side_by_side = len(points) if listed else settings.trials, side_by_side
    filesystem, path = scratch.arrow()
    tuner = Tuner(
        tune.with_resources(
            tune.with_parameters(_trial, terms=terms, choices=labels(hyperparameters)),
            _room(terms, settings, side_by_side),
        ),
        param_space={h.name: domain(h) for h in hyperparameters} if listed else {},
        tune_config=TuneConfig(
            metric=None if settings.cost else "score",
            mode=None if settings.cost else "min",
            search_alg=searcher(hyperparameters, settings, points, side_by_side, resumed=bool(before)),
            scheduler=scheduler(hyperparameters, settings, story),
            num_samples=len(points) if listed else settings.trials,
            max_concurrent_trials=None if listed else side_by_side,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=path,
            storage_filesystem=filesystem,
            verbose=0,
            callbacks=[_Listener(story)],
            failure_config=FailureConfig(max_failures=1),  # a lost process starts again at its checkpoint
            checkpoint_config=CheckpointConfig(),
        ),
    )
    try:
        tuner.fit()
    except (InputError, RunError):
        raise
    except Exception as error:  # Tune wraps what went wrong in kinds of its own
        last = (str(error).strip().splitlines() or [""])[-1]
        raise RunError(f"the sweep was interrupted: {last[:300]}; run the same command to go on") from error


def concurrency(terms: Terms, settings: Sweep) -> tuple[int, str]:
    """How many trials run side by side, and why."""
    import ray

    have, threads = ray.cluster_resources(), terms.threads * terms.workers
    gpus = terms.workers * gpus_of(terms, settings)
    room = sum(_fit(node, terms, settings) for node in _nodes()) // terms.workers
    because = f"{have.get('CPU', 0):g} cores, {threads} a trial"
    if gpus:
        because += f"; {have.get('GPU', 0):g} GPUs, {gpus:g} a trial"
    if room < 1:
        raise InputError(
            f"a trial needs {threads} cores"
            + (f" and {gpus:g} GPUs" if gpus else "")
            + f", and the cluster has {have.get('CPU', 0):g}"
            + (f" and {have.get('GPU', 0):g}" if gpus else "")
            + (f" on {len(_nodes())} machines" if len(_nodes()) > 1 else "")
            + "; lower train.threads or sweep.workers"
        )
    if settings.side_by_side is not None and settings.side_by_side < room:
        return settings.side_by_side, f"sweep.side_by_side; there would be room for {room}"
    return room, because


def _nodes() -> list[dict[str, float]]:
    """What each machine of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(node: Mapping[str, float], terms: Terms, settings: Sweep) -> int:
    """How many processes of trials a machine has room for."""
    cores = int(node.get("CPU", 0) // terms.threads)
    if terms.device != "cuda":
        return cores
    return min(cores, int(node.get("GPU", 0)) * int(1 / gpus_of(terms, settings) + 1e-6))


def gpus_of(terms: Terms, settings: Sweep) -> float:
    """Of a GPU, what a process of a trial takes: with others beside it, a share."""
    if terms.device != "cuda":
        return 0.0
    return settings.gpus if terms.workers == 1 else 1.0


def _room(terms: Terms, settings: Sweep, side_by_side: int) -> dict[str, float]:
    """What a trial's own process takes; workers of a Ray Train run bring their own.

    Of a population all are there at once, most of them waiting: so what they take is what limits how many
    run.
    """
    if terms.workers > 1:
        return LEAST
    cpus = float(terms.threads)
    if settings.scheduler == "pbt" and settings.side_by_side is not None:
        have = [node.get("CPU", 0.0) for node in _nodes()]
        share = math.floor(1e4 * sum(have) / side_by_side) / 1e4  # as finely as Ray counts
        cpus = max(cpus, min(share, max(have)))
    return {"CPU": cpus} | ({"GPU": gpus_of(terms, settings)} if terms.device == "cuda" else {})


# A trial, in a process of the cluster.


def _trial(config: dict[str, Any], terms: Terms, choices: Mapping[str, Mapping[str, Any]]) -> None:
    """One trial, from its beginning or from the judgement at which it paused, or from another's."""
    values = {name: choices.get(name, {}).get(value, value) for name, value in config.items()}
    own, pointer = tune.get_context().get_trial_id(), _pointer()
    schedule: list[dict[str, Any]] = pointer["schedule"] if pointer else [{"step": 0, "values": values}]
    after, donor = (pointer["step"], pointer["uri"]) if pointer else (0, "")
    if pointer:
        now: dict[str, Any] = {}
        for entry in schedule:
            now |= dict(entry["values"])
        if changed := {n: value for n, value in values.items() if _label(now[n]) != _label(value)}:
            schedule.append({"step": after, "values": changed, "from": pointer["trial"]})
        else:
            donor = ""

    def tell(said: trials.Said) -> None:
        told = {**said, "schedule": schedule}
        if not terms.pointers:
            tune.report(told)
            return
        with tempfile.TemporaryDirectory() as folder:
            told_of = {"schedule": schedule, "step": said["step"], "uri": said["uri"], "trial": own}
            Path(folder, POINTER).write_text(json.dumps(told_of))
            tune.report(told, checkpoint=tune.Checkpoint.from_directory(folder))

    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = ENVIRONMENT["TUNE_FUNCTION_THREAD_TIMEOUT_S"]
    try:
        if terms.model:
            trials.drawn(terms, values, tell)
        elif terms.workers > 1:
            _in_parts(terms, schedule, tell)
        else:
            trials.trained(terms, schedule, tell, after=after, donor=donor)
    except Exception as error:  # whatever it is: one trial does not end a sweep
        reason = trials.reason(error)
        tune.report({"failed": reason, "score": WORST, "cost": WORST, "judged": 0, "schedule": schedule})


def _in_parts(terms: Terms, schedule: list[dict[str, Any]], tell: Callable[[trials.Said], None]) -> None:
    """A trial of several workers, a Ray Train run from judgement to judgement.

    One that is stopped while its workers run would leave their placement group behind, and starve the trials
    that follow: so it is stopped between two such runs, when it holds nothing.
    """
    told = 0
    for judged in range(1, terms.judgements + 1):
        said: list[trials.Said] = []
        done = trials.trained(terms, schedule, said.append, until=judged)
        for one in said[told:]:
            tell(one)
        told = len(said)
        if done is not None:
            return


def _pointer() -> dict[str, Any] | None:
    """Where this trial is to go on from: the values so far, a step and the folder with its checkpoint."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        found: dict[str, Any] = json.loads(Path(folder, POINTER).read_text())
    return found


# Which values.


def labels(hyperparameters: Sequence[Hyperparameter]) -> dict[str, dict[str, Any]]:
    """Names of values that are not plain, such as lists of widths: searchers take only plain ones."""
    choices = {
        h.name: (*h.space.values, h.default) for h in hyperparameters if not isinstance(h.space, Range)
    }
    return {name: {_label(value): value for value in values} for name, values in choices.items()}


def _label(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def domain(hyperparameter: Hyperparameter) -> Any:
    """Where a hyperparameter is searched, as Tune has it; upper ends belong to it."""
    space = hyperparameter.space
    if not isinstance(space, Range):
        return tune.choice([_label(value) for value in space.values])
    if hyperparameter.integer:
        low, high = int(space.low), int(space.high) + 1
        return tune.lograndint(low, high) if space.scale == "log" else tune.randint(low, high)
    return (tune.loguniform if space.scale == "log" else tune.uniform)(space.low, space.high)


def suggestions(
    hyperparameters: Sequence[Hyperparameter], settings: Sweep, before: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The values to try, as far as they are known beforehand; the same for the same seed.

    Args:
        hyperparameters: what is searched.
        settings: of the sweep.
        before: what an interrupted sweep had suggested, which a searcher that learns is told first.
    """
    default = {h.name: _label(h.default) for h in hyperparameters}
    if settings.searcher == "grid":
        axes = [_points(h, settings.points) for h in hyperparameters]
        names = [h.name for h in hyperparameters]
        grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]
        first = [default] if default in grid else []  # elsewhere it would take the place of a point
        return (first + [point for point in grid if point != default])[: settings.trials]
    if settings.searcher == "optuna":
        return [dict(values) for values in before] or [default]
    found, draws = [default], 0
    if settings.scheduler == "pbt" and not _inside(default, hyperparameters):
        found = []  # what is not in the range cannot be changed a little
    while len(found) < settings.trials and draws < 100 * settings.trials:
        draws += 1
        seed = derive(settings.seed, "suggestion", draws) % 2**32
        state = np.random.RandomState(seed)
        point = {h.name: _plain(domain(h).sample(random_state=state)) for h in hyperparameters}
        if point not in found:
            found.append(point)
    return found


def _points(hyperparameter: Hyperparameter, n: int) -> list[Any]:
    """The points of a grid: every choice, or `n` of a range, evenly spaced in its scale."""
    space = hyperparameter.space
    if not isinstance(space, Range):
        return [_label(value) for value in space.values]
    spaced = np.geomspace if space.scale == "log" else np.linspace
    values = [float(f"{value:.12g}") for value in spaced(space.low, space.high, n)]
    return list(dict.fromkeys(round(v) for v in values)) if hyperparameter.integer else values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def searcher(
    hyperparameters: Sequence[Hyperparameter],
    settings: Sweep,
    points: list[dict[str, Any]],
    most: int,
    resumed: bool = False,
) -> Any:
    """Where values come from, for at most so many trials at once: a list, or Optuna's Parzen estimators."""
    if settings.scheduler == "pbt":
        most = 0  # all at once: those that wait for the others count among them
    if settings.searcher != "optuna":
        return BasicVariantGenerator(points, max_concurrent=most, random_state=settings.seed)
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = OptunaSearch.convert_search_space({h.name: domain(h) for h in hyperparameters})
    goal: dict[str, Any] = {"metric": "score", "mode": "min"}
    if settings.cost:
        goal = {"metric": ["score", "cost"], "mode": ["min", "min"]}
    inside = [point for point in points if _inside(point, hyperparameters)]
    # What was suggested before is told again and draws nothing: the same chance would draw it once more.
    seed = derive(settings.seed, "resumed", len(points)) % 2**32 if resumed else settings.seed
    return OptunaSearch(space, points_to_evaluate=inside, seed=seed, **goal)


def _inside(point: Mapping[str, Any], hyperparameters: Sequence[Hyperparameter]) -> bool:
    """Whether values lie where they are searched; the experiment's own need not."""
    for h in hyperparameters:
        value = point[h.name]
        if isinstance(h.space, Range):
            if value is None or not h.space.low <= value <= h.space.high:
                return False
        elif value not in [_label(v) for v in h.space.values]:
            return False
    return True


# Who goes on.


def scheduler(hyperparameters: Sequence[Hyperparameter], settings: Sweep, story: Story) -> Any:
    """What stops trials, or has them go on from one another."""
    if settings.scheduler == "asha":
        return InOrder(settings, story)
    if settings.scheduler == "pbt":
        return Population(hyperparameters, settings, story)
    return Numbered(story)


class Numbered(FIFOScheduler):
    """Every trial to its end, in order."""

    def __init__(self, story: Story):
        super().__init__()
        self.story = story

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        self.story.add(trial.trial_id, trial.config)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Nothing is stopped."""
        self.story.say(trial.trial_id, result)
        return TrialScheduler.CONTINUE


class _Ends:
    """Of a scheduler that has trials wait for each other: nobody waits for one that is over."""

    _over: Callable[[Any, Any], None]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has come to its end, or was stopped."""
        self._over(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """It failed, or lost its process and begins again: then Tune has taken it down already."""
        if trial.status != Trial.ERROR:
            self._over(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """It is not needed."""
        self._over(tune_controller, trial)


class InOrder(_Ends, AsyncHyperBandScheduler):
    """ASHA (Li et al. 2020, https://arxiv.org/abs/1810.05934) that decides in the order of trials.

    Whether a trial goes on from a rung depends on those before it alone, not on who was faster: so the same
    seed gives the same sweep, on any number of cores and however often it was interrupted. A trial whose
    predecessors are not there yet goes on until they are; what it says meanwhile does not count if it is then
    stopped.
    """

    def __init__(self, settings: Sweep, story: Story):
        super().__init__(
            time_attr="judged",
            max_t=settings.judgements + 1,  # the last one stops nobody
            grace_period=settings.grace,
            reduction_factor=settings.factor,
        )
        self.story, self.settings = story, settings
        self.rungs = settings.rungs
        self.values: dict[int, dict[int, float]] = {rung: {} for rung in self.rungs}  # by rung and number
        self.passed: dict[int, int] = {}  # number -> the highest rung from which it may go on
        self.stopped: dict[int, int] = {}  # number -> the rung from which it may not
        self.over: set[int] = set()
        self.trials: dict[int, Any] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        number = self.story.add(trial.trial_id, trial.config)
        if number not in self.trials:
            self.trials[number], self.passed[number] = trial, 0
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Keep what a trial says at a rung, decide what can be decided."""
        number = self.story.say(trial.trial_id, result)
        if result["judged"] in self.values:
            self.values[result["judged"]].setdefault(number, result["score"])
        self.settle(tune_controller)
        return TrialScheduler.STOP if number in self.stopped else TrialScheduler.CONTINUE

    def _over(self, controller: Any, trial: Any) -> None:
        self.over.add(self.story.number(trial.trial_id))
        self.settle(controller)

    def settle(self, controller: Any) -> None:
        """Decide, rung by rung and in the order of trials, until one is missing."""
        for below, rung in zip([0, *self.rungs], self.rungs, strict=False):
            for number in sorted(self.trials):
                if number in self.stopped or self.passed[number] >= rung:
                    continue
                known = self.values.get(below if self.passed[number] < below else rung, {})
                if number not in known and number in self.over:
                    continue  # it failed, or ended early
                if number not in known or self.passed[number] < below:
                    break  # those after it wait for what it will say, or for what is said of it
                self._decide(controller, number, rung)

    def _decide(self, controller: Any, number: int, rung: int) -> None:
        value, others = self.values[rung][number], self._at(rung)
        told = {"judged": rung, "score": value}
        if super().on_trial_result(controller, self.trials[number], told) == TrialScheduler.STOP:
            self.stopped[number] = rung
            did, than = "stopped", "is not among"
        else:
            self.passed[number] = rung
            did, than = "went on", "is among"
        share = f"the best 1/{self.settings.factor} of {others + 1} so far" if others else "the first"
        self.story.decide(number, rung, did, f"{shown(value)} {than} {share} at judgement {rung}")

    def _at(self, rung: int) -> int:
        """How many were compared at a rung so far."""
        return sum(max(self.passed[n], self.stopped.get(n, 0)) >= rung for n in self.trials)


def shown(score: float) -> str:
    """A score as people read it."""
    if score >= WORST:
        return "no value"
    return f"{score - trials.COLLAPSED:.4g}, collapsed," if score >= trials.COLLAPSED / 2 else f"{score:.4g}"


class Population(_Ends, PopulationBasedTraining):
    """Population-based training: the worst go on from the best, changed a little.

    Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846. All wait for each other at every rung (of `grace`
    judgements), and chance is a function of the seed, the trial and the rung: a population that is run again
    goes the same way.
    """

    def __init__(self, hyperparameters: Sequence[Hyperparameter], settings: Sweep, story: Story):
        self.story, self.settings, self.hyperparameters = story, settings, list(hyperparameters)
        mutations: dict[str, Any] = {}
        for h in hyperparameters:
            space = h.space
            mutations[h.name] = [_label(v) for v in space.values] if isinstance(space, Choice) else domain(h)
        super().__init__(
            time_attr="judged",
            perturbation_interval=settings.grace,
            hyperparam_mutations=mutations,
            custom_explore_fn=self._within,
            log_config=False,
            require_attrs=False,
            synch=True,
        )

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Trials are numbered as they come."""
        self.story.add(trial.trial_id, trial.config)
        if trial not in self._trial_state:  # one that begins again keeps its place
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Wait for the others at a rung; after the last judgement there is nothing to go on with."""
        self.story.say(trial.trial_id, result)
        if "failed" in result or result["judged"] >= self.settings.judgements:
            return TrialScheduler.CONTINUE
        self._pass_over_the_dead()
        return str(super().on_trial_result(tune_controller, trial, result))

    def _over(self, controller: Any, trial: Any) -> None:
        """It is neither waited for nor gone on from; if the others waited for it alone, they go on."""
        self._trial_state[trial].last_score = None
        self._pass_over_the_dead(trial)
        alive = [t for t in controller.get_live_trials() if t is not trial and not t.is_finished()]
        states = [self._trial_state[t] for t in alive]
        if alive and all(state.last_train_time >= self._next_perturbation_sync for state in states):
            super().on_trial_result(controller, alive[-1], dict(states[-1].last_result or {}))

    def _pass_over_the_dead(self, *also: Any) -> None:
        """Those that are over count as being at the next rung: Tune lists some of them among the living."""
        for trial, state in self._trial_state.items():
            if trial.is_finished() or trial in also:
                state.last_train_time = max(state.last_train_time, int(self._next_perturbation_sync))

    def _checkpoint_or_exploit(self, trial: Any, *rest: Any) -> None:
        number = self.story.number(trial.trial_id)
        rung = self._trial_state[trial].last_train_time
        with seeded(derive(self.settings.seed, "population", number, rung)):
            super()._checkpoint_or_exploit(trial, *rest)

    def _exploit(self, tune_controller: Any, trial: Any, trial_to_clone: Any) -> None:
        mine, theirs = (-(self._trial_state[t].last_score or 0.0) for t in (trial, trial_to_clone))
        number, donor = (self.story.number(t.trial_id) for t in (trial, trial_to_clone))
        rung = self._trial_state[trial].last_train_time
        # With a save under way Tune would stop it instead of pausing it, at its next judgement.
        trial.temporary_state.saving_to = None
        super()._exploit(tune_controller, trial, trial_to_clone)
        why = f"{shown(mine)} is among the worst: goes on from trial {donor} ({shown(theirs)}), changed"
        self.story.exploit(number, donor, rung, trial.config, why)

    def _within(self, config: dict[str, Any]) -> dict[str, Any]:
        """Values that a perturbation has led out of their range go back to its end."""
        for h in self.hyperparameters:
            if isinstance(h.space, Range):
                config[h.name] = _plain(min(max(config[h.name], h.space.low), h.space.high))
                if h.integer:
                    config[h.name] = round(config[h.name])
        return config


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The process's random numbers from a seed inside; as they were afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


class _Listener(Callback):
    """Tells the story when trials begin and end; schedulers tell it what they say."""

    def __init__(self, story: Story):
        self.story = story

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.story.start(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.story.end(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.story.end(trial.trial_id, "its process ended twice without a word, as when memory runs out")
