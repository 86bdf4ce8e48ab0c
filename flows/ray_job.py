"""Run an experiment as a Ray job, which continues when this process ends.

The same experiment is one series of jobs, whose names follow from it. Their list is in the store,
launches/<key>/<n>.json, and so is the record of their run: these decide whether to follow a job, to submit it
or to submit the next one, and the leases of the run and its stages keep two jobs from doing the same work.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Literal

from components.cluster.ray_jobs import Job, RayJobs
from components.common.errors import InputError, RunError
from components.common.hashing import digest, key_of
from components.common.paths import CHECKOUT, home
from components.common.public import public, without_secrets
from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.data.local import data_version
from components.data.sources.splits import evaluable
from components.pipeline import prepare
from components.pipeline.check import check
from components.pipeline.plan import Plan
from components.records.launch import JobName, JobRequest, SubmittedJob
from components.records.run import RunHead, RunManifest
from components.registry.runs import read_record
from components.store import Store, numbered, open_store
from components.store.lease import SECONDS
from flows.launcher import Launch
from flows.progress import ProgressDisplay
from flows.record import COMMIT, DIRTY, commit_of, new_id, now
from flows.setup import check_stages

CODE = ("models", "components", "flows", "atelier")  # the packages that a job gets a copy of
REQUEST = "launch.json"  # beside them
ENTRYPOINT = "python -m flows.job_entry"
PENDING_SECONDS = 900.0  # until a job that has not begun is given up, as a lost submission; Ray's own limit
ERROR = "atelier: "  # begins the last line of a command that failed


@dataclass(frozen=True)
class Attempt:
    """A job of a series, as the store lists it."""

    number: int
    job: str
    run_id: str


class AsRayJob:
    """Runs on the cluster whose Jobs API is at an address."""

    def __init__(self, address: str):
        self.address = address

    def run(self, launch: Launch) -> RunManifest:
        """Follow the job of an experiment to its end, submitted if there is none; return the run's record."""
        check_stages(launch.force)
        check_notify(launch.experiment.notify)
        store = open_store(launch.experiment.store.url, home())
        store.check()
        jobs = RayJobs(self.address)
        with ProgressDisplay() as board:
            version = prepared(launch.experiment, store, board)
            with request_folder(launch, version, store) as (folder, key):
                attempt = self.begin(jobs, store, key, folder, launch, board)
            try:
                job = jobs.follow(attempt.job, board.say, lambda: has_ended(store, attempt))
            except KeyboardInterrupt:
                board.say(
                    f"job {attempt.job} continues; the same command follows it again, and `ray job stop "
                    f"--address {public(self.address)} {attempt.job}` ends it"
                )
                raise
        return outcome(read_record(store, attempt.run_id, RunManifest), job, attempt)

    def begin(
        self, jobs: RayJobs, store: Store, key: str, folder: Path, launch: Launch, board: ProgressDisplay
    ) -> Attempt:
        """Return the job to follow, submitted if necessary; stop earlier ones of the series that run."""
        series = store.child("launches", key)
        while True:
            attempt = newest(series)
            run = read_record(store, attempt.run_id, RunHead) if attempt else None
            job = jobs.find(attempt.job) if attempt else None
            step = next_step(attempt, run, job, forced=bool(launch.force))
            if attempt and step != "next":
                break
            number = attempt.number + 1 if attempt else 1
            goes_on = attempt.run_id if attempt and run and not run.ended else None
            new = Attempt(number, f"atelier-{key}-a{number}", goes_on or launch.resume or new_id())
            submitted = SubmittedJob(
                job=new.job, run_id=new.run_id, cluster=public(self.address), created=now()
            )
            numbered.create(series, number, submitted.to_json())  # or another process was faster
        for other in jobs.list(f"atelier-{key}-a"):
            if other.name != attempt.job and not other.ended:
                jobs.stop(other.name)
        if step == "submit":
            self.submit(jobs, key, attempt, folder)
        did = {"submit": "submitted", "follow": "followed", "show": "has finished"}[step]
        board.say(f"job {attempt.job} on {public(self.address)}: {did}; run {attempt.run_id}", "bold")
        return attempt

    def submit(self, jobs: RayJobs, key: str, attempt: Attempt, folder: Path) -> None:
        """Submit a job of a series."""
        commit, dirty = commit_of(home())
        name = JobName(key=key, number=attempt.number, run_id=attempt.run_id)
        environment = {
            "ATELIER_LAUNCH": json.dumps(name.to_json()),
            "PYTHONUNBUFFERED": "1",
            COMMIT: f"{commit or ''}{DIRTY if dirty else ''}",
            **{name: os.environ[name] for name in (SECONDS,) if name in os.environ},
        }
        jobs.submit(attempt.job, ENTRYPOINT, folder, environment)


def next_step(
    attempt: Attempt | None, run: RunHead | None, job: Job | None, *, forced: bool
) -> Literal["submit", "follow", "show", "next"]:
    """Return what to do with the newest job of a series: of a run that is done, nothing but show it.

    Args:
        attempt: the newest job; None: there is none yet.
        run: its run's record in the store, which is right where Ray differs; None: the run has not begun.
        job: what Ray knows of it; None: it never arrived, or the cluster is a new one.
        forced: whether a run that is done is to be followed by another.
    """
    if attempt is None:
        return "next"
    if run is not None and run.status == "done":
        return "next" if forced else "show"
    if run is not None and run.ended:
        return "next"
    if job is None:
        return "submit"
    stuck = job.status == "PENDING" and job.age > PENDING_SECONDS
    return "next" if job.ended or stuck else "follow"


def newest(series: Store) -> Attempt | None:
    """Return the newest job of a series."""
    number = numbered.highest(series)
    if not number:
        return None
    submitted = SubmittedJob.model_validate(series.read_json(numbered.name(number)))
    return Attempt(number, submitted.job, submitted.run_id)


def has_ended(store: Store, attempt: Attempt) -> bool:
    """Return whether the run of a job has ended, as the store says."""
    run = read_record(store, attempt.run_id, RunHead)
    return run is not None and run.ended is not None


def outcome(run: RunManifest | None, job: Job | None, attempt: Attempt) -> RunManifest:
    """Return the record of a run that has ended, or raise why it failed; its record counts, not Ray's answer.

    Raises:
        InputError: the run was refused.
        RunError: it failed, or its job ended before it.
    """
    if run is not None and run.ended and not run.error:
        return run
    lines = [line for line in (job.message if job else "").splitlines() if line.startswith(ERROR)]
    reason = run.error if run and run.ended else lines[-1].removeprefix(ERROR) if lines else ""
    if not reason:
        status = f"is {job.status} on the cluster" if job else "is not known to the cluster any more"
        reason = f"job {attempt.job} {status}, and its run has not ended; run the same command to continue"
    raise (InputError if job and job.exit_code == 2 else RunError)(without_secrets(reason))


def check_notify(urls: Sequence[str]) -> None:
    """Raise InputError if a URL, which may hold a token, would travel with a job."""
    if named := [url for url in urls if not url.startswith("$")]:
        from flows import notify  # imports Prefect

        raise InputError(
            f"notify: all who reach the cluster could read {notify.masked(named[0])} in the job; give the "
            "URL to the nodes as an environment variable, and its name here: $NAME"
        )


def prepared(experiment: Experiment, store: Store, board: ProgressDisplay) -> str:
    """Check the plan of an experiment, and put its data into the store; return the data's version."""
    data = experiment.data
    snapshot, version = data_version(home(), data.name, data.revision, refreshed=data.refresh)
    plan = Plan.of(experiment, version, evaluable(DatasetCard.read(snapshot)), store)
    check(plan, store)
    spec = prepare.spec(plan)
    board.begin(spec.title)
    prepare.STAGE.result(store, plan, spec, {}, "none")
    board.end(spec.title)
    return version


@contextmanager
def request_folder(launch: Launch, version: str, store: Store) -> Iterator[tuple[Path, str]]:
    """Yield a folder with what a job needs, the code and the request, and the key of its series."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package in CODE:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / package, folder / package, ignore=ignored)
        request = JobRequest(
            experiment=launch.experiment.model_dump(mode="json"),
            version=version,
            force=sorted(launch.force),
            explain=launch.explain,
            smoke=launch.smoke,
            command=launch.command,
            resume=launch.resume,
            versions=versions(),
        )
        (folder / REQUEST).write_text(json.dumps(request.to_json(), sort_keys=True))
        yield folder, key(folder, request, store)


def key(folder: Path, request: JobRequest, store: Store) -> str:
    """Return the key of a series of jobs: it follows from code, settings, data and store."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != REQUEST)
    code = {path.relative_to(folder).as_posix(): digest(path, "sha256") for path in files}
    asked = request.model_dump(exclude={"command", "explain"})
    experiment = {name: value for name, value in request.experiment.items() if name != "cluster"}
    return key_of({**asked, "experiment": experiment, "code": code, "store": store.url})


def versions() -> dict[str, str]:
    """Return the versions that must be the same here and on the cluster."""
    return {"Python": platform.python_version(), "Ray": installed("ray"), "PyTorch": installed("torch")}
