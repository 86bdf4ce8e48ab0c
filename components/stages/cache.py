"""Run stages and cache their results by content.

A stage's key is a hash of its settings, its data, its upstream stages' keys, the code it can reach, the
torch version and the kind of device. Its folder `store/<stage>/<key>/` is immutable once `_SUCCESS` exists.
Running the same command again therefore does nothing, resumes an interrupted stage, and redoes what depends
on a change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from components.common.errors import InputError, RunError
from components.common.hashing import sha256
from components.common.plain_json import parsed
from components.records.stored import StoredFile, StoredResult, Success
from components.stages.spec import SCHEMA, Spec
from components.store import Store
from components.store.errors import MISSING_OR_TORN, unless_torn
from components.store.lease import lease

BEGUN = "begun.json"  # in later and forced attempts, written when the files they begin with are complete
TEMPORARY = (BEGUN, "progress.json", "checkpoints/", "ray/", "parts/")  # no part of a finished stage's result
REMOVABLE = ("checkpoints/", "ray/", "parts/", "ema/")  # what only an unfinished attempt needs


@dataclass(frozen=True)
class Done:
    """A finished stage, as tasks pass it to each other: small and without tensors."""

    stage: str
    family: str | None
    key: str
    uri: str  # of the winning attempt, in the store
    attempt: int
    state: str  # ran | cached
    sha256: str  # of result.json
    bytes: int  # of all files
    started: float
    seconds: float
    work_seconds: float  # of these, spent computing
    run_id: str  # the run that did the work
    schema_version: int = SCHEMA


def finished(store: Store, spec: Spec) -> Done | None:
    """Return the stage's result if it is complete and its files are unchanged; else None."""
    folder = store.child(spec.uri)
    try:
        success = Success.model_validate(folder.read_json("_SUCCESS"))
        attempt = folder.child("attempts", str(success.attempt))
        data = attempt.read_bytes("result.json")
        result = StoredResult.model_validate(parsed(data))
    except (*MISSING_OR_TORN, ValidationError):
        return None
    if sha256(data) != success.sha256 or not _verified(attempt, result.files):
        return None
    if not all(store.exists(path) for path in result.elsewhere):
        return None
    return Done(
        stage=spec.stage,
        family=spec.family,
        key=spec.key,
        uri=f"{spec.uri}/attempts/{success.attempt}",
        attempt=success.attempt,
        state="cached",
        sha256=success.sha256,
        bytes=sum(file.bytes for file in result.files),
        started=result.started,
        seconds=result.seconds,
        work_seconds=result.work_seconds,
        run_id=result.run_id,
    )


def claimed(store: Store, spec: Spec) -> bool:
    """Return whether the stage is marked as done; unlike `finished`, does not verify its files."""
    return store.exists(f"{spec.uri}/_SUCCESS")


def latest(store: Store, spec: Spec, *, smoke: bool = False) -> Mapping[str, Any] | None:
    """Return the spec of the newest result of the same stage and family, of a smoke run or of another one.

    None if there is none.
    """
    newest = unless_torn(lambda: store.read_json(_latest_file(spec, smoke)))
    return newest if isinstance(newest, dict) and "settings" in newest else None


def _latest_file(spec: Spec, smoke: bool) -> str:
    return f"latest/{'smoke/' if smoke else ''}{spec.stage}{f'-{spec.family}' if spec.family else ''}.json"


def run(
    store: Store,
    spec: Spec,
    body: Callable[[Store, int], Mapping[str, Any]],
    *,
    run_id: str,
    force: bool = False,
    on_wait: Callable[[str], None] = lambda title: None,
    smoke: bool = False,
) -> Done:
    """Return the stage's result; run the stage first if it has none.

    Two runs of the same stage share the work: the second waits for the first's lease, then uses its result.

    Args:
        store: the store's root.
        spec: what the stage depends on.
        body: called with the attempt's folder and number; writes there and returns the result, in which
            `elsewhere` may list files outside of the folder. The folder has the fence of the stage's lease.
        run_id: of the calling run.
        force: start a new attempt even if there is a result.
        on_wait: called with the stage's title if another run is working on this stage.
        smoke: whether the result is a smoke run's, with which no other is compared.

    Raises:
        InputError: the result is pinned, and it is missing or `force` is set.
        LostLease: another run took the stage over; from then on nothing is written.
    """
    called = time.time()
    done = finished(store, spec)
    if done and not force:
        return done
    if spec.pinned:
        raise InputError(
            f"the {spec.title} is pinned ({spec.uri}) and is not made again; restore the store if its files "
            f"were lost or changed, or replace the pin with `atelier {spec.stage} retrain`"
        )
    with lease(store, f"{spec.stage}-{spec.key}", on_wait=lambda: on_wait(spec.title)) as stage_lease:
        done = finished(store, spec)
        if done and (not force or done.started > called):
            return done
        fenced = store.fenced(stage_lease.fence)
        folder = fenced.child(spec.uri)
        folder.remove_unfinished()  # of the lease's former holders
        number = _attempt(folder, force=force, taken_over=stage_lease.taken_over)
        attempt = folder.child("attempts", str(number))
        folder.write_json("spec.json", spec.canonical())
        started, began = time.time(), time.monotonic()
        result = body(attempt, number)
        seconds = time.monotonic() - began  # no jump of the clock changes it
        folder.remove_unfinished()  # of killed workers
        _complete(folder, attempt, number, result, spec, run_id, started, seconds)
        # So that nobody reads all keys, which would take ever longer.
        fenced.write_json(_latest_file(spec, smoke), spec.canonical())
    done = finished(store, spec)
    if done is None:
        raise RunError(
            f"{spec.title} finished, but its files in {spec.uri} cannot be read back; is the store full?"
        )
    return Done(**{**vars(done), "state": "ran"})


def read(store: Store, done: Done) -> Mapping[str, Any]:
    """Return a stage's result.json."""
    return store.read_json(f"{done.uri}/result.json")


def _attempt(folder: Store, *, force: bool, taken_over: bool) -> int:
    """Return the number of the attempt to work in: the newest one if it is unfinished, else a new one.

    With `force`, an unfinished attempt is continued only if it was forced too: then the same command was
    interrupted. Where the lease was taken over, the former holder may still be alive and write into its
    attempt. A new attempt then resumes from a copy of its files.
    """
    numbers = sorted(int(name) for name in folder.list("attempts") if name.isdigit())
    usable = [n for n in numbers if n == 1 or folder.exists(f"attempts/{n}/{BEGUN}")]
    newest, number = max(usable, default=0), max(numbers, default=0) + 1
    unfinished = newest > 0 and not folder.exists(f"attempts/{newest}/result.json")
    was_forced = unfinished and _is_forced(folder, newest)
    resumes = unfinished and (was_forced or not force)
    if resumes and not taken_over:
        return newest
    attempt = folder.child("attempts", str(number))
    if resumes:
        _copy(folder.child("attempts", str(newest)), attempt)
    if number > 1 or force:
        forced = force or was_forced
        attempt.write_json(BEGUN, {"resumes": newest if resumes else None, "forced": forced})
    return number


def _is_forced(folder: Store, number: int) -> bool:
    path = f"attempts/{number}/{BEGUN}"
    return folder.exists(path) and bool(folder.read_json(path).get("forced"))


def _copy(source: Store, target: Store) -> None:
    """Copy the files of an attempt, except those that its former holder deletes meanwhile.

    BEGUN, by which a copy counts as complete, is not copied.
    """
    for path in source.find():
        if path != BEGUN and not path.startswith("ray/"):
            with suppress(FileNotFoundError):
                target.write_bytes(path, source.read_bytes(path))


def _complete(
    folder: Store,
    attempt: Store,
    number: int,
    result: Mapping[str, Any],
    spec: Spec,
    run_id: str,
    started: float,
    seconds: float,
) -> None:
    worked = result.get("work_seconds")
    stored = StoredResult(
        stage=spec.stage,
        family=spec.family,
        key=spec.key,
        attempt=number,
        run_id=run_id,
        started=started,
        ended=time.time(),
        seconds=seconds,
        work_seconds=seconds if worked is None else worked,
        files=inventory(attempt),
        elsewhere=result.get("elsewhere", []),
    )
    attempt.write_json("result.json", {"schema": SCHEMA, **result, **stored.to_json()})
    data = attempt.read_bytes("result.json")
    folder.write_json("_SUCCESS", Success(attempt=number, sha256=sha256(data)).to_json())


def inventory(attempt: Store) -> list[StoredFile]:
    """Return path, size and hash of every file of the result."""
    paths = [path for path in attempt.find() if path != "result.json" and not path.startswith(TEMPORARY)]
    contents = ((path, attempt.read_bytes(path)) for path in paths)
    return [StoredFile(path=path, bytes=len(data), sha256=sha256(data)) for path, data in contents]


def _verified(attempt: Store, files: Iterable[StoredFile]) -> bool:
    """Compare the sizes of all files and, in a local store, their hashes; object stores check contents.

    Snapshots of weights that `atelier gc` may remove are not compared.
    """
    try:
        for file in files:
            if file.path.startswith(REMOVABLE):
                continue
            if attempt.size(file.path) != file.bytes:
                return False
            if attempt.is_local and sha256(attempt.read_bytes(file.path)) != file.sha256:
                return False
    except FileNotFoundError:
        return False
    return True
