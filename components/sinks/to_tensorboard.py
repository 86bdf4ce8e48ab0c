"""TensorBoard: event files in FOLDER/RUN/FAMILY, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.common.atomic import new_folder
from components.common.finite import is_number
from components.sinks.history import History, image
from components.store import Store


def write(store: Store, history: History, folder: Path) -> Path:
    """Write a family of a run; return its folder."""
    from tensorboardX import SummaryWriter

    with (
        new_folder(folder / history.run_id / history.name) as unfinished,
        SummaryWriter(str(unfinished)) as writer,
    ):
        for step, time, values in history.points:
            for name, value in values.items():
                writer.add_scalar(name, value, step, time)
        for name, value in history.measures.items():
            writer.add_scalar(f"measures/{name}", value, history.step, history.time(history.step))
        for sheet in history.sheets:
            if (picture := image(store, sheet)) is not None:
                at = history.time(sheet.step)
                writer.add_image(sheet.title, picture, sheet.step, at, dataformats="HWC")
        for event in history.diagnoses:
            text = f"**{event.title}**: {event.sentence} {event.action}"
            writer.add_text("diagnoses", text, event.step, history.time(event.step))
        about = {"status": history.status} | history.origins | history.settings
        lines = [f"| {name} | `{value}` |" for name, value in about.items()]
        writer.add_text("run", "\n".join(["| | |", "|---|---|", *lines]), 0, history.began)
        _add_hyperparameters(writer, history)
    return folder / history.run_id / history.name


def _add_hyperparameters(writer: Any, history: History) -> None:
    """Add the settings and the measures of a run for the page HParams.

    `writer.add_hparams` would put them into a run of their own.
    """
    from tensorboardX.summary import hparams

    values = {name: json.loads(value) for name, value in history.settings.items()}
    plain = {k: v if is_number(v) or isinstance(v, bool) else str(v) for k, v in values.items()}
    for summary in hparams(plain, {f"measures/{name}": 0.0 for name in history.measures}):
        writer.file_writer.add_summary(summary)
