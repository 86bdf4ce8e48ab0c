"""Decisions of people about champions: promote, reject, roll back."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from typing import Any

from components.common.errors import InputError
from components.common.public import public
from components.common.suggestions import did_you_mean
from components.records.gate import Champion, Judgement, Rejection
from components.records.run import RunManifest
from components.registry import champions
from components.store import Store

USER = "ATELIER_USER"
FINISHED = ("done", "partial")


def decider() -> str:
    """Return who decides: ATELIER_USER, or the name of the user's account."""
    try:
        return os.environ.get(USER) or getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return "unknown"


def promote(store: Store, run: RunManifest, family: str, why: str, *, override: bool = False) -> Champion:
    """Make a result of a run the champion of its data set and task.

    With `override`, what the gate has not blessed is promoted too; the entry says so for ever.

    Raises:
        InputError: the run failed or was not judged, the result is not blessed, has expired or was judged
            against an earlier champion, or its files have changed; `override` needs a reason.
    """
    judgement = judged(run, family)
    if run.smoke:
        raise InputError(f"run {run.run_id} is a smoke run, which trains a few steps only; run it in full")
    now = champions.current(store, judgement.data_set, judgement.task)
    if now and now.model.weights == judgement.model.weights:
        raise InputError(f"{_address(run, family)} is champion {now.number} already")
    objections = against(store, judgement, now)
    if objections and not (override and why.strip()):
        advice = (
            "--override with --reason TEXT promotes it nevertheless, and the history shows this for ever"
            if not override
            else "--override needs --reason TEXT"
        )
        raise InputError(f"{_address(run, family)} is not promoted: {'; '.join(objections)}; {advice}")
    champion = Champion(
        number=(now.number if now else 0) + 1,
        judgement=judgement,
        override=bool(objections),
        **decision(why or "promoted by hand"),
    )
    champions.check_files(store, champion)
    return champions.append(store, champion)


def reject(store: Store, run: RunManifest, family: str, why: str) -> Rejection:
    """Record a decision against a result of a run; the gate does not promote its model from then on.

    Raises:
        InputError: the run was not judged, the model is the champion or was rejected before, or there is no
            reason.
    """
    judgement = judged(run, family)
    of = judgement.data_set, judgement.task
    now = champions.current(store, *of)
    if now and now.model.weights == judgement.model.weights:
        raise InputError(
            f"{_address(run, family)} is champion {now.number}; "
            f"`atelier rollback {of[0]} {of[1]}` replaces it"
        )
    earlier = champions.rejections(store, *of)
    if before := next((r for r in earlier if r.judgement.model.weights == judgement.model.weights), None):
        raise InputError(f"{_address(run, family)} was rejected before, by {before.who}: {before.why}")
    number = (earlier[-1].number if earlier else 0) + 1
    content = decision(_reason(why))
    return champions.reject(store, Rejection(number=number, judgement=judgement, **content))


def rollback(store: Store, data_set: str, task: str, why: str, to: int | None = None) -> Champion:
    """Make an earlier champion the champion again, in a new entry.

    Args:
        store: with the champions.
        data_set: of the champions.
        task: of the champions.
        why: the reason.
        to: the number of the entry to return to; None: the model before the current one.

    Raises:
        InputError: there is no such entry, its model is the champion already, or its files have changed.
    """
    why, entries = _reason(why), champions.history(store, data_set, task)
    if not entries:
        raise InputError(f"there is no champion of {data_set}/{task}; `atelier champions` lists all")
    now = entries[-1]
    if to is None:
        origin = now.restores or now.number
        earlier = [e for e in entries[: origin - 1] if e.model.weights != now.model.weights]
        if not earlier:
            raise InputError(f"champion {origin} of {data_set}/{task} is the first: nothing is before it")
        target = earlier[-1]
    elif not 1 <= to <= len(entries):
        raise InputError(f"--to {to}: {data_set}/{task} has champions 1 to {len(entries)}")
    else:
        target = entries[to - 1]
    if target.model.weights == now.model.weights:
        raise InputError(f"--to {to}: {target.model.address} is the champion now")
    champions.check_files(store, target)
    content = {"restores": target.restores or target.number, "override": target.override}
    entry = Champion(
        number=now.number + 1, action="rolled back", judgement=target.judgement, **decision(why) | content
    )
    return champions.append(store, entry)


def judged(run: RunManifest, family: str) -> Judgement:
    """Return the gate's judgement of a family of a run.

    Raises:
        InputError: the run has not finished, or the gate has not judged the family.
    """
    if run.standing not in FINISHED:
        reason = f": {run.error}" if run.error else ""
        words = {"failed": f"failed{reason}", "running": "is running", "lost": "was cut off"}
        state = words.get(run.standing, f"was {run.standing}")
        raise InputError(f"run {run.run_id} {state}; only results of finished runs can be decided on")
    for judgement in run.gate:
        if judgement.model.family == family:
            return judgement
    families = [judgement.model.family for judgement in run.gate]
    if failed := next((s.error for s in run.failed if s.family == family and not s.optional), None):
        raise InputError(f"{_address(run, family)} failed: {failed}")
    if not families:
        raise InputError(f"run {run.run_id} was not judged by the gate; run it again to judge it")
    near = did_you_mean(family, families)
    raise InputError(f"run {run.run_id} has no result of {family!r}{near}; judged: {', '.join(families)}")


def against(store: Store, judgement: Judgement, now: Champion | None) -> list[str]:
    """Return what speaks against promoting a result."""
    number = now.number if now else 0
    verdict = "; ".join(judgement.failed)
    objections = [f"the gate's verdict is NOT BLESSED: {verdict}"] if verdict else []
    if number != judgement.champion:
        compared = f"champion {judgement.champion}" if judgement.champion else "no champion"
        objections.append(
            f"it was judged against {compared}, and the champion is {number} now: run it again with "
            "--force gate"
        )
    if judgement.has_expired:
        objections.append(f"its review expired on {(judgement.expires or '')[:10]}")
    decided = champions.decided_against(store, judgement.data_set, judgement.task, judgement.model.weights)
    return [*objections, *([f"it was {decided}"] if decided else [])]


def decision(why: str, who: str | None = None) -> dict[str, Any]:
    """Return who decides, why and when, without credentials and folders of this machine."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"who": public(who or decider()), "why": public(why.strip()), "when": when}


def _reason(why: str) -> str:
    if not why.strip():
        raise InputError("give a reason with --reason TEXT; the history keeps it")
    return why


def _address(run: RunManifest, family: str) -> str:
    return f"{run.run_id}/{family}"
