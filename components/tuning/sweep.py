"""Run a sweep: trials, finalists, and the winner."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from components.cluster import ray_cluster
from components.common.errors import InputError
from components.config.sweep import Sweep
from components.records.names import DAMAGED, EVENT
from components.records.sweep import Cost, Finalist, Importance, Overhead, SweepMetric, SweepResult
from components.records.sweep import SweepSettings as Settings
from components.records.trial import SweepState, Trial, Values
from components.store import Store
from components.store.errors import outlasting
from components.tuning import capacity
from components.tuning.finalists import Rescoring, comparable_finalists, finalists, winner
from components.tuning.importance import comparable_scores, importances
from components.tuning.recommendations import recommendations
from components.tuning.space import Hyperparameter
from components.tuning.trial_context import TrialContext
from components.tuning.trial_log import TrialLog

TRIALS, PROGRESS = "trials.json", "progress.json"

OnProgress = Callable[[TrialLog], None]
"""Called when a sweep has made progress."""


@dataclass(frozen=True)
class SweepRequest:
    """A sweep to run."""

    attempt: Store  # folder of the stage's attempt
    hyperparameters: Sequence[Hyperparameter]  # the searched ones
    settings: Sweep
    seed: int  # of the trials' training
    keep: str  # which weights of a training are used, best or last

    @property
    def defaults(self) -> Values:
        """The experiment's own values of the searched hyperparameters."""
        return {h.name: h.default for h in self.hyperparameters}


def sweep(request: SweepRequest, context: TrialContext, on_progress: OnProgress) -> SweepResult:
    """Run trials, evaluate the best again, and choose the winner; continue after an interruption.

    Args:
        request: the sweep to run.
        context: settings that trials share; the metric may be `auto`.
        on_progress: called from time to time with the log.

    Raises:
        InputError: the family has no such metric, or a trial does not fit the cluster.
        RunError: no trial has a value.
    """
    ray_cluster.connect()
    from components.tuning import search  # imports Ray, which reads its environment only once

    settings, concurrency = request.settings, capacity.concurrency(context, request.settings)
    metric = ray_cluster.call("components.tuning.trial:metric_of", context, cpus=context.threads)
    context = replace(context, metric=metric)
    folder = SweepFolder(request.attempt, context, described(request, context, *concurrency), on_progress)
    log = search.trial_log(context, request.hyperparameters, folder.save, folder.before(), request.keep)
    log.finals = 0, settings.finalists * settings.seeds_per_finalist
    search.search(context, request.hyperparameters, settings, log, request.attempt.child("ray"))
    request.attempt.delete("ray")
    folder.save(log)
    scored = _rescored(request, context, log)
    result = folder.result(log)
    result.finalists = scored
    result.winner = winner(scored, settings, context.diversity, request.defaults)
    _prune(context.store, result.trials, scored, settings.checkpoints)
    _draw_conclusions(result)
    return result


@dataclass(frozen=True)
class SweepFolder:
    """The files of a running sweep: its state, to resume it, and the result so far, for its page."""

    attempt: Store
    context: TrialContext
    about: SweepResult  # without trials
    on_progress: OnProgress
    counted: dict[int, tuple[object, dict[str, int]]] = field(
        default_factory=dict
    )  # by trial: when, and what

    def before(self) -> SweepState | None:
        """Return the state before an interruption, if any."""
        return SweepState.read(self.attempt.read_json(TRIALS)) if self.attempt.exists(TRIALS) else None

    def save(self, log: TrialLog) -> None:
        """Write the state and the result so far; wait out an outage."""
        outlasting(lambda: self._write(log))
        self.on_progress(log)

    def _write(self, log: TrialLog) -> None:
        self.attempt.write_json(TRIALS, log.state().to_json())
        result = self.result(log)
        result.seconds_left = log.left()
        self.attempt.write_json(PROGRESS, {"swept": result.to_json()})

    def result(self, log: TrialLog) -> SweepResult:
        """Return the result so far."""
        state, result = log.state(), self.about.model_copy(deep=True)
        result.settings.trials = log.planned
        result.trials = [self._with_files(trial) for trial in state.trials]
        result.decisions = state.decisions
        return result

    def _with_files(self, trial: Trial) -> Trial:
        """Return the trial with its newest samples and the numbers of health events and damaged checkpoints.

        These are counted again only if the trial has reported or changed its state.
        """
        if not trial.uri:
            return trial
        sampling = bool(self.context.model)
        name = "drawn" if sampling else f"step-{trial.step:07d}"
        now = (trial.uri, trial.step, trial.state)
        if not sampling and self.counted.get(trial.number, (None, {}))[0] != now:
            self.counted[trial.number] = now, self._count(trial.uri)
        _, counts = self.counted.get(trial.number, (None, {}))
        return trial.model_copy(update={"picture": f"{trial.uri}/samples/{name}.webp", **counts})

    def _count(self, uri: str) -> dict[str, int]:
        events = self.context.store.list(f"{uri}/health")
        checkpoints = self.context.store.list(f"{uri}/checkpoints")
        return {
            "events": sum(EVENT.fullmatch(file) is not None for file in events),
            "damaged": sum(file.endswith(DAMAGED) for file in checkpoints),
        }


def described(request: SweepRequest, context: TrialContext, concurrent: int, because: str) -> SweepResult:
    """Return the result of a sweep before its first trial."""
    settings = request.settings
    sampling = bool(context.model)
    cost = "processor seconds per image" if sampling else "seconds of training and evaluation"
    return SweepResult(
        family=context.family,
        kind="sampling" if sampling else "training",
        seed=settings.seed,
        metric=SweepMetric(name=context.metric, n=context.samples, split="validation"),
        cost=Cost(name=cost, unit="s"),
        settings=Settings(
            searcher=settings.searcher,
            scheduler=settings.scheduler,
            evaluations=settings.evaluations,
            rungs=settings.rungs,
            reduction_factor=settings.reduction_factor,
            min_diversity=settings.min_diversity,
            steps=None if sampling else context.training.train["steps"],
            concurrent=concurrent,
            because=because,
        ),
        hyperparameters=[h.described() for h in request.hyperparameters],
    )


def _rescored(request: SweepRequest, context: TrialContext, log: TrialLog) -> list[Finalist]:
    """Return the finalists, the lowest mean first; if all have collapsed, the next best trials as well."""
    settings = request.settings
    parts = f"{request.attempt.root.removeprefix(context.store.root).strip('/')}/finals"
    rescore = Rescoring(context, settings, parts, request.seed, log.side_by_side, log.rescored)
    # The experiment's own settings, if they are always among the finalists.
    defaults = request.defaults if context.model or settings.objective == "cost" else None
    trials, scored = log.state().trials, list[Finalist]()
    while chosen := finalists(trials, settings, defaults, scored):
        results = rescore(chosen)
        scored += results
        candidates = [finalist for finalist in scored if finalist.values != defaults]
        failed = all(finalist.mean is None for finalist in results)
        if failed or comparable_finalists(candidates, context.diversity):
            break
    return sorted(scored, key=lambda finalist: (finalist.mean is None, finalist.mean or 0.0))


def _draw_conclusions(result: SweepResult) -> None:
    """Add importance, recommendations and overhead to the result of all trials."""
    settings, spaces = result.settings, result.hyperparameters
    scores = comparable_scores(result.trials, settings.rungs)
    shares = importances(spaces, scores)
    at = "the end of each trial"
    if settings.rungs:
        at = f"evaluation {settings.rungs[0]} of {settings.evaluations}, which all trials reached"
    result.importance = Importance(n=len(scores), at=at, of=shares) if shares else None
    result.recommendations = recommendations(spaces, scores, shares or {})
    seconds = [trial.overhead for trial in result.trials if trial.overhead is not None]
    result.overhead_seconds = Overhead(mean=statistics.fmean(seconds), max=max(seconds)) if seconds else None


def _prune(store: Store, trials: Sequence[Trial], scored: Sequence[Finalist], policy: str) -> None:
    """Delete the checkpoints that the policy does not keep; a trial that needs one later trains again."""
    if policy == "all":
        return
    numbers = {finalist.number for finalist in scored}
    finals = {uri for trial in trials if trial.number in numbers for uri in trial.uris}
    finals |= {repeat.uri for finalist in scored for repeat in finalist.repeats if repeat.uri}
    all_uris = finals.union(*(trial.uris for trial in trials))
    for uri in all_uris - finals if policy == "finalists" else all_uris:  # equal trials share one
        store.delete(f"{uri}/checkpoints")


def refuse_changed(before: str, now: str, name: str, run_id: str) -> None:
    """Raise InputError if the version of a sweep's data has changed."""
    if before != now:
        raise InputError(
            f"sweep {run_id} searched on version {before[:10]} of {name}, and {now[:10]} is prepared now: "
            f"prepare the former version to continue the sweep, or start a new one"
        )
