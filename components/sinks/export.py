"""Export the metrics of runs to other tools, at a run's end or at any time later."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from components.common.errors import InputError
from components.common.locks import locked
from components.common.progress import reported
from components.records.run import RunManifest
from components.sinks import history, to_mlflow, to_tensorboard, to_wandb
from components.store import Store

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
WRITERS = {"tensorboard": to_tensorboard.write, "mlflow": to_mlflow.write, "wandb": to_wandb.write}


def need(tools: Iterable[str]) -> None:
    """Raise InputError if the package of a tool is not installed."""
    for tool in tools:
        if find_spec(PACKAGES[tool]) is None:
            raise InputError(
                f"the export to {tool} needs the package {PACKAGES[tool]}; install it with `pip install "
                f"'atelier[{tool}]'`"
            )


def export_metrics(store: Store, run: RunManifest, tool: str, folder: Path) -> list[Path]:
    """Write all that a store has of a run, finished or not, in the format of another tool.

    Exporting again replaces what was exported before, so nothing is there twice.

    Args:
        store: has the run.
        run: its record.
        tool: tensorboard, mlflow or wandb.
        folder: a folder of this machine, which may have other runs.

    Returns:
        What was written, by family.

    Raises:
        InputError: the package of the tool is not installed.
    """
    need([tool])
    with locked(folder / ".atelier.lock"):
        return [WRITERS[tool](store, one, folder) for one in reported(history.read(store, run), "export")]
