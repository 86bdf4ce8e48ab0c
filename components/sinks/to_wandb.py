"""Weights & Biases, offline: FOLDER/wandb/offline-run-*, one for each family, for `wandb sync`."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.atomic import remove, temporary_sibling
from components.sinks.history import History, image
from components.store import Store

BROKEN_OFF = ("failed", "interrupted", "lost")  # W&B shows runs with an exit code as failed


def write(store: Store, history: History, folder: Path) -> Path:
    """Write a family of a run, in place of its earlier export; return its folder."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # read on import: nothing leaves this machine
    import wandb

    run_id = f"{history.run_id}-{history.name}"
    with temporary_sibling(folder / "wandb") as unfinished:
        unfinished.mkdir(parents=True)
        run = wandb.init(
            project="atelier",
            id=run_id,
            name=run_id,
            group=history.run_id,
            job_type=history.family,
            tags=[history.data[:64], history.status],  # W&B accepts no longer ones
            dir=unfinished,
            config={name: json.loads(value) for name, value in history.settings.items()}
            | {f"atelier/{name}": text for name, text in history.origins.items()},
            mode="offline",
            settings=_settings(wandb),
        )
        for step, values in sorted(_points(wandb, store, history).items()):
            run.log(values, step=step)
        run.summary.update({f"measures/{name}": value for name, value in history.measures.items()})
        run.finish(exit_code=int(history.status in BROKEN_OFF))
        (written,) = (unfinished / "wandb").glob(f"offline-run-*-{run_id}")
        remove(written / "logs")
        for earlier in (folder / "wandb").glob(f"offline-run-*-{run_id}"):
            remove(earlier)
        (folder / "wandb").mkdir(exist_ok=True)
        return written.rename(folder / "wandb" / written.name)


def _settings(wandb: Any) -> Any:
    """Return settings with which nothing of this machine or its environment is recorded."""
    return wandb.Settings(
        console="off",
        silent=True,
        disable_code=True,
        disable_git=True,
        host="",
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )


def _points(wandb: Any, store: Store, history: History) -> Mapping[int, Mapping[str, Any]]:
    """Return all that is logged, by step, in which W&B wants it."""
    points = defaultdict[int, dict[str, Any]](dict)
    for step, time, values in history.points:
        points[step] |= {**values, "_timestamp": time}
    for sheet in history.sheets:
        if (picture := image(store, sheet)) is not None:
            points[sheet.step][sheet.title] = wandb.Image(picture)
    for event in history.diagnoses:
        points[event.step]["diagnosis"] = f"{event.title}: {event.sentence} {event.action}"
    return points
