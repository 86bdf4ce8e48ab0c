"""Run a config on each version of its data, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError, RunError
from components.common.paths import home
from components.config.experiment import Experiment
from components.data.local import check_exists
from components.data.versioning import dvc, pins
from components.pipeline import unchanged
from components.store import open_store
from flows import setup
from flows.launch import launch
from flows.launcher import Launch


@dataclass(frozen=True)
class Outcome:
    """The outcome of a version of the data, known here since `when`."""

    version: str
    when: str
    outcome: str
    run_id: str | None

    @property
    def failed(self) -> bool:
        """Whether its run failed."""
        return self.outcome.startswith("failed")


def backfill(
    path: Path,
    revisions: str,
    changes: Sequence[str],
    only: Sequence[str],
    *,
    plan: bool,
    say: Callable[[str], None],
) -> list[Outcome]:
    """Run a config on all versions of its data between two revisions; return each version's outcome.

    A version whose run fails does not keep the others from running.

    Args:
        path: the config file.
        revisions: REV1..REV2, both included; without REV2 up to the newest version.
        changes: changes of settings.
        only: the families to run; empty: all.
        plan: whether to run nothing, and to return what would be done.
        say: called with a sentence for each version.

    Raises:
        InputError: the range, the config or a change is not accepted.
    """
    experiment = setup.experiment(path, changes, only)
    if experiment.sweep:
        raise InputError(f"{path.name} describes a sweep; name a config of a run")
    if experiment.data.revision:
        raise InputError(f"{path.name} sets data.revision, which a backfill chooses: remove it")
    outcomes = []
    for row in between(experiment.data.name, revisions):
        version, when = row["version"], row["when"]
        of_version = at(experiment, version)
        run_id, outcome = _made_by(of_version), "done before"
        if run_id is None and plan:
            outcome = "would run"
        elif run_id is None:
            say(f"version {version[:10]} of {experiment.data.name}, since {when[:10]}:")
            outcome, run_id = _run(of_version, f"backfill {revisions} {path.name}")
        outcomes.append(Outcome(version, when, outcome, run_id))
    return outcomes


def between(name: str, revisions: str) -> Sequence[Mapping[str, str]]:
    """Return the versions of a data set from one revision to another, oldest first: version and when.

    Raises:
        InputError: the range is not accepted, or its ends are not in this order.
    """
    first, dots, last = revisions.partition("..")
    if not first or not dots:
        raise InputError(f"{revisions}: give a range of revisions as REV1..REV2, or REV1.. up to the newest")
    check_exists(home(), name)
    ordered = [
        {key: row[key] for key in ("version", "when")} for row in reversed(pins.versions(home(), name))
    ]
    versions = [row["version"] for row in ordered]
    ends = [dvc.resolve(home(), name, end) for end in (first, last) if end]
    if missing := [end for end in ends if end not in versions]:
        raise InputError(
            f"version {missing[0][:10]} of data set {name} has no date here: `atelier data versions {name}` "
            "lists those that have"
        )
    begin, end = versions.index(ends[0]), versions.index(ends[1]) if last else len(versions) - 1
    if begin > end:
        raise InputError(f"{revisions}: {first} is newer than {last}; give the older revision first")
    return ordered[begin : end + 1]


def at(experiment: Experiment, version: str) -> Experiment:
    """Return the experiment on a version of its data; its results are judged, and promote no champion."""
    return experiment.model_copy(
        update={
            "data": experiment.data.model_copy(update={"revision": version.removesuffix(".dir")}),
            "gate": experiment.gate.model_copy(update={"review": "never"}),
        }
    )


def _made_by(experiment: Experiment) -> str | None:
    """Return the run that made the newest result of a version that is done; None for another version."""
    store = open_store(experiment.store.url, home())
    plan = setup.plan_of(experiment, store)
    return unchanged.made_by(plan, store) if plan else None


def _run(experiment: Experiment, command: str) -> tuple[str, str | None]:
    """Run the experiment; return its outcome and the id of its run."""
    try:
        record = launch(Launch(experiment, command=command))
    except (InputError, RunError) as error:
        return f"failed: {error}", None
    outcome = "done" if record.status == "done" else f"failed: status {record.status}"
    return outcome, record.run_id
