"""Find out whether a run would compute anything, without starting it."""

from __future__ import annotations

from pydantic import ValidationError

from components.pipeline import confirmation, sweep
from components.pipeline.graph import planned
from components.pipeline.plan import Plan
from components.pipeline.stage import Stage
from components.records.stages import SearchResult
from components.records.stored import StoredResult, Success
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.store.errors import MISSING_OR_TORN


def made_by(plan: Plan, store: Store) -> str | None:
    """Return the run that made the newest result, if a run or sweep would compute nothing; else None.

    The files of the results are not verified: a run that begins does that.
    """
    results = []
    for _, spec in (_stages(plan, store) or {}).values():
        folder = store.child(spec.uri)
        try:
            success = Success.model_validate(folder.read_json("_SUCCESS"))
            content = folder.read_json(f"attempts/{success.attempt}/result.json")
            result = StoredResult.model_validate(content)
        except (*MISSING_OR_TORN, ValidationError):
            return None
        results.append((result.started, result.run_id))
    return max(results)[1] if results else None


def _stages(plan: Plan, store: Store) -> dict[str, tuple[Stage, Spec]] | None:
    """Return the stages of a run; None if those after a search are not known, since it has no result."""
    settings = plan.experiment.sweep
    if settings is None:
        return planned(plan)
    family = plan.experiment.swept
    search = sweep.spec(plan, family)
    if (done := cache.finished(store, search)) is None:
        return None
    winner = SearchResult.model_validate(cache.read(store, done)).swept.winner
    assert winner is not None, "a sweep without a winner fails"
    searched = {f"sweep/{family}": (sweep.STAGE, search)}
    if settings.confirmation_seeds:
        confirmed = confirmation.spec(plan, family, search.key, winner)
        searched[f"confirmation/{family}"] = confirmation.STAGE, confirmed
    if not sweep.samples_only(plan):
        plan = confirmation.contender(plan, family, winner, confirmation.confirmation_seeds(plan)[0])
    return planned(plan, searched)
