"""What a worker is sent to do: train a family, draw samples from a trained one.

Plain arguments, results in the store.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import nn

from components import checkpoint, sampling
from components.config import Train, explain
from components.data.card import DataCard
from components.data.dataset import Batches, Split, open_split, to_float
from components.distributed import Group, derive
from components.errors import InputError, RunError
from components.health import Probe
from components.recorder import Recorder, Silent
from components.sampling import SHEET_COLUMNS
from components.selection import Jury, Selector
from components.storage import Store
from components.threads import using_threads
from components.training import Report, Trained, Trainer, held_out, train, try_lengths
from components.upload import Uploader
from components.watch import examined
from models import FAMILIES
from models.family import Card, Family, Generator

RESULT = "trained.json"
PAIRED = ("reconstruct", "translate", "upscale")  # tasks whose images have targets to be compared with
PROBED = 1000  # validation images of which a sample says how diverse samples should be
KEPT = "samples/kept.webp"  # the published samples: of the weights that are given out


@dataclass(frozen=True)
class Fit:
    """A training job; JSON all through."""

    family: str
    config: dict[str, Any]  # the family's own
    train: dict[str, Any]
    data: str  # folder of the prepared data, in the store
    attempt: str  # folder of the attempt, in the store
    store: str  # URL
    reference: str = ""  # folders in the store, with which snapshots are judged
    extractor: str = ""
    device: str = "cpu"
    flips: bool = False

    @property
    def settings(self) -> Train:
        """The training settings, typed."""
        return Train(**self.train)


def config_of(name: str, own: dict[str, Any]) -> dict[str, Any]:
    """A family's settings in full, `own` over its defaults.

    Raises:
        InputError: no such family, an unknown key or a value that is not accepted.
    """
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    model = FAMILIES[name].Config
    try:
        return model(**own).model_dump(mode="json")
    except ValidationError as error:
        raise InputError(explain(error, f"families.{name}", model)) from None


def takes_label(name: str) -> bool:
    """Whether a family's samples depend on the label, where there is one."""
    return "label" in FAMILIES[name].takes | FAMILIES[name].needs


def build(name: str, config: dict[str, Any], card: Card) -> Family:
    """A family by its name, sized for the card.

    Raises:
        InputError: no such family, or its settings do not fit the data.
    """
    config = config_of(name, config)
    family = FAMILIES[name]
    try:
        return family(family.Config(**config), card, {})
    except ValueError as error:
        raise InputError(f"families.{name}: {error}") from None


def fit(job: Fit, group: Group | None = None, report: Report = lambda *_: None) -> None:
    """Train on this process of the group; go on from the newest checkpoint in the attempt's folder.

    Leaves in the attempt's folder: metrics/, samples/, checkpoints/, model/ and, written last, trained.json;
    ema/ too, where averages of other lengths are tried.
    """
    group = group or Group(device=torch.device(job.device))
    settings, store = job.settings, Store(job.store)
    attempt = store.child(job.attempt)
    if group.agree(attempt.exists(RESULT)):
        return
    with using_threads(settings.threads):
        folder = store.local_copy(job.data)
        card = DataCard.read(folder)
        training, validation = open_split(folder, "train"), open_split(folder, "validation")
        torch.manual_seed(derive(settings.seed, "weights"))
        family = build(job.family, job.config, card.card)
        resume = _checkpoint(attempt, group)
        with Uploader(attempt) as uploader:
            rows = sampling.grid_rows(validation, settings.sample_images)
            log = _log(job, store, attempt, uploader, validation, rows, card) if group.rank == 0 else Silent()
            if isinstance(log, Recorder) and resume:
                log.resume_at(resume["control"]["step"], resume["control"]["attempt"])
            probe = None
            if isinstance(log, Recorder) and examined(family):
                probe = _probe(log, card.card, validation)
            trainer = Trainer(family, settings, group=group, probe=probe)
            began = time.time()
            trained = train(
                trainer,
                Batches(training, settings.batch, settings.seed, job.flips),
                log,
                validation=held_out(validation, settings.batch),
                resume=resume,
                report=report,
            )
            averages = None
            if isinstance(log, Recorder) and settings.ema_lengths:
                averages = try_lengths(trainer, log)
            work = time.time() - began
        if uploader.failed:
            name, why = uploader.failed[0]
            raise RunError(f"{job.attempt}/{name} could not be stored: {why}; run the same command to resume")
        if isinstance(log, Recorder):
            _leave(job, attempt, trainer, log, trained, averages, work, len(rows), card.labels)


def _checkpoint(attempt: Store, group: Group) -> dict[str, Any] | None:
    """The newest checkpoint that the first process can read, on all of them."""
    state = checkpoint.newest(attempt, group.device)
    own = moment_of(state) if state else None
    moment = group.agree(own)
    return state if moment == own else checkpoint.load(attempt, moment, group.device)


def moment_of(state: dict[str, Any]) -> checkpoint.Moment:
    """When a state was saved."""
    return state["control"]["attempt"], state["control"]["step"]


def _probe(log: Recorder, card: Card, validation: Split) -> Probe:
    """What measures the diversity of samples: through the extractor where one judges, else in pixels."""
    real = to_float(validation.images[: min(len(validation), PROBED)])
    if log.selector is None:
        return Probe(card, lambda images: images.flatten(1), real)
    extractor = log.selector.jury.extractor
    return Probe(card, lambda images: extractor(sampling.to_uint8(images)), real)


def _log(
    job: Fit,
    store: Store,
    attempt: Store,
    uploader: Uploader,
    validation: Split,
    rows: np.ndarray,
    card: DataCard,
) -> Recorder:
    """Where the first process writes, with the fixed conditions of its sample grids."""
    settings, labels = job.settings, validation.labels
    reconstructs = FAMILIES[job.family].task == "reconstruct"
    fixed: dict[str, Any] = {
        "n": len(rows),
        "seed": derive(settings.seed, "grid"),
        "labels": labels[rows] if labels is not None and takes_label(job.family) else None,
        "images": validation.images[rows] if reconstructs else None,
        "device": job.device,
    }
    if reconstructs:
        grid = sampling.grid(fixed["images"], SHEET_COLUMNS)
        uploader.put(sampling.encode_webp(grid), "samples/source.webp")

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return sampling.draw(generator, card.card, **fixed)

    selector = _selector(job, store, validation, card) if settings.judges else None
    return Recorder(attempt, uploader, draw, settings.steps, selector)


def _selector(job: Fit, store: Store, validation: Split, card: DataCard) -> Selector:
    """What judges snapshots.

    Its samples are like those to be reported, but of seeds and images that select and are never reported.
    """
    n = min(job.settings.judge_samples, len(validation))
    targets = validation.images[np.arange(n)] if FAMILIES[job.family].task in PAIRED else None
    jury = Jury(store.local_copy(job.reference), store.local_copy(job.extractor), n, targets)
    fixed = conditions_of(job.family, card, validation)
    fixed |= {"n": n, "seed": derive(job.settings.seed, "select"), "device": job.device}
    return Selector(jury, lambda generator: sampling.draw(generator, card.card, **fixed))


def conditions_of(family: str, card: DataCard, split: Split) -> dict[str, Any]:
    """What a family's judged samples are made from: its inputs, or labels as frequent as in the data."""
    task = FAMILIES[family].task
    if task == "reconstruct":
        return {"images": split.images}
    conditions: dict[str, Any] = {} if task == "generate" else {"sources": split.sources}
    if card.label_counts and takes_label(family):
        conditions |= {"labels": "data", "counts": card.label_counts["train"]}
    return conditions


def _leave(
    job: Fit,
    attempt: Store,
    trainer: Trainer,
    log: Recorder,
    trained: Trained,
    averages: dict[str, Any] | None,
    work: float,
    count: int,
    labels: list[str] | None,
) -> None:
    """The weights to keep, the others where they differ and, last, what is to be known of the training."""
    family, control = trainer.family, trained.control
    job = replace(job, config=family.config.model_dump(mode="json"))  # treatments may have changed it
    steps = {"last": control.step, "best": control.best_step or control.step}
    won = averages["won"] if averages else None
    kept = "best" if won is not None else job.settings.keep
    if steps["best"] == control.step and won is None:
        del steps["best"]
        kept = "last"
    folders = {which: "model" if which == kept else f"model-{which}" for which in steps}
    for which, folder in folders.items():  # the last first: once best, the average is no longer last
        generator = trainer.weights(which)
        save_model(attempt, folder, job, generator, family.card, labels)
        if which == kept:
            attempt.write_bytes(KEPT, log.picture(generator))
    attempt.write_json(
        RESULT,
        {
            "steps": control.step,
            "images": trained.images,
            "seconds": control.seconds,
            "work_seconds": work,
            "stopped_early": control.stopped,
            "kept": kept,
            "checkpoints": {which: {"step": steps[which], "model": folders[which]} for which in steps},
            "selected_by": _selected_by(log, trainer, averages),
            "averages": _averages(log, averages),
            "curve": control.curve,
            "parameters": sum(p.numel() for p in family.generator.parameters()),
            "parameters_trained": sum(p.numel() for p in family.parameters()),
            "terms": trained.terms,
            "health": trainer.watch.described | {"events": control.events},
            "samples": sample_table(attempt, count, family.card),
        },
    )


def _averages(log: Recorder, found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Which lengths of averages were tried, and by what they were judged."""
    return found | {"judged_by": log.selector.jury.described} if found and log.selector else None


def _selected_by(log: Recorder, trainer: Trainer, averages: dict[str, Any] | None) -> dict[str, Any] | None:
    """What chose the best weights."""
    if averages and averages["won"] is not None and log.selector:
        return log.selector.jury.described | {"ema_length": averages["won"]}
    if not trainer.control.best_step:
        return None
    if trainer.settings.patience is not None and len(trainer.family.phases) == 1:
        return {"metric": "validation loss", "split": "validation"}
    return None if log.selector is None else log.selector.jury.described


def sample_table(attempt: Store, count: int, card: Card) -> dict[str, Any]:
    """How to read the grids: tiles lie side by side, row by row."""
    names = [name for name in attempt.list("samples") if name.startswith("step-")]
    return {
        "columns": SHEET_COLUMNS,
        "count": count,
        "resolution": card.resolution,
        "channels": card.channels,
        "steps": [int(name.removeprefix("step-").removesuffix(".webp")) for name in names],
        "source": "samples/source.webp" if attempt.exists("samples/source.webp") else None,
        "kept": KEPT,
    }


# Models on disk: weights as safetensors, everything else as JSON. No pickle.


def save_model(
    attempt: Store, folder: str, job: Fit, generator: nn.Module, card: Card, labels: list[str] | None
) -> None:
    """Write model.safetensors and config.json into a folder: all that is needed to sample."""
    weights = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    attempt.write_bytes(f"{folder}/model.safetensors", save(weights))
    described = {
        "schema": 1,
        "family": job.family,
        "config": job.config,
        "card": asdict(card),
        "labels": labels,
    }
    attempt.write_json(f"{folder}/config.json", described)


def load_model(folder: os.PathLike[str] | str) -> tuple[Generator, Card, dict[str, Any]]:
    """The generator in a model folder, its card, and the whole of its config.json.

    Raises:
        InputError: the folder holds no model, or one that does not fit this version's family.
    """
    path = os.fspath(folder)
    try:
        with open(os.path.join(path, "config.json")) as file:
            described = json.load(file)
        weights = load_file(os.path.join(path, "model.safetensors"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is not a model folder: {os.path.basename(error.filename)} is missing"
        ) from None
    except Exception as error:  # json and safetensors raise kinds of their own for damaged files
        raise InputError(f"the model in {path} cannot be read: {error}") from None
    card = Card(**described["card"])
    generator = build(described["family"], described["config"], card).generator
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit: {str(error).splitlines()[0]}") from None
    return generator.eval().to(memory_format=torch.channels_last), card, described


# Samples of a trained model.


def sample_to_file(
    model: Path,
    output: Path,
    *,
    n: int,
    seed: int = 0,
    label: str | None = None,
    source: Path | None = None,
) -> None:
    """Draw samples of an exported model, and of nothing else, into one picture.

    Args:
        model: folder with model.safetensors and config.json.
        output: a .png or .webp file.
        n: how many.
        seed: image i depends on (seed, i).
        label: a class by name or number, for families that know classes; None: all in turn.
        source: an image to reconstruct, for families that do.

    Raises:
        InputError: the family needs what is not given, or the other way round.
    """
    if output.suffix.lower() not in (".png", ".webp"):
        raise InputError(f"-o {output}: samples are written as .png or .webp")
    if n < 1:
        raise InputError(f"-n {n}: at least one sample is needed")
    generator, card, described = load_model(model)
    conditions: dict[str, Any] = {}
    if FAMILIES[described["family"]].task == "reconstruct":
        if source is None:
            raise InputError(f"{described['family']} reconstructs images: name one with --source FILE")
        pixels = one_image(source, card)
        conditions["images"] = np.repeat(pixels[None], n, axis=0)
    elif source is not None:
        raise InputError(f"{described['family']} makes images from nothing: it takes no --source")
    conditional = bool(card.num_classes) and takes_label(described["family"])
    if label is not None and not conditional:
        raise InputError(f"--label {label}: this model was trained without labels")
    if label is not None:
        conditions["labels"] = class_number(label, described.get("labels"), card)
    elif conditional:
        conditions["labels"] = np.arange(n) % card.num_classes
    images = sampling.draw(generator, card, n=n, seed=seed, **conditions)
    array = sampling.grid(images, min(n, SHEET_COLUMNS))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=output.parent, suffix=output.suffix, delete=False) as file:
        Image.fromarray(array[..., 0] if card.channels == 1 else array).save(file.name, lossless=True)
    os.replace(file.name, output)


def class_number(label: str, names: list[str] | None, card: Card) -> int:
    """A class by its name or number."""
    if names and label in names:
        return names.index(label)
    if label.isdigit() and int(label) < card.num_classes:
        return int(label)
    known = ", ".join(names[:20]) if names else f"0 to {card.num_classes - 1}"
    raise InputError(f"--label {label}: unknown class; known: {known}")


def one_image(path: Path, card: Card) -> np.ndarray:
    """A picture of any kind as uint8 (C, H, W) of the card's shape."""
    try:
        with Image.open(path) as image:
            fitted = ImageOps.fit(
                ImageOps.exif_transpose(image).convert("L" if card.channels == 1 else "RGB"),
                (card.resolution, card.resolution),
                Image.Resampling.LANCZOS,
            )
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"--source {path}: {error}") from None
    return np.asarray(fitted).reshape(card.resolution, card.resolution, card.channels).transpose(2, 0, 1)


def describe_families() -> list[dict[str, Any]]:
    """Name, paper, needs and phases of every family."""
    card = Card(1, 28, 10)
    return [
        {
            "name": name,
            "paper": family.paper,
            "task": family.task,
            "needs": sorted(family.needs),
            "phases": [phase.name for phase in build(name, {}, card).phases],
        }
        for name, family in FAMILIES.items()
    ]
