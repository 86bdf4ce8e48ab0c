"""What each stage does, in its attempt's folder.

Imports stand inside the functions: a stage's key covers just the code that its function can reach, and a run
that finds everything done imports next to nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from components.stages import Done
from components.storage import Store

CHUNK = 256  # images a sampling job draws; a multiple of what is drawn at once


def data_version(home: Path, name: str, revision: str | None) -> tuple[Path, str]:
    """An immutable copy of a data set, prepared and versioned first if need be, and its version."""
    from components import versioning
    from components.data import sources
    from components.data.prepare import prepare

    if revision is None and name in sources.KNOWN and peek(home, name) is None:
        prepare(name, home)
        versioning.track(home, name)
    return versioning.snapshot(home, name, revision)


def peek(home: Path, name: str, revision: str | None = None) -> tuple[Path, str] | None:
    """The same where it is at hand without preparing, fetching or writing anything; else None."""
    from components import versioning

    if revision is None and versioning.pinned(home, name) is None:
        return None
    version = versioning.resolve(home, name, revision)
    snapshot = home / ".atelier" / "data" / version.removesuffix(".dir")
    prepared = versioning.data_folder(home, name)
    if snapshot.exists():
        return snapshot, version
    return (prepared, version) if revision is None and (prepared / "card.json").exists() else None


def prepare(store: Store, attempt: Store, snapshot: Path) -> dict[str, Any]:
    """Put an immutable copy of the data into the store, where every worker can read it."""
    from components.data.card import DataCard

    if store.is_local:
        _link(snapshot, Path(attempt.path("data")))
    else:
        attempt.upload(snapshot, "data")
    card = DataCard.read(snapshot)
    return {"data": card.model_dump(include={"name", "title", "counts", "labels"})}


def _link(source: Path, target: Path) -> None:
    """Copy a folder by hard links; by bytes where the two lie on different disks."""

    def link(a: str, b: str) -> None:
        try:
            os.link(a, b)
        except OSError:
            shutil.copyfile(a, b)

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=link)


def reference(store: Store, attempt: Store, data: Done, settings: dict[str, Any]) -> dict[str, Any]:
    """Train or load the extractor, and take the real images' features."""
    from components import jobs, launch

    threads = settings["threads"]
    arguments = (store.url, f"{data.uri}/data", attempt_path(store, attempt), settings, threads)
    return launch.call(jobs.reference, *arguments, cpus=threads)


def train(
    store: Store, attempt: Store, number: int, data: Done, family: str, key: str, **job: Any
) -> dict[str, Any]:
    """Train a family under Ray Train; `job` holds config, train, device and flips."""
    from components import jobs, launch

    fit = jobs.Fit(
        family, data=f"{data.uri}/data", attempt=attempt_path(store, attempt), store=store.url, **job
    )
    launch.fit(fit, f"{family}-{key}-{number}")
    trained = attempt.read_json(jobs.RESULT)
    return {"trained": trained, "work_seconds": trained["work_seconds"], "workers": fit.settings.workers}


def evaluate(
    store: Store,
    data: Done,
    reference: Done,
    trained: Done,
    family: str,
    settings: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    """Draw samples of the trained model side by side, and judge them against the test images."""
    import time

    import numpy as np

    from components import jobs, launch

    known = store.read_json(f"{reference.uri}/reference.json")
    n, threads = min(settings["samples"], known["n"]), settings["threads"]
    began = time.time()
    draws = [
        jobs.Draw(
            store.url,
            f"{trained.uri}/model",
            f"{data.uri}/data",
            min(CHUNK, n - start),
            settings["seed"],
            start,
            threads,
            device,
        )
        for start in range(0, n, CHUNK)
    ]
    gpus = 1 if device == "cuda" else 0
    drawn = launch.each(jobs.draw, [(draw,) for draw in draws], cpus=threads, gpus=gpus)
    images = np.concatenate([part[0] for part in drawn])
    labels = None if drawn[0][1] is None else np.concatenate([part[1] for part in drawn])
    verdict = jobs.Verdict(store.url, f"{data.uri}/data", reference.uri, trained.uri, family, threads)
    judged = launch.call(jobs.judge, verdict, images, labels, cpus=threads)
    seconds = sum(part[2] for part in drawn)
    return {
        "evaluated": judged | {"samples_per_second": n / seconds, "n": n},
        "work_seconds": time.time() - began,
    }


def result(store: Store, trained: Done, evaluated: Done, family: str) -> dict[str, Any]:
    """What is known of a family, for the table, the page and the command line."""
    from models import FAMILIES

    training = store.read_json(f"{trained.uri}/result.json")["trained"]
    judged = store.read_json(f"{evaluated.uri}/result.json")["evaluated"]
    last = training["samples"]["steps"][-1]
    return {
        "family": family,
        "task": FAMILIES[family].task,
        "paper": FAMILIES[family].paper,
        "parameters": training["parameters"],
        "train_seconds": training["seconds"],
        "images_seen": training["images"],
        "samples_per_second": judged["samples_per_second"],
        "metrics": judged["metrics"],
        "curve": judged["curve"],
        "stability": judged["stability"],
        "samples": f"{trained.uri}/samples/step-{last:07d}.webp",
        "model": f"{trained.uri}/model",
        "train": {name: training[name] for name in ("steps", "stopped_early", "best_step", "terms")},
    }


def compare(store: Store, trained: dict[str, Done], evaluated: dict[str, Done]) -> dict[str, Any]:
    """The field's table, measured: complexity, stability, quality, speed of every family."""
    from components.metrics import rank_by

    results = [result(store, trained[family], evaluated[family], family) for family in evaluated]
    table = []
    for r in results:
        best = rank_by(r["metrics"])
        table.append(
            {
                "family": r["family"],
                "task": r["task"],
                "complexity": {"parameters": r["parameters"]},
                "stability": {name: r["stability"][name] for name in ("backslide", "kept")},
                "quality": {best: r["metrics"][best]["value"], "floor": r["metrics"][best]["floor"]},
                "speed": {"samples_per_second": r["samples_per_second"], "train_seconds": r["train_seconds"]},
            }
        )
    return {"results": results, "table": table}


def export(
    store: Store, attempt: Store, data: Done, trained: Done, evaluated: Done, family: str
) -> dict[str, Any]:
    """The EMA generator as safetensors and JSON, with a model card and a picture of its samples."""
    from components.export import model_card

    card = store.read_json(f"{data.uri}/data/card.json")
    known = result(store, trained, evaluated, family)
    for name in ("model.safetensors", "config.json"):
        attempt.write_bytes(name, store.read_bytes(f"{trained.uri}/model/{name}"))
    attempt.write_bytes("samples.webp", store.read_bytes(known["samples"]))
    attempt.write_text("README.md", model_card(card, known))
    return {"exported": family}


def report(store: Store, run_id: str) -> dict[str, Any]:
    """Build the page of a run."""
    from components.report import build_run

    page = build_run(store, run_id)
    return {"page": page, "elsewhere": [page]}


def publish(
    store: Store,
    target: Store,
    run_id: str,
    page: str | None,
    exported: dict[str, Done],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Copy models, samples and pages to where they are given out; the manifest, last, makes them count."""
    from components.stages import sha256

    folder = target.child(run_id)
    files: list[dict[str, Any]] = []

    def put(source: Store, name: str, to: str) -> None:
        content = source.read_bytes(name)
        folder.write_bytes(to, content)
        files.append({"path": to, "bytes": len(content), "sha256": sha256(content)})

    for family, done in exported.items():
        model = store.child(done.uri)
        for name in model.find():
            if name != "result.json":
                put(model, name, f"models/{family}/{name}")
    if page:
        pages = store.child(os.path.dirname(page))
        for name in pages.find():
            put(pages, name, f"report/{name}")
    manifest = {"schema": 1, "run_id": run_id, "lineage": record["lineage"], "files": files}
    folder.write_json("manifest.json", manifest)
    return {"published": run_id, "files_published": len(files)}


def attempt_path(store: Store, attempt: Store) -> str:
    """The attempt's folder, relative to the store's root."""
    return attempt.root.removeprefix(store.root).strip("/")
