"""The flows that Prefect schedules and deployments call."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed

from components.common.errors import RunError, sentence
from components.common.paths import config_path, home
from components.common.public import public, without_secrets
from components.config import loading
from components.config.experiment import Experiment
from components.data.local import data_version
from components.pipeline import unchanged
from components.records import scheduled as outcomes
from components.records.run import RunManifest
from components.records.scheduled import ScheduledRun
from components.registry import schedules
from components.registry.runs import read_record
from components.store import Store, open_store
from flows import dates, decide, environment, notify, overlap, setup, sweep_setup, views
from flows.errors import public_to_prefect
from flows.launch import launch
from flows.launcher import Launch
from flows.notify import LOST, Notification
from flows.overlap import Skip


@flow(name="atelier-scheduled", flow_run_name="{config}", retries=0, persist_result=False)
def scheduled(
    config: str,
    changes: list[str] | None = None,
    only: list[str] | None = None,
    max_late: float | None = None,
) -> State[Any]:
    """Run or sweep a config from a Prefect deployment, unless there is nothing new or another run works.

    The store records the outcome of each date, which `atelier why` shows.

    Args:
        config: a YAML file, relative to the project.
        changes: changes of settings, such as sweep.trials=32.
        only: the families to run, with those that they build on; empty: all.
        max_late: minutes after its date from which a run is skipped; None: it runs however late.

    Returns:
        A completed state, named Skipped or Unchanged if nothing was run; its message says why.

    Raises:
        InputError: the config or a change is not accepted.
        RunError: the run is not done.
    """
    environment.prepare()
    with public_to_prefect():
        experiment = experiment_of(config, changes or [], only or [])
        store = open_store(experiment.store.url, home())
        entry = ScheduledRun(
            schedule=runtime.deployment.name or Path(config).stem,
            config=config,
            outcome=outcomes.FAILED,
            reason="",
            due=_text(due()),
            began=_text(datetime.now(UTC)),
            flow_run=runtime.flow_run.id,
        )
        try:
            _run(experiment, store, entry, max_late)
        except Skip as skip:
            entry.outcome, entry.reason = outcomes.SKIPPED, str(skip)
        except BaseException as error:
            entry.reason = public(sentence(error))
            raise
        finally:
            entry.ended = _text(datetime.now(UTC))
            with contextlib.suppress(Exception):  # an outage, of which the run's own error tells
                schedules.record(store, entry)
            tell(store, entry)
    names = {outcomes.SKIPPED: overlap.SKIPPED, outcomes.UNCHANGED: overlap.UNCHANGED}
    return Completed(name=names.get(entry.outcome, "Completed"), message=entry.reason)


def tell(store: Store, entry: ScheduledRun) -> None:
    """Print what became of a date, and the next one, on standard error."""
    run = later = None
    with contextlib.suppress(Exception):  # an outage; the line is shorter then
        run = read_record(store, entry.run_id, RunManifest) if entry.run_id else None
    with contextlib.suppress(Exception):
        later = dates.following(UUID(runtime.deployment.id), due()) if runtime.deployment.id else None
    print(without_secrets(dates.line(entry, run, later, store.url)), file=sys.stderr, flush=True)


def experiment_of(config: str, changes: Sequence[str], only: Sequence[str] = ()) -> Experiment:
    """Return the experiment of a config file: of a sweep if it has a section sweep.

    Raises:
        InputError: the config or a change is not accepted.
    """
    path = config_path(Path(config))
    if loading.load(path, changes).sweep:
        return sweep_setup.from_file(path, changes)
    return setup.experiment(path, changes, only)


def due() -> datetime | None:
    """Return the date that this flow run was scheduled for, in UTC; None outside of a flow run."""
    return runtime.flow_run.scheduled_start_time if runtime.flow_run.id else None


def _run(experiment: Experiment, store: Store, entry: ScheduledRun, max_late: float | None) -> None:
    """Run the experiment unless nothing has changed; complete the entry.

    Raises:
        Skip: another run works, or has worked, in place of this one.
        RunError: the run is not done.
    """
    overlap.check_late(date := due(), max_late)
    if runtime.deployment.id and date:
        overlap.stand_for_latest(UUID(runtime.deployment.id), UUID(runtime.flow_run.id), date)
    with overlap.alone(store, entry.schedule) as held:
        if held.taken_over:
            lost = f"the run of schedule {entry.schedule} before this one was killed; this one continues it"
            notify.tell(Notification(LOST, lost), entry.schedule, experiment.notify)
        data = experiment.data
        _, entry.version = data_version(home(), data.name, data.revision, refreshed=data.refresh)
        plan = setup.plan_of(experiment, store)
        if plan and (made_by := unchanged.made_by(plan, store)):
            entry.outcome, entry.run_id = outcomes.UNCHANGED, made_by
            entry.reason = (
                f"nothing is new: data set {data.name} is at version {entry.version[:10]}, and every stage "
                f"has its result, the newest from run {made_by}"
            )
            return
        record = launch(Launch(experiment, command=outcomes.command_of(entry.schedule, entry.config)))
        entry.run_id = record.run_id
        ran = [row for row in views.explanation(store, record) if row[1] == "ran"]
        entry.redone = [public(f"{title}: {reason}") for title, _, reason in ran]
        if record.status != "done":
            raise RunError(
                f"the run of {entry.config} ended with status {record.status}; see run {record.run_id}"
            )
        entry.outcome = outcomes.RAN
        images = views.images_changed(store, record)
        entry.reason = f"run {record.run_id} is done; stages computed: {len(ran)}"
        entry.reason += f"; {images}" if images else ""


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


@flow(name="atelier-decide", flow_run_name="{verdict} {run}/{family}", retries=0, persist_result=False)
def decided(
    run: str,
    family: str,
    verdict: decide.Verdict,
    reason: str,
    override: bool = False,
    store: str = "output",
) -> str:
    """Promote or reject a result that the gate has judged; return the decision.

    Prefect shows the parameters as a form. The entry names the account that serves the deployment, or
    ATELIER_USER.

    Args:
        run: a run id, or latest.
        family: a family of the run.
        verdict: promote or reject.
        reason: why; the history keeps it.
        override: promote it although the gate has not blessed it, which the history shows for ever.
        store: a folder, relative to the project, or any fsspec URL.

    Raises:
        InputError: the result cannot be promoted or rejected.
    """
    with public_to_prefect():
        opened = open_store(store, home())
        return decide.described(decide.decide(opened, run, family, verdict, reason, override=override))
