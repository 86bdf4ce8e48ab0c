"""Run an experiment and record the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from prefect import Flow, tags
from prefect.task_runners import ThreadPoolTaskRunner

from components import report
from components.cluster import ray_cluster, resources
from components.common.errors import InputError, RunError
from components.common.paths import home
from components.config.experiment import Experiment
from components.records.run import Overhead, RunManifest
from components.store import Store, open_store
from flows.errors import original
from flows.orphans import end_orphans
from flows.pipeline import pipeline
from flows.progress import ProgressDisplay
from flows.record import Record, lineage, redacted, refuse_running, withheld
from flows.run import Run
from flows.setup import check_stages
from flows.sweep import sweep


def start(
    experiment: Experiment,
    *,
    force: Collection[str] = (),
    explain: bool = False,
    smoke: bool = False,
    command: str = "",
    resume: str | None = None,
) -> RunManifest:
    """Run the pipeline or sweep of an experiment in this process, under Prefect; return its manifest.

    `resume` is the id of an interrupted sweep's run to continue.

    Raises:
        InputError: the experiment cannot be run with its settings, or the run to continue has not ended.
        RunError: a stage that all families need failed.
    """
    check_stages(force)
    end_orphans(os.environ.get("PREFECT_HOME", ""))
    store = open_store(experiment.store.url, home())
    store.check()
    if resume:
        refuse_running(store, resume)
    run_id = resume or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    settings = redacted(experiment)
    manifest = RunManifest(
        run_id=run_id,
        kind="sweep" if experiment.sweep else "run",
        smoke=smoke,
        command=command,
        lineage=lineage(home(), settings),
        withheld=withheld(experiment),
    )
    if resume and (before := RunManifest.read(store.read_json(f"runs/{resume}/run.json"))):
        manifest.lineage.data = before.lineage.data  # until the plan records it again
    record = Record(store, manifest)
    with ProgressDisplay() as board:
        board.say(f"run {run_id}: {', '.join(experiment.families)} on {experiment.data.name}", "bold")
        Run(run_id, experiment, store, record, board, force=force, explain=explain)
        runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(
            max_workers=resources.concurrent_trainings(experiment)
        )
        status = "interrupted"
        try:
            with tags(f"data:{experiment.data.name}", *(["smoke"] if smoke else []), *experiment.families):
                status = flow_of(experiment).with_options(task_runner=runner)(run_id, settings)
        except Exception as caught:
            status, error = "failed", original(caught)
            if isinstance(error, InputError | RunError):
                raise error from None
            raise RunError(f"{type(error).__name__}: {error}") from error
        finally:
            ray_cluster.disconnect()
            finish(record, status, store, board)
    return record.manifest


def finish(record: Record, status: str, store: Store, board: ProgressDisplay) -> None:
    """End a run's record, and build its page and the index."""
    record.finish(status)
    if any(stage.state == "ran" for stage in record.manifest.stages):
        record.update(overhead=overhead(record.manifest))
        with board.tolerating("the page"):
            report.build_run(store, record.manifest.run_id)
    with board.tolerating("the index"):
        report.build_index(store)


def flow_of(experiment: Experiment) -> Flow[..., str]:
    """Return the Prefect flow that runs an experiment."""
    return sweep if experiment.sweep else pipeline


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
