"""Stores with a run that is a sweep: of any size, in any state, and one that means harm."""

import math
import random

import numpy as np

from components.config.sweep import Sweep
from components.tuning.importance import comparable_scores, importances
from components.tuning.recommendations import recommendations
from tests.report.fixture import HOSTILE, digits, lineage, manifest, sheet, stage, write_run

SWEEP = "20261125-070000-5ee9"
LR = {
    "name": "lr",
    "kind": "range",
    "low": 1e-4,
    "high": 4e-3,
    "scale": "log",
    "values": None,
    "integer": False,
    "default": 2e-4,
    "recommended": 2e-4,
    "source": "Radford et al. 2016, Sec. 4: 2e-4",
}
LOSS = {
    "name": "loss",
    "kind": "choice",
    "low": None,
    "high": None,
    "scale": None,
    "values": ["hinge", "logistic", "wasserstein"],
    "default": "hinge",
    "recommended": None,
    "source": None,
}
MORE = [
    LR | {"name": n, "low": low, "high": high, "scale": "linear", "default": at, "recommended": None}
    for n, low, high, at in (
        ("beta1", 0.0, 0.9, 0.5),
        ("minibatch_discrimination", 0, 32, 0),
        ("instance_noise", 0.0, 0.2, 0.0),
        ("latent", 16, 256, 64),
    )
]
FEW = {"resamples": 5, "shuffles": 5}


def values_of(rng, spaces) -> dict:
    def one(space):
        if space["kind"] == "choice":
            return rng.choice(space["values"])
        low, high = space["low"], space["high"]
        return low * (high / low) ** rng.random() if space["scale"] == "log" else rng.uniform(low, high)

    return {space["name"]: one(space) for space in spaces}


def rungs_of(scheduler: str) -> list[int]:
    return Sweep(search={"lr": None}, scheduler=scheduler, trials=8, judgements=8, grace=2, factor=2).rungs


def trial(number: int, values: dict, rng, last: int = 8, **more) -> dict:
    """A trial that was judged up to `last`, the better the nearer its lr to 8e-4."""
    goal = 1.6 + 2.2 * math.log10(values["lr"] / 8e-4) ** 2 + 0.6 * (values.get("loss") == "wasserstein")
    curve = [
        {
            "judged": j,
            "step": 100 * j,
            "value": goal + 9 * math.exp(-j / 2) + rng.uniform(0, 0.2),
            "diversity": rng.uniform(0.7, 1.0),
            "seconds": 7.0 * j,
        }
        for j in range(1, last + 1)
    ]
    key = f"{number:016x}"
    folder = f"store/trial/{key}/attempts/1"
    return {
        "number": number,
        "values": values,
        "state": "done" if last == 8 else "stopped",
        "reason": None,
        "uri": folder,
        "key": key,
        "curve": curve,
        "value": curve[-1]["value"] if curve else None,
        "cost": 7.0 * last,
        "step": 100 * last,
        "rung": max((rung for rung in rungs_of("asha") if rung <= last), default=0),
        "seconds": 7.0 * last + 2.1,
        "events": 0,
        "picture": f"{folder}/samples/step-{100 * last:06d}.webp" if curve else None,
        "schedule": None,
        "began": None,
        "offset": 32.0 * number,
        **more,
    }


def told(n: int = 16, spaces=(LR, LOSS), scheduler: str = "asha", seed: int = 0, **more) -> dict:
    """What a sweep of `n` trials has found."""
    rng = random.Random(seed)
    drawn = [trial(i, values_of(rng, spaces), rng, 2) for i in range(1, n + 1)]
    ranked = sorted(drawn, key=lambda t: t["value"])
    on = {t["number"]: (8 if r < max(1, n // 4) else 4 if r < n // 2 else 2) for r, t in enumerate(ranked)}
    if scheduler != "asha":
        on = dict.fromkeys(on, 8)
    trials = [trial(t["number"], t["values"], rng, on[t["number"]]) for t in drawn]
    if n > 4:
        bad = trials[n // 3]
        bad |= {"state": "failed", "reason": "loss G/score was not finite at step 12", "value": None}
        bad |= {"curve": [], "picture": None, "rung": 0, "step": 12, "cost": 3.0}
        flat = trials[n // 2]
        flat |= {"state": "collapsed", "reason": "diversity 0.21 is below 0.5", "events": 2}
    good = [t for t in trials if t["state"] == "done"] or trials
    best = sorted(good, key=lambda t: t["value"])[:3]
    finalists = [
        {
            "number": t["number"],
            "values": t["values"],
            "repeats": [
                {"seed": s, "value": t["value"] + rng.uniform(-0.2, 0.2), "diversity": 0.9} for s in (11, 12)
            ],
            "mean": t["value"],
            "low": t["value"] - 0.3,
            "high": t["value"] + 0.3,
            "n": 400,
        }
        for t in best
    ]
    scores = comparable_scores(trials, rungs_of(scheduler))
    found = importances(spaces, scores, **FEW)
    decisions = [
        {
            "offset": 32.0 * t["number"] + 14,
            "trial": t["number"],
            "judged": t["rung"],
            "did": "stopped" if t["state"] == "stopped" else "went on",
            "why": f"3.4 is above 2.9, the best half of {t['number']} trials at that rung",
        }
        for t in trials
    ]
    return {
        "family": "dcgan",
        "kind": "training",
        "seed": seed,
        "metric": {"name": "frechet_distance", "n": 256, "split": "validation", "floor": 0.4},
        "cost": {"name": "seconds of training", "unit": "s"},
        "settings": {
            "searcher": "random",
            "scheduler": scheduler,
            "trials": n,
            "steps": 800,
            "judgements": 8,
            "rungs": rungs_of(scheduler),
            "factor": 2,
            "concurrent": 2,
            "because": "2 cores, 1 thread a trial",
            "diversity": 0.5,
        },
        "hyperparameters": list(spaces),
        "trials": trials,
        "decisions": decisions,
        "finalists": finalists,
        "winner": {
            "number": best[0]["number"],
            "values": best[0]["values"],
            "schedule": None,
            "why": "lowest mean over 2 seeds",
        },
        "importance": found and {"n": len(scores), "at": "the first rung", "of": found},
        "recommendations": recommendations(spaces, scores, found or {}),
        "overhead_seconds": {"mean": 2.1, "max": 4.0},
        **more,
    }


def population(n: int = 8) -> dict:
    """What population-based training of `n` trials has found; every 200 steps two take over two others."""
    swept = told(n, (LR,), "pbt")
    rng = random.Random(1)
    alive = [t for t in swept["trials"] if t["state"] == "done"]
    for t in alive:
        t["schedule"] = [{"step": 0, "values": t["values"]}]
    for step in (200, 400, 600):
        ranked = sorted(alive, key=lambda t: t["curve"][step // 100 - 1]["value"])
        for good, poor in zip(ranked[:2], ranked[-2:], strict=True):
            lr = good["schedule"][-1]["values"]["lr"] * rng.choice((0.8, 1.25))
            change = {"step": step, "values": {"lr": lr}, "from": good["number"]}
            began = {"values": poor["values"], "curve": poor["curve"][: step // 100], "state": "done"}
            poor["began"] = poor["began"] or began
            poor["schedule"] = [*good["schedule"], change]  # with the weights, their past is taken over
            poor["values"] = good["values"] | {"lr": lr}
            swept["decisions"].append(
                {"trial": poor["number"], "donor": good["number"], "judged": step // 100}
                | {"did": "exploited", "why": "", "values": poor["values"]}
            )
    moved = max(alive, key=lambda t: len(t["schedule"]))
    swept["winner"] |= {k: moved[k] for k in ("number", "values", "schedule")}
    return swept


def sampling(n: int = 12) -> dict:
    """What a search over settings of sampling has found."""
    rng = random.Random(2)
    steps = LR | {
        "name": "sampler_steps",
        "low": 4,
        "high": 64,
        "default": 50,
        "integer": True,
        "source": None,
    }
    steps["recommended"] = None
    sampler = LOSS | {"name": "sampler", "values": ["ddim", "heun"], "default": "ddim"}
    trials = []
    for i in range(1, n + 1):
        values = {"sampler_steps": rng.randint(4, 64), "sampler": rng.choice(sampler["values"])}
        value = 3 + (60 if values["sampler"] == "ddim" else 35) / values["sampler_steps"]
        made = trial(i, {"lr": 1e-3}, rng, 1) | {"values": values, "value": value, "state": "done"}
        trials.append(made | {"cost": values["sampler_steps"] * (1 + (values["sampler"] == "heun"))})
    more = {
        "cost": {"name": "network evaluations an image", "unit": ""},
        "kind": "sampling",
        "trials": trials,
    }
    swept = told(1, (LR,), "none") | more
    return swept | {
        "family": "diffusion",
        "hyperparameters": [steps, sampler],
        "finalists": [],
        "winner": None,
        "importance": None,
        "recommendations": recommendations([steps, sampler], comparable_scores(trials, []), {}),
    }


def hostile() -> dict:
    """A sweep whose every string means harm, with junk between what can be shown."""
    swept = told(10)
    swept["hyperparameters"] = [LR, LOSS | {"name": HOSTILE, "values": [HOSTILE, "b"], "source": HOSTILE}, 3]
    for t in swept["trials"]:
        t["values"][HOSTILE] = HOSTILE
        t |= {"reason": HOSTILE, "key": HOSTILE, "uri": HOSTILE, "picture": f"../../{HOSTILE}.webp"}
    swept["trials"][0]["state"] = HOSTILE
    swept["trials"] += [3, {}, {"number": HOSTILE}, {"number": 99, "curve": [1, {"judged": HOSTILE}]}]
    swept["trials"].append(
        {"number": 98, "value": math.nan, "cost": HOSTILE, "schedule": [{"step": HOSTILE}]}
    )
    swept["decisions"] = [{"did": HOSTILE, "why": HOSTILE, "offset": HOSTILE}, 3]
    swept["finalists"] = [f | {"values": {HOSTILE: HOSTILE}, "repeats": [3]} for f in swept["finalists"]]
    swept["winner"] = {
        "number": 1,
        "values": {HOSTILE: HOSTILE},
        "schedule": [{"step": HOSTILE}],
        "why": HOSTILE,
    }
    swept["metric"]["name"] = swept["cost"]["name"] = swept["cost"]["unit"] = HOSTILE
    for name in ("searcher", "scheduler", "because", "steps", "diversity"):
        swept["settings"][name] = HOSTILE
    row = {
        "name": HOSTILE,
        "says": HOSTILE,
        "source": HOSTILE,
        "verdict": HOSTILE,
        "shares": [[HOSTILE, 1, 2]],
    }
    return swept | {
        "recommendations": [row, 3],
        "importance": {"of": {HOSTILE: {"value": HOSTILE}}, "n": HOSTILE},
    }


def duel() -> dict:
    return {
        "metric": "frechet_distance",
        "n": 1000,
        "split": "test",
        "floor": 0.3,
        "seeds": [101, 102, 103],
        "winner": [1.52, 1.61, 1.49],
        "default": [1.66, 1.58, 1.70],
        "difference": {"value": -0.107, "low": -0.31, "high": 0.09},
        "says": "no significant gain",
    }


def write(
    store, swept: dict, *, state: str = "ran", against: dict | None = None, pictures: bool = True
) -> str:
    """A run with a sweep, finished or (state "running") with what it has so far; returns its id."""
    family, uri = "dcgan", "store/sweep/5ee9000000000000"
    if state == "running":
        nothing = dict.fromkeys(("finalists", "winner", "importance", "recommendations"))
        store.write_json(f"{uri}/attempts/1/progress.json", {"swept": swept | nothing})
    else:
        store.write_json(f"{uri}/attempts/1/result.json", {"swept": swept})
        store.write_json(f"{uri}/_SUCCESS", {"attempt": 1})
    for t in swept["trials"] if pictures else []:
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
        store.write_json(f"{other}/attempts/1/result.json", {"duel": against})
        store.write_json(f"{other}/_SUCCESS", {"attempt": 1})
        stages.append(stage("confirmation", family, "ran", 395.0, 12.0, uri=other))
    status = "running" if state == "running" else "done"
    run = manifest(SWEEP, status, stages, [], lineage=lineage(families=[family]), command="atelier sweep")
    write_run(store, run)
    return SWEEP
