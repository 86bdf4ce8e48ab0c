"""The pipeline of a sweep: trials, finalists, the winner at full budget against what it was to beat."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from prefect import flow, task

from components.cluster import ray_cluster, resources
from components.common.errors import Diverged, RunError
from components.families.resolve import resolved, with_upstream
from components.pipeline import work
from components.pipeline.plan import Plan
from components.pipeline.work import Basis
from components.stages import cache
from components.stages.cache import Done
from components.store import Store
from components.tuning import confirmation
from components.tuning import sweep as tuning_sweep
from components.tuning.sweep import full_schedule
from components.tuning.trial_log import OVER, Story
from flows import tasks
from flows.pipeline import finished, founded, trained_and_judged
from flows.run import RUNS


@flow(
    name="atelier-sweep", flow_run_name="{run_id}", retries=0, persist_result=False, validate_parameters=False
)
def sweep(run_id: str, experiment: dict[str, Any]) -> str:
    """Run the sweep of an experiment; returns done, partial or failed.

    What the swept family builds on is trained first, and the family itself where nothing but its sampling is
    searched: then the model is what is published, as the experiment has it, and the winner is what to draw
    with. Else the winner takes the place of the experiment's own settings: what is published, shown and
    compared with other runs are its ordinary stages, cached like any other's.
    """
    run = RUNS[run_id]
    ray_cluster.connect()  # before the plan says so: how many trials fit is a question to the cluster
    basis = founded(run)
    family, plan = run.experiment.swept, run.plan
    drawing = all(h.sampling for h in plan.searched)
    below = [f for f in run.experiment.families if f != family or drawing]
    trained, evaluated = trained_and_judged(run, basis, below)
    if missing := [f for f in below if f not in trained]:
        raise RunError(
            f"the sweep needs {missing[0]}, which could not be trained: {run.failed.get(missing[0])}"
        )
    latents = None
    if run.plan.keeps_latents(family) and not drawing:
        models = {called: trained[other] for called, other in plan.upstream(family).items()}
        latents = tasks.latents(run_id, family, basis.data, models)
    found = search(run_id, family, basis, trained, latents)
    examined = {f"sweep/{family}": found}
    seeds = run.experiment.sweep and run.experiment.sweep.fresh_seeds
    if drawing:
        if seeds:
            examined[f"duel/{family}"] = drawing_duel(run_id, family, basis, found, trained[family])
        return finished(run, basis, trained, evaluated, examined)
    if seeds:
        examined[f"duel/{family}"] = training_duel(run_id, family, basis, found, trained, latents)
    winner = cache.read(run.store, found)["swept"]["winner"]
    run.plan = contender(plan, family, winner, fresh(plan)[0])
    run.experiment = run.plan.experiment
    trained, evaluated = trained_and_judged(run, basis, list(run.experiment.families))
    return finished(run, basis, trained, evaluated, examined)


def fresh(plan: Plan) -> list[int]:
    """Seeds that nothing in the sweep was trained with."""
    sweep = plan.experiment.sweep
    assert sweep is not None
    first = plan.experiment.training(plan.experiment.swept).seed + FRESH
    return [first + i for i in range(max(1, sweep.fresh_seeds))]


FRESH = 1000

SHOWN_EVERY = 15.0  # seconds between two pages of a sweep under way


@task(name="sweep", task_run_name="sweep {family}", **tasks.OPTIONS)
def search(run_id: str, family: str, basis: Basis, trained: dict[str, Done], latents: Done | None) -> Done:
    """Trials and finalists."""
    run = RUNS[run_id]
    plan, settings = run.plan, run.plan.experiment.sweep
    assert settings is not None
    searched = plan.searched
    drawing = all(h.sampling for h in searched)
    spec = plan.sweep(family, drawing)
    block = plan.experiment.families[family]
    terms = work.terms(run.store, run_id, plan, family, basis, trained, latents, drawing)

    shown = 0.0

    def moved(story: Story) -> None:
        nonlocal shown
        counts, left = story.counts(), story.left()
        over = sum(n for state, n in counts.items() if state in OVER)
        told = [", ".join(f"{n} {state}" for state, n in counts.items() if state != "waiting")]
        if over == story.planned:
            told.append(f"finalists: {story.finals[0]} of {story.finals[1]} judged again")
        if left is not None:
            told.append(f"about {left / 60:.0f} min left")
        run.board.move(spec.title, over, story.planned, "; ".join(told))
        run.record.stage(spec, "running", trials=counts, finals=story.finals, seconds_left=left)
        if time.monotonic() - shown > SHOWN_EVERY:
            shown = time.monotonic()
            run.show()

    def body(attempt: Store, number: int) -> dict[str, Any]:
        keep, seed = block["train"]["keep"], block["train"]["seed"]
        told = tuning_sweep.sweep(
            run.store, attempt, terms, searched, settings, seed=seed, keep=keep, moved=moved
        )
        return {"swept": told}

    return run.stage(spec, body)


def contender(plan: Plan, family: str, winner: Mapping[str, Any] | None, seed: int) -> Plan:
    """The plan with the winner's settings, or its own, at full budget with another seed."""
    block, settings = plan.experiment.families[family], plan.experiment.sweep
    assert settings is not None
    if winner is not None:
        block = full_schedule(block, dict(winner), settings.steps or block["train"]["steps"])
    block = block | {"train": block["train"] | {"seed": seed}}
    changed = plan.experiment.model_copy(update={"families": plan.experiment.families | {family: block}})
    return replace(plan, experiment=resolved(changed, plan.device, block["train"]["precision"]))


@task(name="duel", task_run_name="duel {family}", **tasks.OPTIONS)
def training_duel(
    run_id: str, family: str, basis: Basis, found: Done, trained: dict[str, Done], latents: Done | None
) -> Done:
    """Both, trained with all the budget on each fresh seed, and judged on the test split."""
    run = RUNS[run_id]
    winner = cache.read(run.store, found)["swept"]["winner"]
    plans = {
        (side, seed): contender(run.plan, family, winner if side == "winner" else None, seed)
        for seed in fresh(run.plan)
        for side in confirmation.SIDES
    }
    models = {called: trained[other] for called, other in run.plan.upstream(family).items()}
    spec = run.plan.duel(
        family, found.key, {f"{a} {b}": p.evaluate(family).key for (a, b), p in plans.items()}
    )

    def body(attempt: Store, number: int) -> dict[str, Any]:
        over = 0

        def one(plan: Plan) -> Done | str:
            nonlocal over
            try:
                done: Done | str = work.full(run.store, plan, family, basis, models, latents, run_id)
            except Diverged as error:  # with one seed, of which there are several
                done = str(error)
            over += 1
            run.board.move(spec.title, over, len(plans), "trained and judged")
            return done

        together = resources.side_by_side(with_upstream(run.experiment, [family]), of=len(plans))
        with ThreadPoolExecutor(together) as pool:
            judged = dict(zip(plans, pool.map(one, plans.values()), strict=True))
        return {"duel": work.duel(run.store, judged)}

    return run.stage(spec, body)


@task(name="duel", task_run_name="duel {family}", **tasks.OPTIONS)
def drawing_duel(run_id: str, family: str, basis: Basis, found: Done, trained: Done) -> Done:
    """Both settings of sampling, with the same model, on each fresh seed and the test split."""
    run = RUNS[run_id]
    winner = cache.read(run.store, found)["swept"]["winner"]
    seeds = fresh(run.plan)
    spec = run.plan.drawing_duel(family, found.key, winner["values"], seeds)
    arguments = (basis, trained, family, winner["values"], seeds, run.plan.evaluate_settings)

    def body(attempt: Store, number: int) -> dict[str, Any]:
        return {"duel": work.drawing_duel(run.store, attempt, *arguments, run.plan.device)}

    return run.stage(spec, body)
