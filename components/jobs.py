"""What a worker is sent to do: train a family, draw samples from a trained one.

Plain arguments, results in the store.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import nn

from components import checkpoint, sampling
from components.config import Train, explain
from components.data.card import DataCard
from components.data.dataset import Batches, Split, open_shards, open_split, to_float
from components.data.encoded import DIM, ENCODER, LONGEST, Table, Text
from components.distributed import Group, derive
from components.errors import InputError, RunError
from components.health import Probe
from components.memory import keep_freed
from components.recorder import Recorder, Silent
from components.sampling import SHEET_COLUMNS
from components.selection import Jury, Selector
from components.storage import Store
from components.strangeness import known_errors
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
    captions: str = ""  # folder of the encoded captions, for families that are told them
    device: str = "cpu"
    flips: bool = False
    upstream: dict[str, str] = field(default_factory=dict)  # folders of the models it builds on, in the store
    latents: str = ""  # folder of the kept encodings of the images, in the store
    without: int | None = None  # a class that it is not to see
    stop_at: int | None = None  # a step with a checkpoint at which to stop for now, without a result
    checkpoints: int = checkpoint.KEEP  # that are kept on the way

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


def upstream_of(name: str, among: Collection[str] = ()) -> dict[str, str]:
    """The trained models that a family builds on: name -> family, one `among` these if it may be."""
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    may = FAMILIES[name].upstream
    return {called: next((f for f in of if f in among), of[0]) for called, of in may.items()}


def caches(name: str) -> str | None:
    """What a family calls the upstream model whose encodings of the images are kept for it."""
    return FAMILIES[name].caches


def conditions(name: str, config: dict[str, Any], card: Card) -> frozenset[str]:
    """What a family's samples depend on, of label and text."""
    family = FAMILIES[name]
    return family.conditions(family.Config(**config_of(name, config)), card)


def card_for(name: str, config: dict[str, Any], data: DataCard) -> Card:
    """What a family must know of the data: of captions only where it is told them."""
    told = replace(data.card, text=DIM if data.captions else 0)
    return told if "text" in conditions(name, config, told) else data.card


def build(
    name: str,
    config: dict[str, Any],
    card: Card,
    upstream: Mapping[str, nn.Module] | None = None,
    settings: Train | None = None,
) -> Family:
    """A family by its name, sized for the card, on generators that were trained before.

    Where it is to be trained, `settings` are tried too.

    Raises:
        InputError: no such family, or its settings do not fit the data or the training.
    """
    config = config_of(name, config)
    family = FAMILIES[name]
    try:
        made = family(family.Config(**config), card, upstream)
    except ValueError as error:
        raise InputError(f"families.{name}: {error}") from None
    if settings:
        try:
            made.check_shard(settings.shard)
        except ValueError as error:
            cut = f"train.batch={settings.batch} over train.shards={settings.shards}"
            raise InputError(f"families.{name}: {error} ({cut})") from None
    return made


def untrained(name: str, card: Card, blocks: Mapping[str, dict[str, Any]]) -> dict[str, nn.Module]:
    """What a family builds on, newly initialised; `blocks` holds settings of families, else by default."""
    built: dict[str, nn.Module] = {}
    for called, family in upstream_of(name, blocks).items():
        below = untrained(family, card, blocks)
        built[called] = build(family, blocks.get(family, {}), card, below).generator
    return built


def fit(job: Fit, group: Group | None = None, report: Report = lambda *_: None) -> None:
    """Train on this process of the group; go on from the newest checkpoint in the attempt's folder.

    Leaves in the attempt's folder: metrics/, samples/, checkpoints/, model/ and, written last, trained.json;
    ema/ too, where averages of other lengths are tried. A job that stops on the way leaves no model yet.
    """
    group = group or Group(device=torch.device(job.device))
    settings, store = job.settings, Store(job.store)
    attempt = store.child(job.attempt)
    if group.agree(attempt.exists(RESULT)):
        return
    keep_freed()
    with using_threads(settings.threads):
        folder = store.local_copy(job.data)
        card = DataCard.read(folder)
        told = card_for(job.family, job.config, card)
        encoded = store.local_copy(job.captions) if told.text else None
        training, validation = (
            _split(job, store, folder, split, encoded) for split in ("train", "validation")
        )
        upstream = {name: load_model(store.local_copy(model)) for name, model in job.upstream.items()}
        torch.manual_seed(derive(settings.seed, "weights"))
        built_on = {name: generator for name, (generator, _, _) in upstream.items()}
        family = build(job.family, job.config, told, built_on, settings)
        resume = _checkpoint(attempt, group)
        with Uploader(attempt) as uploader:
            rows = sampling.grid_rows(validation, settings.sample_images)
            log: Recorder | Silent = Silent()
            if group.rank == 0:
                log = _log(job, store, attempt, uploader, validation, rows, card, family)
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
                stop_at=job.stop_at,
            )
            paused = trainer.control.step < settings.steps and not trainer.control.stopped
            averages = None
            if isinstance(log, Recorder) and settings.ema_lengths and not paused:
                averages = try_lengths(trainer, log)
            work = time.time() - began
        if uploader.failed:
            name, why = uploader.failed[0]
            raise RunError(f"{job.attempt}/{name} could not be stored: {why}; run the same command to resume")
        if isinstance(log, Recorder) and not paused:
            shown: dict[str, Any] = {"count": len(rows)}
            about: dict[str, Any] = {"labels": card.labels, "background": card.background}
            about["upstream"] = {name: described for name, (_, _, described) in upstream.items()}
            if told.text and validation.captions:
                shown["titles"] = [validation.captions[i] for i in rows]
                about["encoder"] = store.read_json(f"{job.captions}/{ENCODER}")
            _leave(job, attempt, trainer, log, trained, validation, averages, work, shown, about)


def _split(job: Fit, store: Store, folder: Path, name: str, encoded: Path | None) -> Split:
    """A split of the data, with what is kept of its captions and images as other models encode them."""
    split = open_split(folder, name, encoded)
    if job.without is not None:
        return split.without(job.without)
    if not job.latents:
        return split
    return replace(split, latents=open_shards(store.local_copy(f"{job.latents}/{name}"), "latents"))


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
    family: Family,
) -> Recorder:
    """Where the first process writes, with the fixed conditions of its sample grids."""
    settings, labels, told = job.settings, validation.labels, family.card
    kinds = conditions(job.family, job.config, told)
    fixed: dict[str, Any] = {
        "n": len(rows),
        "seed": derive(settings.seed, "grid"),
        "labels": labels[rows] if labels is not None and "label" in kinds else None,
        "text": None if validation.text is None else validation.text[rows],
        "device": job.device,
        **originals(job.family, validation, rows),
    }
    if FAMILIES[job.family].task in PAIRED:
        grid = sampling.grid(validation.images[rows], SHEET_COLUMNS)
        uploader.put(sampling.encode_webp(grid), "samples/source.webp")
    if hasattr(family.generator, "given"):
        grid = sampling.grid(sampling.draw(family.generator, told, method="given", **fixed), SHEET_COLUMNS)
        uploader.put(sampling.encode_webp(grid), "samples/given.webp")

    def draw(generator: nn.Module) -> np.ndarray:
        assert isinstance(generator, Generator)
        return sampling.draw(generator, told, **fixed)

    selector = _selector(job, store, validation, card, told) if settings.judges else None
    return Recorder(attempt, uploader, draw, settings.steps, selector, job.checkpoints)


def _selector(job: Fit, store: Store, validation: Split, card: DataCard, told: Card) -> Selector:
    """What judges snapshots.

    Its samples are like those to be reported, but of seeds and images that select and are never reported.
    """
    n = min(job.settings.judge_samples, len(validation))
    targets = validation.images[np.arange(n)] if FAMILIES[job.family].task in PAIRED else None
    jury = Jury(store.local_copy(job.reference), store.local_copy(job.extractor), n, targets)
    fixed = conditions_of(job.family, job.config, told, card, validation)
    fixed |= {"n": n, "seed": derive(job.settings.seed, "select"), "device": job.device}
    return Selector(jury, lambda generator: sampling.draw(generator, told, **fixed))


def conditions_of(
    family: str, config: dict[str, Any], told: Card, data: DataCard, split: Split
) -> dict[str, Any]:
    """What a family's judged samples are made from.

    Its inputs and the captions of the split, one after the other, with the labels that are theirs; where
    there is neither, labels as frequent as in the data.
    """
    kinds, found = conditions(family, config, told), originals(family, split)
    if "text" in kinds:
        found["text"] = split.text
    if "label" in kinds and data.label_counts:
        drawn = {"labels": "data", "counts": data.label_counts["train"]}
        found |= {"labels": split.labels} if found else drawn
    return found


def originals(family: str, split: Split, rows: np.ndarray | slice = slice(None)) -> dict[str, Any]:
    """The images that a family makes its own from, where it does: sources, else those to be found again."""
    if FAMILIES[family].task == "generate":
        return {}
    if split.sources is not None and FAMILIES[family].task != "reconstruct":
        return {"sources": split.sources if isinstance(rows, slice) else split.sources[rows]}
    return {"images": split.images if isinstance(rows, slice) else split.images[rows]}


def _leave(
    job: Fit,
    attempt: Store,
    trainer: Trainer,
    log: Recorder,
    trained: Trained,
    validation: Split,
    averages: dict[str, Any] | None,
    work: float,
    shown: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """The weights to keep, the others where they differ and, last, what is to be known of the training.

    `shown` says what the sample grids show, `about` what a model's config.json says besides its settings.
    """
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
        assert isinstance(generator, Generator)
        told = dict(about)
        if family.codes:
            told["errors"] = known_errors(generator, validation, job.device)
        save_model(attempt, folder, job, generator, family.card, **told)
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
            "samples": {**sample_table(attempt, family.card), **shown},
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


def sample_table(attempt: Store, card: Card) -> dict[str, Any]:
    """How to read the grids: tiles lie side by side, row by row."""
    names = [name for name in attempt.list("samples") if name.startswith("step-")]
    return {
        "columns": SHEET_COLUMNS,
        "resolution": card.resolution,
        "channels": card.channels,
        "steps": [int(name.removeprefix("step-").removesuffix(".webp")) for name in names],
        "source": "samples/source.webp" if attempt.exists("samples/source.webp") else None,
        "kept": KEPT,
    }


# Models on disk: weights as safetensors, everything else as JSON. No pickle.


def save_model(
    attempt: Store,
    folder: str,
    job: Fit,
    generator: nn.Module,
    card: Card,
    labels: list[str] | None = None,
    encoder: dict[str, Any] | None = None,
    upstream: Mapping[str, Any] = MappingProxyType({}),
    errors: dict[str, Any] | None = None,
    background: str | None = None,
) -> None:
    """Write model.safetensors and config.json into a folder: all that is needed to sample.

    But for the encoder of captions, of which it says which one it is. `upstream` holds the config.json of
    what it builds on: the generator has their weights, and needs no more of them than how they are built.
    `errors` are those of images it has not seen (components/strangeness.py), `background` what transparent
    images were laid on.
    """
    weights = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    attempt.write_bytes(f"{folder}/model.safetensors", save(weights))
    described = {
        "schema": 1,
        "family": job.family,
        "config": job.config,
        "card": asdict(card),
        "labels": labels,
        "upstream": {
            name: {key: below.get(key) for key in ("family", "config", "card", "upstream")}
            for name, below in upstream.items()
        },
        **({"encoder": encoder} if encoder else {}),
        **({"errors": errors} if errors else {}),
        **({"background": background} if background else {}),
    }
    attempt.write_json(f"{folder}/config.json", described)


def load_model(
    folder: os.PathLike[str] | str, changes: Mapping[str, tuple[str, Any]] | None = None
) -> tuple[Generator, Card, dict[str, Any]]:
    """The generator in a model folder, its card, and the whole of its config.json.

    Args:
        folder: with model.safetensors and config.json.
        changes: settings of sampling that replace the model's: name -> (option that asks for it, value).

    Raises:
        InputError: the folder holds no model, or one that does not fit this version's family, or a change
            is not one of its settings or not accepted.
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
    try:
        described["config"] = _with(described["family"], described["config"], changes or {})
        family = rebuilt(described)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}/config.json does not describe a model of this version: {type(error).__name__}, {error}"
        ) from None
    generator, card = family.generator, family.card
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit: {str(error).splitlines()[0]}") from None
    return generator.eval().to(memory_format=torch.channels_last), card, described


def rebuilt(described: Mapping[str, Any]) -> Family:
    """The family that a config.json describes, newly initialised, on what it builds on."""
    below = {name: rebuilt(one).generator for name, one in (described.get("upstream") or {}).items()}
    return build(described["family"], described["config"], Card(**described["card"]), below)


def _with(name: str, config: dict[str, Any], changes: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """A family's settings with some changed, all at once: whether one fits may depend on another."""
    model = FAMILIES[name].Config
    for setting, (option, value) in changes.items():
        if setting not in model.model_fields:
            raise InputError(f"{option} {value}: {name} has no such setting")
    try:
        values = {setting: value for setting, (_, value) in changes.items()}
        return model(**{**config, **values}).model_dump(mode="json") if changes else config
    except ValidationError as error:
        first = error.errors()[0]
        wrong = [told for setting, told in changes.items() if setting in first["loc"]] or list(
            changes.values()
        )
        asked = " ".join(f"{option} {value}" for option, value in wrong)
        told = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{asked} is not accepted: {told[0].lower()}{told[1:]}") from None


# Samples of a trained model.


@dataclass(frozen=True)
class Wish:
    """What samples are asked for; what is None is as the model has it."""

    label: str | None = None  # a class by name or number; None: all in turn
    source: Path | None = None  # an image to reconstruct, to enlarge, to fill in or to start from
    mask: Path | None = None  # white where the source is to be filled in; None: holes at random
    strength: float | None = None  # of the noise that is laid on the source to start from
    prompts: Sequence[str] = ()  # captions, which take turns; none: drawn without a caption
    steps: int | None = None  # of the sampler
    guidance: float | None = None  # towards class or caption; 1: none
    sampler: str | None = None

    @property
    def settings(self) -> dict[str, tuple[str, Any]]:
        """What is to be changed of a model's settings: name -> (option, value)."""
        asked = {
            "sampler_steps": ("--steps", self.steps),
            "guidance": ("--guidance", self.guidance),
            "sampler": ("--sampler", self.sampler),
            "strength": ("--strength", self.strength),
        }
        return {name: told for name, told in asked.items() if told[1] is not None}


def sample_to_file(
    model: Path, output: Path, *, n: int, seed: int = 0, wish: Wish | None = None
) -> np.ndarray:
    """Draw samples of an exported model, and of nothing else, into one picture; returns them.

    Args:
        model: folder with model.safetensors and config.json.
        output: a .png or .webp file.
        n: how many.
        seed: image i depends on (seed, i).
        wish: what is asked for.

    Raises:
        InputError: the family needs what is not given, or the other way round.
    """
    check_picture(output, n)
    wish = wish or Wish()
    generator, card, described = load_model(model, wish.settings)
    images = sampling.draw(generator, card, n=n, seed=seed, **_wished(wish, n, generator, card, described))
    write_picture(images, output)
    return images


def check_picture(output: Path, n: int) -> None:
    """Refuse a picture of no sample, or of another kind than we write."""
    if output.suffix.lower() not in (".png", ".webp"):
        raise InputError(f"-o {output}: samples are written as .png or .webp")
    if n < 1:
        raise InputError(f"-n {n}: at least one sample is needed")


def write_picture(images: np.ndarray, output: Path, columns: int = SHEET_COLUMNS) -> None:
    """Images (N, C, H, W) as one picture, whole or not at all."""
    array = sampling.grid(images, min(len(images), columns))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=output.parent, suffix=output.suffix, delete=False) as file:
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(file.name, lossless=True)
    os.replace(file.name, output)


def _wished(
    wish: Wish, n: int, generator: Generator, card: Card, described: dict[str, Any]
) -> dict[str, Any]:
    """What `n` samples are made from."""
    name = described["family"]
    kinds, found = (
        conditions(name, described["config"], card),
        _from_image(wish, n, generator, card, described),
    )
    if wish.label is not None and "label" not in kinds:
        raise InputError(f"--label {wish.label}: this model was trained without labels")
    if len(wish.prompts) > n:
        raise InputError(f"-n {n}: fewer than the {len(wish.prompts)} prompts, of which each is to have one")
    if wish.prompts and "text" not in kinds:
        raise InputError(f"--prompt {wish.prompts[0]!r}: this model was trained without captions")
    if wish.guidance is not None and not kinds:
        raise InputError(f"--guidance {wish.guidance:g}: this model knows neither classes nor captions")
    if wish.label is not None:
        found["labels"] = class_number(wish.label, described.get("labels"), card)
    elif "label" in kinds and wish.source is None:
        found["labels"] = np.arange(n) % card.num_classes
    elif "label" in kinds and not described["config"].get("condition_dropout"):
        raise InputError("--source: this model was never without a label: say the image's with --label")
    if "text" in kinds:
        found["text"] = prompted(wish.prompts, n, described["encoder"])
    return found


def _from_image(
    wish: Wish, n: int, generator: Generator, card: Card, described: dict[str, Any]
) -> dict[str, Any]:
    """The image, and its mask, that `n` samples are made from, for families that make them from one."""
    name, task = described["family"], FAMILIES[described["family"]].task
    if wish.mask is not None and not hasattr(generator, "masked"):
        raise InputError(f"--mask {wish.mask}: {name} fills no holes")
    if wish.strength is not None and wish.source is None:
        raise InputError(f"--strength {wish.strength:g}: name the image to start from with --source FILE")
    if wish.source is None:
        if task == "generate":
            return {}
        verb = {"reconstruct": "reconstructs", "upscale": "enlarges"}.get(task, "changes")
        raise InputError(f"{name} {verb} images: name one with --source FILE")
    if task == "generate" and "strength" not in described["config"]:
        raise InputError(f"{name} makes images from nothing: it takes no --source")
    if task == "generate" and described["config"]["strength"] == 1:
        raise InputError(
            "--source is to be laid under noise: say how much with --strength, above 0 and below 1"
        )
    from components.pictures import one_image, one_mask

    side = getattr(generator, "source_resolution", card.resolution)
    told = replace(card, resolution=side), described.get("background")
    image = one_image(wish.source, *told, exact=task == "upscale")
    found = {"sources" if task == "upscale" else "images": np.repeat(image[None], n, axis=0)}
    if wish.mask is not None:
        found["masks"] = np.repeat(one_mask(wish.mask, card.resolution)[None], n, axis=0)
    return found


def prompted(prompts: Sequence[str], n: int, encoder: dict[str, Any]) -> Text:
    """The prompts, encoded, for `n` images in turn; without any, no caption.

    Raises:
        InputError: the encoder is not installed or not the model's, or a prompt is too long for it.
    """
    if not prompts:
        return Text(Table.nothing(), np.zeros(n, np.int64))
    from components import text

    ours = text.identity().items()
    if others := [
        f"{key} {encoder.get(key)} is {value} here" for key, value in ours if encoder.get(key) != value
    ]:
        raise InputError(
            f"this model was told captions by {encoder['name']}, and this version of Atelier has another: "
            + ", ".join(others)
        )
    table = text.encode(prompts)
    if table.cut:
        raise InputError(f"--prompt: at most {LONGEST} tokens, which are words or parts of them")
    return Text(table, np.arange(n) % len(prompts))


def class_number(label: str, names: list[str] | None, card: Card) -> int:
    """A class by its name or number."""
    if names and label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < card.num_classes:
        return int(label)
    known = ", ".join(names[:20]) if names else f"0 to {card.num_classes - 1}"
    raise InputError(f"--label {label}: unknown class; known: {known}")


def describe_families() -> list[dict[str, Any]]:
    """Name, paper, needs and phases of every family."""
    card = Card(1, 28, 10)
    return [
        {
            "name": name,
            "paper": family.paper,
            "task": family.task,
            "needs": sorted(family.needs),
            "upstream": {called: list(of) for called, of in family.upstream.items()},
            "phases": [phase.name for phase in build(name, {}, card, untrained(name, card, {})).phases],
        }
        for name, family in FAMILIES.items()
    ]
