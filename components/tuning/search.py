"""Ray Tune: which values are tried, what is stopped, who goes on from whom. With launch, what knows Ray.

Trials are functions of their values (components/tuning/trial.py); here is only the order of things.
Nothing that Tune keeps is needed again: a sweep that goes on suggests what it suggested before, and its
trials say from the store what they said before.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from components.cluster import ray_cluster
from components.common.errors import InputError, RunError
from components.config.sweep import Sweep
from components.store import Store
from components.tuning import trial as tuning_trial
from components.tuning.asha import InOrder, Numbered
from components.tuning.capacity import concurrency, room
from components.tuning.pbt import Population
from components.tuning.space import Hyperparameter
from components.tuning.suggest import domain, label_of, labels, searcher, suggestions
from components.tuning.trial import WORST, Said, Terms, drawn, trained
from components.tuning.trial_log import Story

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
    ray_cluster.connect()
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
            room(terms, settings, side_by_side),
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
        if changed := {n: value for n, value in values.items() if label_of(now[n]) != label_of(value)}:
            schedule.append({"step": after, "values": changed, "from": pointer["trial"]})
        else:
            donor = ""

    def tell(said: Said) -> None:
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
            drawn(terms, values, tell)
        elif terms.workers > 1:
            _in_parts(terms, schedule, tell)
        else:
            trained(terms, schedule, tell, after=after, donor=donor)
    except Exception as error:  # whatever it is: one trial does not end a sweep
        reason = tuning_trial.reason(error)
        tune.report({"failed": reason, "score": WORST, "cost": WORST, "judged": 0, "schedule": schedule})


def _in_parts(terms: Terms, schedule: list[dict[str, Any]], tell: Callable[[Said], None]) -> None:
    """A trial of several workers, a Ray Train run from judgement to judgement.

    One that is stopped while its workers run would leave their placement group behind, and starve the trials
    that follow: so it is stopped between two such runs, when it holds nothing.
    """
    told = 0
    for judged in range(1, terms.judgements + 1):
        said: list[Said] = []
        done = trained(terms, schedule, said.append, until=judged)
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


def scheduler(hyperparameters: Sequence[Hyperparameter], settings: Sweep, story: Story) -> Any:
    """What stops trials, or has them go on from one another."""
    if settings.scheduler == "asha":
        return InOrder(settings, story)
    if settings.scheduler == "pbt":
        return Population(hyperparameters, settings, story)
    return Numbered(story)


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
