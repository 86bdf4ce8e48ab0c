"""Stores with a run that is a sweep: of any size, in any state, and one that means harm."""

import math
import random

import numpy as np

from components.config.sweep import Sweep
from components.records.sweep import (
    Confirmation,
    Cost,
    Difference,
    Finalist,
    FinalistSeed,
    Importance,
    Overhead,
    SearchedHyperparameter,
    SweepMetric,
    SweepResult,
    SweepSettings,
    Winner,
)
from components.records.trial import CurvePoint, Decision, ScheduleEntry, Trial, TrialState
from components.tuning.importance import comparable_scores, importances
from components.tuning.recommendations import recommendations
from tests.report.fixture import HOSTILE, digits, lineage, manifest, sheet, stage, write_run

SWEEP = "20261125-070000-5ee9"
LR = SearchedHyperparameter(
    name="lr",
    low=1e-4,
    high=4e-3,
    scale="log",
    default=2e-4,
    recommended=2e-4,
    source="Radford et al. 2016, Sec. 4: 2e-4",
)
LOSS = SearchedHyperparameter(
    name="loss", kind="choice", values=["hinge", "logistic", "wasserstein"], default="hinge"
)
FEW = {"resamples": 5, "shuffles": 5}


def values_of(rng, spaces) -> dict:
    def one(space):
        if space.kind == "choice":
            return rng.choice(space.values)
        low, high = space.low, space.high
        return low * (high / low) ** rng.random() if space.scale == "log" else rng.uniform(low, high)

    return {space.name: one(space) for space in spaces}


def rungs_of(scheduler: str) -> list[int]:
    return Sweep(
        search={"lr": None}, scheduler=scheduler, trials=8, evaluations=8, grace_period=2, reduction_factor=2
    ).rungs


def trial(number: int, values: dict, rng, last: int = 8) -> Trial:
    """A trial that was judged up to `last`, the better the nearer its lr to 8e-4."""
    goal = 1.6 + 2.2 * math.log10(values["lr"] / 8e-4) ** 2 + 0.6 * (values.get("loss") == "wasserstein")
    curve = [
        CurvePoint(
            judged=j,
            step=100 * j,
            value=goal + 9 * math.exp(-j / 2) + rng.uniform(0, 0.2),
            diversity=rng.uniform(0.7, 1.0),
            seconds=7.0 * j,
        )
        for j in range(1, last + 1)
    ]
    key = f"{number:016x}"
    folder = f"store/trial/{key}/attempts/1"
    return Trial(
        number=number,
        values=values,
        state="done" if last == 8 else "stopped",
        uri=folder,
        key=key,
        curve=curve,
        value=curve[-1].value,
        cost=7.0 * last,
        step=100 * last,
        rung=max((rung for rung in rungs_of("asha") if rung <= last), default=0),
        seconds=7.0 * last + 2.1,
        picture=f"{folder}/samples/step-{100 * last:06d}.webp",
        offset=32.0 * number,
    )


def trials_of(n: int, spaces, scheduler: str, rng) -> list[Trial]:
    """Trials as a scheduler leaves them; with more than four, one fails and one collapses."""
    drawn = [trial(i, values_of(rng, spaces), rng, 2) for i in range(1, n + 1)]
    ranked = sorted(drawn, key=lambda t: t.value)
    on = {t.number: (8 if r < max(1, n // 4) else 4 if r < n // 2 else 2) for r, t in enumerate(ranked)}
    if scheduler != "asha":
        on = dict.fromkeys(on, 8)
    trials = [trial(t.number, t.values, rng, on[t.number]) for t in drawn]
    if n > 4:
        bad = {"state": "failed", "reason": "loss G/score was not finite at step 12", "value": None}
        bad |= {"curve": [], "picture": None, "rung": 0, "step": 12, "cost": 3.0}
        trials[n // 3] = trials[n // 3].model_copy(update=bad)
        flat = {"state": "collapsed", "reason": "diversity 0.21 is below 0.5", "events": 2}
        trials[n // 2] = trials[n // 2].model_copy(update=flat)
    return trials


def finalist(t: Trial, rng) -> Finalist:
    repeats = [FinalistSeed(seed=s, value=t.value + rng.uniform(-0.2, 0.2), diversity=0.9) for s in (11, 12)]
    ends = {"low": t.value - 0.3, "high": t.value + 0.3}
    return Finalist(number=t.number, values=t.values, repeats=repeats, mean=t.value, **ends, n=400)


def decision(t: Trial) -> Decision:
    return Decision(
        offset=32.0 * t.number + 14,
        trial=t.number,
        judged=t.rung,
        did="stopped" if t.state == "stopped" else "went on",
        why=f"3.4 is above 2.9, the best half of {t.number} trials at that rung",
    )


def swept(n: int = 16, spaces=(LR, LOSS), scheduler: str = "asha", seed: int = 0) -> SweepResult:
    """What a sweep of `n` trials has found."""
    rng = random.Random(seed)
    trials = trials_of(n, spaces, scheduler, rng)
    good = [t for t in trials if t.state == "done"] or trials
    best = sorted(good, key=lambda t: t.value)[:3]
    scores = comparable_scores(trials, rungs_of(scheduler))
    shares = importances(spaces, scores, **FEW)
    return SweepResult(
        family="dcgan",
        kind="training",
        seed=seed,
        metric=SweepMetric(name="frechet_distance", n=256, split="validation", real_baseline=0.4),
        cost=Cost(name="seconds of training", unit="s"),
        settings=SweepSettings(
            searcher="random",
            scheduler=scheduler,
            trials=n,
            steps=800,
            evaluations=8,
            rungs=rungs_of(scheduler),
            reduction_factor=2,
            concurrent=2,
            because="2 cores, 1 thread a trial",
            min_diversity=0.5,
        ),
        hyperparameters=list(spaces),
        trials=trials,
        decisions=[decision(t) for t in trials],
        finalists=[finalist(t, rng) for t in best],
        winner=Winner(number=best[0].number, values=best[0].values, why="lowest mean over 2 seeds"),
        importance=shares and Importance(n=len(scores), at="the first rung", of=shares),
        recommendations=recommendations(spaces, scores, shares or {}),
        overhead_seconds=Overhead(mean=2.1, max=4.0),
    )


def population(n: int = 8) -> SweepResult:
    """What population-based training of `n` trials has found; every 200 steps two take over two others."""
    made = swept(n, (LR,), "pbt")
    rng = random.Random(1)
    alive = [t for t in made.trials if t.state == "done"]
    for t in alive:
        t.schedule = [ScheduleEntry(values=t.values)]
    for step in (200, 400, 600):
        ranked = sorted(alive, key=lambda t: t.curve[step // 100 - 1].value)
        for good, poor in zip(ranked[:2], ranked[-2:], strict=True):
            lr = good.schedule[-1].values["lr"] * rng.choice((0.8, 1.25))
            began = TrialState(values=poor.values, curve=poor.curve[: step // 100], state="done")
            poor.began = poor.began or began
            # With the weights, their past is taken over.
            entry = ScheduleEntry(step=step, values={"lr": lr}, donor=good.number)
            poor.schedule = [*good.schedule, entry]
            poor.values = {**good.values, "lr": lr}
            about = {"judged": step // 100, "did": "exploited", "values": poor.values}
            made.decisions.append(Decision(trial=poor.number, donor=good.number, **about))
    moved = max(alive, key=lambda t: len(t.schedule))
    made.winner = Winner(
        number=moved.number, values=moved.values, schedule=moved.schedule, why=made.winner.why
    )
    return made


def sampling(n: int = 12) -> SweepResult:
    """What a search over settings of sampling has found."""
    rng = random.Random(2)
    about = {"low": 4, "high": 64, "scale": "log", "default": 50, "integer": True}
    steps = SearchedHyperparameter(name="sampler_steps", **about)
    sampler = SearchedHyperparameter(name="sampler", kind="choice", values=["ddim", "heun"], default="ddim")
    trials = []
    for i in range(1, n + 1):
        values = {"sampler_steps": rng.randint(4, 64), "sampler": rng.choice(sampler.values)}
        value = 3 + (60 if values["sampler"] == "ddim" else 35) / values["sampler_steps"]
        cost = values["sampler_steps"] * (1.0 + (values["sampler"] == "heun"))
        changes = {"values": values, "value": value, "state": "done", "cost": cost}
        trials.append(trial(i, {"lr": 1e-3}, rng, 1).model_copy(update=changes))
    made = swept(1, (LR,), "none")
    made.family, made.kind, made.trials, made.hyperparameters = (
        "diffusion",
        "sampling",
        trials,
        [steps, sampler],
    )
    made.cost = Cost(name="network evaluations an image")
    made.finalists, made.winner, made.importance = [], None, None
    made.recommendations = recommendations([steps, sampler], comparable_scores(trials, []), {})
    return made


def hostile() -> dict:
    """A sweep whose every string means harm, with junk between what can be shown."""
    made = swept(10)
    harm = {"name": HOSTILE, "source": HOSTILE}
    made.hyperparameters = [LR, LOSS.model_copy(update=harm | {"values": [HOSTILE, "b"]})]
    for t in made.trials:
        t.values = {**t.values, HOSTILE: HOSTILE}
        t.reason = t.key = t.uri = HOSTILE
        t.picture = f"../../{HOSTILE}.webp"
    made.trials[0].state = HOSTILE
    made.decisions = [Decision(trial=1, did=HOSTILE, why=HOSTILE)]
    for f in made.finalists:
        f.values = {HOSTILE: HOSTILE}
    schedule = [ScheduleEntry(values={HOSTILE: HOSTILE}, donor=HOSTILE)]
    made.winner = Winner(number=1, values={HOSTILE: HOSTILE}, schedule=schedule, why=HOSTILE)
    made.metric.name = made.cost.name = made.cost.unit = HOSTILE
    made.settings.searcher = made.settings.scheduler = made.settings.because = HOSTILE
    return with_junk(made.to_json())


def with_junk(made: dict) -> dict:
    """The JSON of a sweep with values that do not fit."""
    made["hyperparameters"].append(3)
    made["trials"] += [3, {}, {"number": HOSTILE}, {"number": 99, "curve": [1, {"judged": HOSTILE}]}]
    made["trials"].append({"number": 98, "value": math.nan, "cost": HOSTILE, "schedule": [{"step": HOSTILE}]})
    made["decisions"] += [{"did": HOSTILE, "why": HOSTILE, "offset": HOSTILE}, 3]
    made["finalists"].append({"number": 1, "mean": 2.0, "repeats": [3], "values": HOSTILE})
    made["settings"] |= {"steps": HOSTILE, "diversity": HOSTILE}
    row = {"name": HOSTILE, "says": HOSTILE, "source": HOSTILE, "verdict": HOSTILE}
    row["shares"] = [{"value": HOSTILE, "best": 1, "trials": 2}, [HOSTILE, 1, 2]]
    return made | {
        "recommendations": [row, 3],
        "importance": {"of": {HOSTILE: {"value": HOSTILE}}, "n": HOSTILE},
    }


def confirmation() -> Confirmation:
    return Confirmation(
        metric="frechet_distance",
        n=1000,
        split="test",
        real_baseline=0.3,
        seeds=[101, 102, 103],
        winner=[1.52, 1.61, 1.49],
        default=[1.66, 1.58, 1.70],
        difference=Difference(value=-0.107, low=-0.31, high=0.09),
        says="no significant gain",
    )


def write(
    store,
    made: SweepResult | dict,
    *,
    state: str = "ran",
    against: Confirmation | None = None,
    pictures: bool = True,
) -> str:
    """A run with a sweep, finished or (state "running") with what it has so far; returns its id."""
    family, uri = "dcgan", "store/sweep/5ee9000000000000"
    if isinstance(made, SweepResult) and state == "running":
        nothing = {"finalists": [], "winner": None, "importance": None, "recommendations": []}
        made = made.model_copy(update=nothing)
    content = made.to_json() if isinstance(made, SweepResult) else made
    if state == "running":
        store.write_json(f"{uri}/attempts/1/progress.json", {"swept": content})
    else:
        store.write_json(f"{uri}/attempts/1/result.json", {"swept": content})
        store.write_json(f"{uri}/_SUCCESS", {"attempt": 1})
    for t in content["trials"] if pictures else []:
        if isinstance(t, dict) and str(t.get("picture")).startswith("store/trial/"):
            rng = np.random.default_rng(t["number"])
            noisy = digits() + rng.normal(0, 25 * t["value"] if t["value"] else 200, (64, 28, 28))
            store.write_bytes(t["picture"], sheet(np.clip(noisy, 0, 255).astype("uint8")))
    stages = [
        stage("prepare", None, "ran", 0.2, 2.0),
        stage("sweep", family, state, 3.0, 391.0, 360.0, uri=uri, key=uri.rsplit("/", 1)[1]),
    ]
    if against:
        other = "store/confirmation/d0e1000000000000"
        store.write_json(f"{other}/attempts/1/result.json", {"confirmation": against.to_json()})
        store.write_json(f"{other}/_SUCCESS", {"attempt": 1})
        stages.append(stage("confirmation", family, "ran", 395.0, 12.0, uri=other))
    status = "running" if state == "running" else "done"
    run = manifest(SWEEP, status, stages, [], lineage=lineage(families=[family]), command="atelier sweep")
    write_run(store, run)
    return SWEEP
