"""`atelier publish`, `atelier verify` and `atelier export-metrics`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from components.common.errors import InputError, RunError
from components.common.progress import report
from components.registry.runs import find_run
from components.store import Store
from components.store.lease import lease
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    counted,
    open_named_store,
    progress_shown,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.publishing.verify import Verified

VIEWERS = {
    "tensorboard": "tensorboard --logdir {}",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{}/mlflow.db",
    "wandb": "wandb sync {}/wandb/offline-run-*",
}
"""How to look at exported metrics."""


def publish(
    run: str,
    /,
    *,
    to: Annotated[str | None, Parameter(metavar="URL")] = None,
    sign: Annotated[Path | None, Parameter(metavar="KEY")] = None,
    formats: Annotated[tuple[Literal["onnx", "torch_export"], ...], Parameter("--format")] = (),
    store: StoreURL = STORE,
) -> None:
    """Publish the models, samples and page of a run; what is there already with the same contents stays.

    Args:
        run: a run id, or `latest`
        to: a folder or any fsspec URL, in which the run gets a folder (default: published/ in the store)
        sign: a private elliptic-curve key, as PEM, to sign each model with; needs the extra `model-signing`
        formats: also publish each model in this format, if it draws its published samples in it; repeatable;
            onnx needs the extra `onnx`
    """
    from components.publishing.publish import publish as published

    opened = open_named_store(store)
    manifest = find_run(opened, run)
    if manifest.standing == "running":
        raise InputError(f"run {manifest.run_id} has not ended yet; publish it when it has")
    if not manifest.models:
        raise InputError(f"run {manifest.run_id} has no exported model to publish")
    place = (Store(to) if to else opened.child("published")).child(manifest.run_id)
    notes = list[str]()
    with lease(opened, f"publish-{manifest.run_id}") as held, progress_shown("collect"):
        files = published(
            opened,
            manifest,
            place.fenced(held.fence),
            manifest.models,
            manifest.report,
            key=sign,
            graphs=formats,
            notes=notes,
            progress=partial(report, activity="publish"),
        )
    for note in notes:
        say(note)
    for judgement in manifest.gate:
        if not judgement.is_blessed:
            say(f"{judgement.model.family}: the gate did not bless it, as its card says")
    say(f"{len(files):,} files of {counted(len(manifest.models), 'model')} and the page in {place.url}")
    print(place.url)
    say_next(f"atelier verify {quote(place.url)}")


def verify(
    folder: str,
    /,
    *,
    key: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    as_json: AsJSON = False,
) -> None:
    """Verify a published run or model: its files, its signature, and that it draws its published samples.

    Args:
        folder: the folder or URL of a published run, or of one of its models
        key: the public key, as PEM, that must have signed each model
    """
    from components.cluster.resources import device
    from components.publishing.verify import complaint
    from components.publishing.verify import verify as verified

    with progress_shown("compare files"):
        results = verified(Store(folder), key, device())
    if as_json:
        print(json.dumps([result.to_json() for result in results]))
    for result in results if not as_json else ():
        for sentence in result.holds:
            print(f"{result.folder}: {sentence}" if result.folder else sentence)
    if problem := complaint(folder, results):
        raise RunError(f"{problem}; publish the run again, or copy it again from where it is whole")
    if not as_json:
        say_next(f"atelier sample {verified_model(folder, results)} -o samples.png")


def export_metrics(
    run: str,
    /,
    *,
    to: Literal["tensorboard", "mlflow", "wandb"],
    output: Annotated[Path, Parameter(alias="-o", metavar="FOLDER")],
    store: StoreURL = STORE,
) -> None:
    """Write the curves, measures and samples of a run, finished or not, for TensorBoard, MLflow or W&B.

    Exporting a run again replaces what was exported of it. Nothing is sent anywhere.

    Args:
        run: a run id, or `latest`
        to: the tool; each needs the extra of its name
        output: the folder to write to; it may have other runs
    """
    from components.sinks.export import export_metrics as exported

    opened = open_named_store(store)
    manifest = find_run(opened, run)
    with progress_shown("export", output):
        written = exported(opened, manifest, to, output)
    for path in dict.fromkeys(written):
        print(path)
    say_next(VIEWERS[to].format(quote(str(output))))


def verified_model(folder: str, results: list[Verified]) -> str:
    """Return the address of a verified model, if possible one that needs no source, and how it samples."""
    from components.families.catalogue import task_of
    from components.registry.models import CONFIG

    models = [result.folder for result in results if result.folder] or [""]
    place = Store(folder)
    names = [str(place.read_json(f"{model}/{CONFIG}" if model else CONFIG)["family"]) for model in models]
    generating = [m for m, name in zip(models, names, strict=True) if task_of(name).made_from == "noise"]
    address = "/".join(filter(None, (folder.rstrip("/"), (generating or models)[0])))
    return f"{quote(address)} {'-n 16' if generating else '--source IMAGE'}"
