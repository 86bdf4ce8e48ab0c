"""What each stage does, in its attempt's folder.

Imports stand inside the functions: a stage's key covers just the code that its function can reach, and a run
that finds everything done imports next to nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.chunks import ranges
from components.common.errors import InputError, RunError
from components.evaluation.requests import Draw, Places, Use, Variant, Verdict
from components.pipeline.plan import TRAINED, Plan
from components.registry import pins
from components.stages.cache import Done, read
from components.stages.cache import run as run_stage
from components.store import Store

if TYPE_CHECKING:
    from components.data.external import Outside
    from components.tuning.trial import Terms


DRAWN, LOOKED = 256, 1024  # images that one job draws, or looks at: multiples of the chunk


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


@dataclass(frozen=True)
class Basis:
    """What judging rests on: finished stages."""

    data: Done
    extractor: Done
    reference: Done
    captions: Done | None = None  # where a family is told them

    def places(self, store: Store, parts: str, threads: int) -> Places:
        """Where jobs find it."""
        found = places(store, self.data, self.extractor, parts, threads, self.reference.uri)
        return replace(found, captions=self.captions.uri if self.captions else "")


def places(
    store: Store, data: Done, extractor: Done, parts: str, threads: int, reference: str = ""
) -> Places:
    """Where jobs find data and extractor, and leave parts."""
    return Places(store.url, f"{data.uri}/data", f"{extractor.uri}/extractor", parts, reference, threads)


def extractor(store: Store, attempt: Store, data: Done, settings: dict[str, Any]) -> dict[str, Any]:
    """Train or adopt what images are seen through."""
    from components.cluster import ray_cluster

    out, threads = f"{attempt_path(store, attempt)}/extractor", settings["threads"]
    arguments = (store.url, f"{data.uri}/data", out, settings, threads)
    return {"extractor": ray_cluster.call("components.evaluation.jobs:extractor", *arguments, cpus=threads)}


def pinned(store: Store, plan: Plan, made: Done, *, renew: bool = False) -> Plan:
    """Pin the extractor that was made if none is, or to replace the one that is; the plan that goes by it."""
    if plan.extractor_kind in TRAINED and (plan.pin is None or renew):
        content = {"key": made.key, "hash": read(store, made)["extractor"]["hash"], "data": plan.version}
        content |= {"run_id": made.run_id, "reason": "renewed" if renew else "the first"}
        after = plan.pin["number"] if plan.pin else 0
        pins.pin(store, plan.card.name, plan.extractor_recipe, after=after, **content)
    return plan.with_pin(store)


def settled(store: Store, plan: Plan, make: Callable[[Plan], Done]) -> tuple[Plan, Done]:
    """The extractor that `make` gives for a plan, pinned; another's, where that was pinned meanwhile."""
    made = make(plan)
    plan = pinned(store, plan, made)
    return plan, made if made.key == plan.extractor.key else make(plan)


def reference(
    store: Store,
    attempt: Store,
    data: Done,
    extractor: Done,
    counts: dict[str, int],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Look at all real images side by side, and find what real images score against real images."""
    from components.cluster import ray_cluster

    out, threads = attempt_path(store, attempt), settings["threads"]
    where = places(store, data, extractor, f"{out}/parts", threads)
    looks = [(where, split, *r) for split, n in counts.items() for r in ranges(n, LOOKED)]
    ray_cluster.each("components.evaluation.jobs:look_at_split", looks, cpus=threads)
    result = ray_cluster.call(
        "components.evaluation.jobs:reference", where, out, settings["samples"], cpus=threads
    )
    attempt.delete("parts")
    return result


def captions(store: Store, attempt: Store, data: Done) -> dict[str, Any]:
    """Encode each distinct caption of the data once."""
    from components.cluster import ray_cluster

    arguments = (store.url, f"{data.uri}/data", attempt_path(store, attempt))
    return {"captions": ray_cluster.call("components.data.text.encode_captions:encode", *arguments)}


def latents(
    store: Store,
    attempt: Store,
    data: Done,
    model: Done,
    counts: Mapping[str, int],
    threads: int,
    device: str,
) -> dict[str, Any]:
    """Encode the images that are trained on and validated with, side by side."""
    from components.cluster import ray_cluster
    from components.training.latents import Encode

    where = (store.url, f"{data.uri}/data", f"{model.uri}/model", attempt_path(store, attempt))
    encodings = [
        (Encode(*where, split, number, start, n, threads, device),)
        for split in ("train", "validation")
        for number, (start, n) in enumerate(ranges(counts[split], LOOKED))
    ]
    gpus = 1 if device == "cuda" else 0
    ray_cluster.each("components.training.latents:encode", encodings, cpus=threads, gpus=gpus)
    return {"latents": {split: counts[split] for split in ("train", "validation")}}


def train(
    store: Store,
    attempt: Store,
    number: int,
    basis: Basis,
    family: str,
    key: str,
    *,
    models: Mapping[str, Done],
    latents: Done | None,
    **job: Any,
) -> dict[str, Any]:
    """Train a family under Ray Train, on the models it builds on and its images as one of them encodes them.

    `job` holds config, train, device and flips.
    """
    from components.records.names import RESULT
    from components.training import ray_train, request

    fit = request.Fit(
        family,
        data=f"{basis.data.uri}/data",
        attempt=attempt_path(store, attempt),
        store=store.url,
        reference=basis.reference.uri,
        extractor=f"{basis.extractor.uri}/extractor",
        captions=basis.captions.uri if basis.captions else "",
        upstream={name: f"{done.uri}/model" for name, done in models.items()},
        latents=latents.uri if latents else "",
        **job,
    )
    ray_train.fit(fit, f"{family}-{key}-{number}")
    trained = attempt.read_json(RESULT)
    return {"trained": trained, "work_seconds": trained["work_seconds"], "workers": fit.settings.workers}


def evaluate(
    store: Store,
    attempt: Store,
    basis: Basis,
    trained: Done,
    family: str,
    settings: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    """Draw samples of the trained weights, best and last, and judge them against the test images."""
    import time

    training, began = read(store, trained)["trained"], time.time()
    out, checkpoints = attempt_path(store, attempt), {}
    for which, saved in training["checkpoints"].items():
        where = basis.places(store, f"{out}/parts/{which}", settings["threads"])
        order = Verdict(where, trained.uri, family, out, published=which == training["kept"])
        judged = judge_weights(store, order, f"{trained.uri}/{saved['model']}", settings, device)
        checkpoints[which] = {"step": saved["step"], **judged}
    attempt.delete("parts")
    kept = checkpoints[training["kept"]]
    evaluated = {
        "metrics": kept["metrics"],
        "samples_per_second": kept["samples_per_second"],
        "kept": training["kept"],
        "selected_by": training["selected_by"],
        "averages": training["averages"],
        "checkpoints": {w: {"step": c["step"], "metrics": c["metrics"]} for w, c in checkpoints.items()},
        "neighbours": kept["neighbours"],
        "stability": kept["stability"],
        "curve": training["curve"],
    }
    return {"evaluated": evaluated, "work_seconds": time.time() - began}


def judge_weights(
    store: Store, order: Verdict, model: str, settings: dict[str, Any], device: str
) -> dict[str, Any]:
    """The numbers of some weights; their images are drawn side by side."""
    from components.cluster import ray_cluster

    known, cpus = store.read_json(f"{order.places.reference}/reference.json"), settings["threads"]
    n = min(settings["samples"], known["n"])
    draws = [
        Draw(order.places, model, length, settings["seed"], start, device, lpips=settings["lpips"])
        for start, length in ranges(n, DRAWN)
    ]
    gpus = 1 if device == "cuda" else 0
    drawn = ray_cluster.each(
        "components.evaluation.jobs:draw", [(draw,) for draw in draws], cpus=cpus, gpus=gpus
    )
    judged: dict[str, Any] = ray_cluster.call("components.evaluation.jobs:judge", order, cpus=cpus)
    return judged | {"samples_per_second": n / sum(part["seconds"] for part in drawn)}


def study(
    store: Store,
    attempt: Store,
    basis: Basis,
    trained: Done,
    family: str,
    settings: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Draw with other settings of sampling, a job for each variant, and show the way from noise to images."""
    import time

    from components.cluster import ray_cluster

    began, cpus, gpus = time.time(), settings["threads"], 1 if device == "cuda" else 0
    out, model, seed = attempt_path(store, attempt), f"{trained.uri}/model", settings["seed"]
    where = basis.places(store, f"{out}/parts", cpus)
    known = store.read_json(f"{where.reference}/reference.json")
    n = min(
        settings["samples"], known["images"]["test"], known["images"]["train"]
    )  # floors are of the latter
    floors = ray_cluster.call("components.analysis.ablation:floors", where, n, family, cpus=cpus)
    variants = [
        Variant(where, model, n, seed, f"{s['name']}-{i:02}", out, change, floors, device)
        for s in settings["studies"]
        for i, change in enumerate(s["variants"].values())
    ]
    judged = ray_cluster.each(
        "components.analysis.ablation:vary", [(v,) for v in variants], cpus=cpus, gpus=gpus
    )
    ways = ray_cluster.call(
        "components.analysis.ablation:show", where, model, seed, out, device, cpus=cpus, gpus=gpus
    )
    attempt.delete("parts")
    told = iter(judged)
    studies = [
        {**s, "variants": [{"name": v, "change": c, **next(told)} for v, c in s["variants"].items()]}
        for s in settings["studies"]
    ]
    studied = {"n": n, "studies": studies, "ways": ways}
    return {"studied": studied, "work_seconds": time.time() - began}


def detectors(
    store: Store,
    attempt: Store,
    data: Done,
    family: str,
    names: Sequence[str],
    *,
    threads: int,
    **job: Any,
) -> dict[str, Any]:
    """Train a model without each class, side by side; `job` holds config, train, device and flips."""
    import time

    from components.cluster import ray_cluster
    from components.training import request

    began, known = time.time(), store.read_json(f"{data.uri}/data/card.json")["labels"]
    folders = {name: f"without-{known.index(name):03}" for name in names}
    out = attempt_path(store, attempt)
    fits = [
        request.Fit(
            family,
            data=f"{data.uri}/data",
            attempt=f"{out}/{folders[name]}",
            store=store.url,
            without=known.index(name),
            **job,
        )
        for name in names
    ]
    gpus = 1 if job["device"] == "cuda" else 0
    ray_cluster.each("components.training.job:fit", [(fit,) for fit in fits], cpus=threads, gpus=gpus)
    for folder in folders.values():
        attempt.delete(f"{folder}/checkpoints")  # to go on from, of which there is no more need
    found = {name: f"{folder}/model" for name, folder in folders.items()}
    return {"detectors": found, "work_seconds": time.time() - began}


def terms(
    store: Store,
    run_id: str,
    plan: Plan,
    family: str,
    basis: Basis,
    trained: Mapping[str, Done],
    latents: Done | None,
    drawing: bool,
) -> Terms:
    """What all trials of a plan's sweep have in common; `drawing`: they only sample with one model."""
    from components.training.checkpoint import KEEP
    from components.tuning.trial import Terms, train_of

    sweep, block = plan.experiment.sweep, plan.experiment.families[family]
    assert sweep is not None
    populated = sweep.scheduler == "pbt"
    return Terms(
        store=store.url,
        run_id=run_id,
        family=family,
        block=block if drawing else block | {"train": train_of(sweep, block["train"])},
        spec=plan.trial(family, drawing),
        data=f"{basis.data.uri}/data",
        reference=basis.reference.uri,
        extractor=f"{basis.extractor.uri}/extractor",
        captions=basis.captions.uri if basis.captions else "",
        upstream={called: f"{trained[other].uri}/model" for called, other in plan.upstream(family).items()},
        latents=latents.uri if latents else "",
        model=f"{trained[family].uri}/model" if drawing else "",
        device=plan.device,
        flips=plan.experiment.data.flips,
        metric=sweep.metric,
        diversity=sweep.diversity,
        judgements=1 if drawing else sweep.judgements,
        samples=sweep.samples,
        pointers=populated,
        checkpoints=sweep.grace + 1 if populated else KEEP,  # those from the last rung on
        workers=1 if drawing else sweep.workers,
    )


def full(
    store: Store,
    plan: Plan,
    family: str,
    basis: Basis,
    models: Mapping[str, Done],
    latents: Done | None,
    run_id: str,
) -> Done:
    """A training at full budget, judged: the ordinary stages of a plan, done here or found."""
    block = dict(plan.experiment.families[family])
    settings = block.pop("train")
    spec, judging = plan.train(family), plan.evaluate(family)

    def body(attempt: Store, number: int) -> dict[str, Any]:
        job = {"config": block, "train": settings, "device": plan.device, "flips": plan.experiment.data.flips}
        return train(store, attempt, number, basis, family, spec.key, models=models, latents=latents, **job)

    from components.pipeline.plan import lpips_file

    trained = run_stage(store, spec, body, run_id=run_id)
    known = dict(judging.settings) | {"lpips": lpips_file(plan.experiment.evaluate.lpips_path)}
    arguments = (basis, trained, family, known, judging.device)
    return run_stage(store, judging, lambda attempt, _: evaluate(store, attempt, *arguments), run_id=run_id)


def duel(store: Store, judged: Mapping[tuple[str, int], Done | str]) -> dict[str, Any]:
    """The winner of a sweep against the experiment's own settings, by side and seed; or why one failed.

    Raises:
        RunError: there is no seed on which both trained to the end.
    """
    from components.evaluation.ranking import rank_by
    from components.tuning.confirmation import SIDES, duel

    failed = [
        {"side": side, "seed": seed, "reason": said}
        for (side, seed), said in judged.items()
        if isinstance(said, str)
    ]
    metrics = {
        key: read(store, done)["evaluated"]["metrics"]
        for key, done in judged.items()
        if not isinstance(done, str)
    }
    asked = dict.fromkeys(seed for _, seed in judged)
    seeds = [seed for seed in asked if all((side, seed) in metrics for side in SIDES)]
    if not seeds:
        raise RunError(f"winner and default trained to the end together on no seed: {failed[0]['reason']}")
    known = metrics[SIDES[0], seeds[0]]
    best = rank_by(known)
    pairs = [{"seed": seed} | {side: metrics[side, seed][best]["value"] for side in SIDES} for seed in seeds]
    about = {"n": known[best]["n"], "split": "test", "floor": known[best]["floor"]}
    return duel(best, pairs, failed=failed, **about)


def drawing_duel(
    store: Store,
    attempt: Store,
    basis: Basis,
    trained: Done,
    family: str,
    values: Mapping[str, Any],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """The same of settings of sampling, with one model."""
    from components.cluster import ray_cluster
    from components.evaluation.ranking import rank_by
    from components.tuning.confirmation import SIDES, duel

    cpus, gpus = settings["threads"], 1 if device == "cuda" else 0
    out = attempt_path(store, attempt)
    where = basis.places(store, f"{out}/parts", cpus)
    known = store.read_json(f"{where.reference}/reference.json")
    n = min(settings["samples"], known["images"]["test"], known["images"]["train"])
    floors = ray_cluster.call("components.analysis.ablation:floors", where, n, family, cpus=cpus)
    changes: dict[str, Mapping[str, Any]] = {"winner": values, "default": {}}
    variants = [
        Variant(where, f"{trained.uri}/model", n, seed, f"{side}-{seed}", out, changes[side], floors, device)
        for seed in seeds
        for side in SIDES
    ]
    found = iter(
        ray_cluster.each("components.analysis.ablation:vary", [(v,) for v in variants], cpus=cpus, gpus=gpus)
    )
    drawn = [{"seed": seed} | {side: next(found) for side in SIDES} for seed in seeds]
    attempt.delete("parts")
    best = rank_by(drawn[0]["winner"]["metrics"])
    pairs = [{"seed": d["seed"]} | {s: d[s]["metrics"][best]["value"] for s in SIDES} for d in drawn]
    cost = {s: sum(d[s]["seconds_per_image"] for d in drawn) / len(drawn) for s in SIDES}
    about = {"n": n, "split": "test", "floor": drawn[0]["winner"]["metrics"][best]["floor"]}
    return duel(best, pairs, **about, seconds_per_image=cost)


def uses(
    store: Store,
    attempt: Store,
    basis: Basis,
    trained: Done,
    detectors: Done | None,
    settings: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Find out what a family's codes are good for, a job for each view."""
    import time

    from components.analysis.view import looked_at
    from components.analysis.views import VIEWS
    from components.cluster import ray_cluster

    began, cpus, gpus = time.time(), settings["threads"], 1 if device == "cuda" else 0
    out, model = attempt_path(store, attempt), f"{trained.uri}/model"
    where, strange = basis.places(store, f"{out}/parts", cpus), dict[str, str]()
    if detectors is not None:
        found = read(store, detectors)["detectors"]
        strange = {name: f"{detectors.uri}/{folder}" for name, folder in found.items()}
    orders = [Use(where, model, name, settings["seed"], out, strange, device) for name in VIEWS]
    views = ray_cluster.each("components.analysis.jobs:examine", [(o,) for o in orders], cpus=cpus, gpus=gpus)
    attempt.delete("parts")
    counts = read(store, basis.data)["data"]["counts"]
    n = {split: min(count, looked_at(split)) for split, count in counts.items()}
    used = {"views": [view for view in views if view], "n": n}
    return {"used": used, "work_seconds": time.time() - began}


def judge_folder(
    store: Store, basis: Basis, outside: Outside, parts: str, threads: int, split: str, seeds: str
) -> dict[str, Any]:
    """Judge images from elsewhere, looked at side by side."""
    from components.cluster import ray_cluster

    where = basis.places(store, parts, threads)
    looks = [(where, outside, *r) for r in ranges(len(outside.paths), LOOKED)]
    ray_cluster.each("components.evaluation.jobs:look_outside", looks, cpus=threads)
    return ray_cluster.call(
        "components.evaluation.jobs:judge_outside", where, split, outside.preparation, seeds, cpus=threads
    )


def result(store: Store, trained: Done, evaluated: Done, family: str) -> dict[str, Any]:
    """What is known of a family, for the table, the page and the command line."""
    from models.registry import FAMILIES

    training, judged = read(store, trained)["trained"], read(store, evaluated)["evaluated"]
    shown = (
        "samples_per_second",
        "metrics",
        "kept",
        "selected_by",
        "averages",
        "checkpoints",
        "neighbours",
        "curve",
        "stability",
    )
    return {
        "family": family,
        "task": FAMILIES[family].task,
        "paper": FAMILIES[family].paper,
        "parameters": training["parameters"],
        "train_seconds": training["seconds"],
        "images_seen": training["images"],
        **{name: judged[name] for name in shown},
        "samples": f"{trained.uri}/{training['samples']['kept']}",
        "model": f"{trained.uri}/model",
        "train": {name: training[name] for name in ("steps", "stopped_early", "terms")},
    }


def compare(store: Store, trained: dict[str, Done], evaluated: dict[str, Done]) -> dict[str, Any]:
    """The field's table, measured: complexity, stability, quality, speed of every family."""
    from components.evaluation.ranking import rank_by

    results = [result(store, trained[family], evaluated[family], family) for family in evaluated]
    table, places = [], placed(results)
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
                "rank": places[r["family"]],
            }
        )
    return {"results": results, "table": table}


def placed(results: Sequence[Mapping[str, Any]]) -> dict[str, int | str]:
    """Each family's rank among those of its task, from 1; or why there is none."""
    from components.evaluation.comparability import ranked
    from components.evaluation.ranking import rank_by

    places: dict[str, int | str] = {}
    for task in dict.fromkeys(r["task"] for r in results):
        rivals = {r["family"]: r["metrics"] for r in results if r["task"] == task}
        try:
            order = ranked({family: metrics[rank_by(metrics)] for family, metrics in rivals.items()})
            places |= {family: order.index(family) + 1 for family in rivals}
        except InputError as refusal:
            places |= dict.fromkeys(rivals, str(refusal))
    return places


def export(
    store: Store, attempt: Store, data: Done, trained: Done, evaluated: Done, family: str
) -> dict[str, Any]:
    """The EMA generator as safetensors and JSON, with a model card and a picture of its samples."""
    from components.report.model_card import model_card

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
    from components.common.hashing import sha256

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
