"""Run an experiment and record the run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from components import report
from components.cluster import ray_cluster, resources
from components.common import loopback
from components.common.errors import InputError, RunError, sentence
from components.common.interruption import interrupted
from components.common.paths import home
from components.common.public import public
from components.config.experiment import Experiment
from components.records.names import page_of
from components.records.run import Overhead, RunManifest
from components.retention.remove import wait_for_removal
from components.sinks.export import export_metrics, need
from components.store import Store, open_store
from flows import notify
from flows.errors import readable_errors
from flows.pipeline import pipeline
from flows.prefect_server import end_orphans, mark_servers, start_server
from flows.progress import ProgressDisplay
from flows.record import Record, lineage, new_id, redacted, sole_writer, withheld
from flows.run import Run, to_compute
from flows.setup import check_stages, plan_of
from flows.sweep import sweep
from flows.unchanged import repeat, unchanged_stages


def start(
    experiment: Experiment,
    *,
    force: Collection[str] = (),
    explain: bool = False,
    smoke: bool = False,
    command: str = "",
    resume: str | None = None,
    run_id: str | None = None,
    version: str | None = None,
) -> RunManifest:
    """Run the pipeline or sweep of an experiment in this process, under Prefect; return its manifest.

    Args:
        experiment: the resolved experiment.
        force: stages to run although they are done.
        explain: whether to say why each stage runs or not.
        smoke: whether its numbers mean nothing.
        command: as typed, for the record.
        resume: the id of an interrupted run to continue.
        run_id: the id of a new run; None: one of the current time.
        version: that of the data, if the store has it already; None: that of this machine.

    Raises:
        InputError: the experiment cannot be run with its settings on this machine, PREFECT_API_URL cannot be
            used, RAY_ADDRESS cannot and a stage needs it, or another process runs `resume`.
        RunError: a stage that all families need failed.
    """
    store = prepared_store(experiment, force)
    run_id = resume or run_id or new_id()
    with sole_writer(store, run_id) as held, ProgressDisplay() as board:
        unchanged = None if resume else unchanged_stages(experiment, store, force)
        if not unchanged:
            board.begin("start")
            start_server(partial(start_cluster, experiment, store, force))  # before anything is recorded
            board.end("start")
        manifest = new_manifest(experiment, run_id, smoke=smoke, command=command)
        if resume and (earlier := RunManifest.read(store.read_json(f"runs/{resume}/run.json"))):
            manifest.lineage.data = earlier.lineage.data  # until the plan records it again
        record = Record(store, manifest, held)
        board.keep = record.line
        run = Run(run_id, experiment, store, record, board, force=force, explain=explain, version=version)
        announce(run, works=not unchanged)
        status = "interrupted"
        failure: str | None = None
        try:
            with readable_errors():
                status = repeat(run, unchanged) if unchanged else run_flow(experiment, run_id)
        except (InputError, RunError) as error:
            status, failure = "failed", public(sentence(error.__cause__ or error))
            raise
        finally:
            ray_cluster.disconnect()
            run.live_page.stop()
            finish(record, status, store, board, failure)
            export(record, experiment, store, board)
            with board.tolerating("the notification", "sent"):
                notify.of_run(record.manifest, experiment.notify, board.say)
    return record.manifest


def start_cluster(experiment: Experiment, store: Store, force: Collection[str]) -> None:
    """Start the run's own Ray cluster if a stage needs it; one that is given is joined by the flow."""
    if os.environ.get("RAY_ADDRESS"):
        return
    plan = None if experiment.sweep else plan_of(experiment, store)
    if plan is None or any(stage.on_cluster for stage, _ in to_compute(plan, store, force)):
        ray_cluster.connect()


def prepared_store(experiment: Experiment, force: Collection[str]) -> Store:
    """Check what a run needs and prepare this process for it; return the experiment's store."""
    interrupted.clear()  # it is set if an earlier run of this process was interrupted
    check_stages(force)
    resources.check_device(experiment.device)
    notify.check(experiment.notify)
    need(experiment.export_metrics)
    loopback.bypass_proxies()
    end_orphans(os.environ.get("PREFECT_HOME", ""))
    mark_servers()
    store = open_store(experiment.store.url, home())
    store.check()
    return store


def announce(run: Run, *, works: bool = True) -> None:
    """Say what runs, where its page will be, and why it runs on the CPU if there is a GPU.

    Waits for gc, if it works on the store. Without `works`, the run computes nothing.
    """
    experiment, say = run.experiment, run.board.say
    wait_for_removal(run.store, lambda: say("  waiting for atelier gc, which works on this store"))
    say(f"run {run.run_id}: {', '.join(experiment.families)} on {experiment.data.name}", "bold")
    if works:
        say(f"  page: {run.store.url}/{page_of(run.run_id)}, from the first samples on", "dim")
    if experiment.device == "cpu" and (reason := resources.unusable_gpu()):
        say(f"  on the CPU: {reason}", "yellow")


def new_manifest(experiment: Experiment, run_id: str, *, smoke: bool, command: str) -> RunManifest:
    """Return the manifest of a run that begins."""
    return RunManifest(
        run_id=run_id,
        kind="sweep" if experiment.sweep else "run",
        smoke=smoke,
        command=command,
        lineage=lineage(home(), redacted(experiment)),
        withheld=withheld(experiment),
    )


def run_flow(experiment: Experiment, run_id: str) -> str:
    """Run the pipeline or sweep of an experiment under Prefect; return done, partial or failed."""
    # Any: mypy does not take it for a TaskRunner of PrefectFutures.
    runner: Any = ThreadPoolTaskRunner(max_workers=resources.concurrent_trainings(experiment))
    flow = sweep if experiment.sweep else pipeline
    return flow.with_options(task_runner=runner)(run_id, redacted(experiment))


def finish(
    record: Record, status: str, store: Store, board: ProgressDisplay, error: str | None = None
) -> None:
    """End a run's record, and build its page and the index.

    A run that has failed or was interrupted ends for its own reason, even if the record cannot be written.
    """
    done = status in ("done", "partial")
    with contextlib.nullcontext() if done else board.tolerating("the record", "written"):
        record.finish(status, error)
        if any(stage.state == "ran" for stage in record.manifest.stages):
            record.update(overhead=overhead(record.manifest))
    shown_running = status == "interrupted" and record.manifest.report is not None
    if error or record.manifest.overhead or shown_running:
        with board.tolerating("the page"):
            page = report.build_run(store, record.manifest.run_id)
            if record.manifest.report is None:
                record.update(report=page)
    with board.tolerating("the index"):
        for shared in ("", "latest"):  # written within a second
            store.remove_unfinished(shared, older=60.0, deep=False)
        report.build_index(store, changed=record.manifest.run_id)


def export(record: Record, experiment: Experiment, store: Store, board: ProgressDisplay) -> None:
    """Export the metrics of a run that has ended to the tools that its experiment names."""
    for tool, folder in experiment.export_metrics.items():
        with board.tolerating(f"the export to {tool}", "written"):
            export_metrics(store, record.manifest, tool, home() / Path(folder).expanduser())


def overhead(run: RunManifest) -> Overhead:
    """Return the seconds and the share of a run in which nothing was computed, such as the start of Ray.

    This assumes that a stage starts its workers first and works until its end.
    """
    spans = sorted(
        (stage.offset + stage.seconds - (stage.work_seconds or 0.0), stage.offset + stage.seconds)
        for stage in run.stages
        if stage.state == "ran" and stage.offset is not None and stage.seconds is not None
    )
    busy, until = 0.0, 0.0
    for begin, end in spans:
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    total = run.seconds or 0.0
    seconds = max(total - busy, 0.0)
    return Overhead(seconds=round(seconds, 1), share=round(seconds / max(total, 1e-9), 4))
