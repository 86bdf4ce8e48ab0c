"""Choose and re-evaluate the finalists of a sweep."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from components.cluster import ray_cluster
from components.common import hashing
from components.common.errors import RunError
from components.config.sweep import Sweep
from components.records.sweep import Finalist, FinalistSeed, Winner
from components.records.trial import ScheduleEntry, Trial, Values
from components.tuning import capacity
from components.tuning.confirmation import interval
from components.tuning.repeat import Repeat, retrained
from components.tuning.trial_context import WORST, TrialContext

T = TypeVar("T")


def finalists(
    trials: Sequence[Trial],
    settings: Sweep,
    defaults: Values | None = None,
    scored: Sequence[Trial | Finalist] = (),
) -> list[Trial]:
    """Return the trials to evaluate again: those that were trained longest, the best of them first.

    If the sweep also optimises cost, only trials that no other beats in both are candidates; with the
    objective `cost`, the cheapest that are not worse than the experiment's own settings come first. These
    settings, `defaults`, are always included if given: as trial 0 if no trial had them.

    Args:
        trials: all trials of the sweep.
        settings: settings of the sweep.
        defaults: the experiment's own settings.
        scored: finalists that were evaluated already, none of which can win.

    Raises:
        RunError: no trial has a value.
    """
    candidates = [trial for trial in trials if trial.state in ("done", "stopped") and trial.value is not None]
    if not candidates:
        raise RunError(f"no trial of the sweep can win: {_why_none(trials, settings)}")
    chosen = _ranked(candidates, settings, defaults, scored)[: settings.finalists]
    if defaults is None or any(trial.values == defaults for trial in (*chosen, *scored)):
        return chosen
    same = [trial for trial in candidates if trial.values == defaults]
    return chosen + (same or [Trial(number=0, values=defaults)])


def _why_none(trials: Sequence[Trial], settings: Sweep) -> str:
    """Return why all trials are out: how many collapsed, and the first reason of those that failed."""
    collapsed = sum(trial.state == "collapsed" for trial in trials)
    diversity = f"samples whose diversity is below {settings.min_diversity:g} of that of real images"
    parts = [f"{collapsed} of {len(trials)} have {diversity} (sweep.min_diversity)"] if collapsed else []
    parts += [f"trial {trial.number} failed: {trial.reason}" for trial in trials if trial.reason][:1]
    return "; ".join(parts) or "none has a value"


def _ranked(
    candidates: Sequence[Trial], settings: Sweep, defaults: Values | None, scored: Sequence[Trial | Finalist]
) -> list[Trial]:
    """Return the candidates that were not scored, best first; of identical trainings, only the first."""
    ranked: list[Trial] = []
    identities = set(map(_identity, scored))
    for trial in sorted(candidates, key=lambda t: (_distance_to_end(t), _score(t), t.number)):
        if (identity := _identity(trial)) not in identities:
            identities.add(identity)
            ranked.append(trial)
    if not settings.cost:
        return ranked
    ranked = [t for t in ranked if not any(_beats(other, t) for other in ranked)]
    bounds = [_score(t) for t in candidates if t.values == defaults]
    if settings.objective == "cost" and bounds:
        ranked.sort(key=lambda t: (_score(t) > bounds[0], _cost(t) if _score(t) <= bounds[0] else 0.0))
    return ranked


def _identity(trial: Trial | Finalist) -> str:
    """Return a text that is equal for trials with the same training."""
    schedule = [entry.to_json() for entry in trial.schedule or []]
    return hashing.canonical([trial.values, schedule])


def _distance_to_end(trial: Trial) -> tuple[bool, int]:
    """Return a sort key: trials that are done first, then those with more evaluations."""
    done = trial.state == "done"
    return not done, 0 if done else -len(trial.curve)


def _score(trial: Trial) -> float:
    return WORST if trial.score is None else trial.score


def _cost(trial: Trial | Finalist) -> float:
    return WORST if trial.cost is None else trial.cost


def _mean(finalist: Finalist) -> float:
    return WORST if finalist.mean is None else finalist.mean


def _beats(a: Trial, b: Trial) -> bool:
    """Return whether trial `a` is better or cheaper than `b`, and neither worse nor costlier."""
    first, second = (_score(a), _cost(a)), (_score(b), _cost(b))
    return first != second and all(x <= y for x, y in zip(first, second, strict=True))


def comparable_finalists(scored: Sequence[Finalist], least: float) -> list[Finalist]:
    """Return the finalists that may win: with values of all seeds, and a diversity of at least `least`."""
    return [
        finalist
        for finalist in scored
        if finalist.mean is not None and finalist.diversity is not None and finalist.diversity >= least
    ]


@dataclass(frozen=True)
class Rescoring:
    """Train finalists with several seeds and evaluate them with more samples.

    Attributes:
        context: settings that trials share.
        settings: settings of the sweep.
        folder: folder in the store for results.
        seed: seed of the experiment's training, the first of several.
        side_by_side: number of parallel trainings.
        progress: called with the numbers of finished and of all trainings.
    """

    context: TrialContext
    settings: Sweep
    folder: str
    seed: int
    side_by_side: int
    progress: Callable[[int, int], None]

    def __call__(self, chosen: Sequence[Trial]) -> list[Finalist]:
        """Return the finalists of the chosen trials, in their order."""
        jobs = [self._job(trial, seed) for trial in chosen for seed in self._seeds]
        results: list[FinalistSeed] = []
        self.progress(0, len(jobs))
        for batch in batched(jobs, self.side_by_side):
            results += self._results(batch)
            self.progress(len(results), len(jobs))
        by_trial = batched(results, len(self._seeds))
        return [self._finalist(trial, repeats) for trial, repeats in zip(chosen, by_trial, strict=True)]

    @property
    def _seeds(self) -> range:
        return range(self.seed, self.seed + self.settings.seeds_per_finalist)

    def _job(self, trial: Trial, seed: int) -> Repeat:
        schedule = trial.schedule or [ScheduleEntry(values=trial.values)]
        return Repeat(self.context, tuple(schedule), seed, self.settings.finalist_samples, self.folder)

    def _results(self, jobs: Sequence[Repeat]) -> list[FinalistSeed]:
        """Train and evaluate jobs in parallel."""
        room = {"cpus": self.context.threads, "gpus": capacity.gpu_share(self.context, self.settings)}
        # Workers of a Ray Train run have their own resources, so the job that waits for them takes none.
        training = room if self.context.workers == 1 else {"cpus": 0, "gpus": 0}
        if self.context.model:
            models = [retrained(job) for job in jobs]
        else:
            models = ray_cluster.each(
                "components.tuning.repeat:retrained", [(job,) for job in jobs], **training
            )
        pairs = list(zip(jobs, models, strict=True))
        scored: list[FinalistSeed] = ray_cluster.each("components.tuning.repeat:rescored", pairs, **room)
        return scored

    def _finalist(self, trial: Trial, repeats: Sequence[FinalistSeed]) -> Finalist:
        values = [repeat.value for repeat in repeats if repeat.value is not None]
        mean, low, high = interval(values) if len(values) == len(repeats) else (None, None, None)
        diversity = [repeat.diversity for repeat in repeats if repeat.diversity is not None]
        costs = [repeat.cost for repeat in repeats if repeat.cost is not None]
        return Finalist(
            number=trial.number,
            values=trial.values,
            schedule=trial.schedule,
            repeats=list(repeats),
            mean=mean,
            low=low,
            high=high,
            n=min((repeat.n for repeat in repeats if repeat.n), default=self.settings.finalist_samples),
            cost=statistics.fmean(costs) if mean is not None else None,
            diversity=min(diversity, default=None),  # a finalist that collapses with one seed cannot win
        )


def batched(items: Sequence[T], n: int) -> Iterator[Sequence[T]]:
    """Return the items in batches of `n`."""
    return (items[i : i + n] for i in range(0, len(items), n))


def winner(scored: Sequence[Finalist], settings: Sweep, least: float, defaults: Values) -> Winner:
    """Return the finalist to train with all steps.

    Args:
        scored: the finalists, the lowest mean first.
        settings: settings of the sweep.
        least: the diversity that it must have.
        defaults: the experiment's own settings.

    Raises:
        RunError: the samples of all finalists have collapsed, or their trainings failed.
    """
    comparable = comparable_finalists(scored, least)
    if not comparable:
        reasons = [repeat.reason for finalist in scored for repeat in finalist.repeats if repeat.reason]
        raise RunError(
            f"none of the {len(scored)} best trials of the sweep completed training with diverse samples on "
            f"all of its seeds{f'; the first failure: {reasons[0]}' if reasons else ''}"
        )
    best = comparable[0]
    why = f"lowest mean of {len(best.repeats)} seeds"
    as_configured = next((finalist for finalist in comparable if finalist.values == defaults), None)
    if settings.objective == "cost" and as_configured is not None:
        best = min((f for f in comparable if _mean(f) <= _mean(as_configured)), key=_cost)
        why = "the cheapest that is not worse than the experiment's own settings"
    return Winner(number=best.number, values=best.values, schedule=best.schedule, mean=best.mean, why=why)
