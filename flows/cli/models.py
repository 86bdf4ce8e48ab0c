"""`atelier sample` and `atelier anomaly`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from components.common.errors import InputError
from components.common.progress import counting, report
from components.registry.runs import LATEST, find_run, newest_first
from components.store import Store
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    is_model,
    model_folder,
    named,
    only_model,
    open_named_store,
    print_table,
    progress_shown,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.analysis.anomaly_scores import Scores
    from components.records.run import RunManifest
    from components.sampling.request import SampleOptions
    from components.sampling.styles import StyleOptions

LARGEST = 178_956_970  # pixels of a picture that Pillow still opens
LIST_ALL = "-o FILE.csv and --json list"
FEW = 100  # validation images, whose 95 % quantile a few decide
LISTED = 20  # images that `anomaly` lists at least, flagged or not


@Parameter(name="*", group=Group.create_ordered("Sampling"))
@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings of sampling; those not given are the model's own.

    Attributes:
        label: a class, by name or number
        prompt: a caption; repeatable, samples use the prompts in turn
        steps: steps of the sampler
        guidance_scale: guidance towards class or caption; 1: none
        sampler: a sampler of the model's family
        source: an image, or a folder of them, to translate, enlarge, inpaint, reconstruct or start from
        mask: white where the source is to be inpainted
        strength: amount of noise on the source: near 0 keeps it, 1 does not
        dropout: the noise of some translators; off: a source has one image
        direction: direction of a translation between two domains
        statistics: BatchNorm's statistics: of each image alone, or the averages of training
        interpolate: weights from the PSNR-oriented network (0) to the GAN (1)
        truncation: psi, towards the mean style: 1 is no truncation, 0 the mean image
        truncation_cutoff: number of layers that are truncated, from the first (default: all)
        truncation_mean: mean style: of all w, or of those of the image's class
    """

    label: str | None = None
    prompt: tuple[str, ...] = ()
    steps: int | None = None
    guidance_scale: float | None = None
    sampler: Annotated[str | None, Parameter(metavar="NAME")] = None
    source: Annotated[Path | None, Parameter(metavar="FILE|FOLDER")] = None
    mask: Annotated[Path | None, Parameter(metavar="FILE")] = None
    strength: float | None = None
    dropout: Literal["on", "off"] | None = None
    direction: Literal["forward", "backward"] | None = None
    statistics: Literal["image", "training"] | None = None
    interpolate: float | None = None
    truncation: float | None = None
    truncation_cutoff: int | None = None
    truncation_mean: Literal["all", "class"] | None = None


def sample(
    run: str,
    family: str | None = None,
    /,
    *,
    output: Annotated[str, Parameter(alias="-o", metavar="FILE|FOLDER")],
    n: Annotated[int | None, Parameter(name="-n")] = None,
    seed: int = 0,
    request: Request = Request(),  # noqa: B008  frozen
    prior: Literal["model", "mixture"] = "model",
    nearest: bool = False,
    store: StoreURL = STORE,
) -> None:
    """Sample from an exported model.

    Args:
        run: a run id, `latest`, or the folder or URL of an exported model or a published run
        family: a family of the run; not needed with a model's folder
        output: a .png or .webp file for one picture of all; or a synthetic data set: FOLDER/ with a PNG of
            each, NAME.npz, or NAME.tar for shards of WebDataset, also as URLs, with labels or captions, a
            card and metadata; the same command continues after an interruption
        n: number of samples (default: 16, or one of a source that the family needs)
        seed: seed of the samples
        prior: mixture: sample codes from Gaussians fitted to those of training images; needs a run
        nearest: also write OUTPUT-nearest, each sample above its nearest training image; needs a run
    """
    from components.sampling.data_set import sample_data_set
    from components.sampling.shards import Target
    from components.sampling.to_file import SAMPLES, sample_to_file
    from components.sampling.to_folder import sample_to_folder

    options, notes, path = options_of(request), list[str](), Path(output)
    each = Target.of(f"{output}/" if path.is_dir() else output)
    if nearest:
        check_nearest(options)
    folder, manifest = model_folder(run, family, store)
    if nearest or prior == "mixture":
        check_training_images("--nearest" if nearest else "--prior mixture", manifest, output if each else "")
    written = path if not each or each.store.is_local else None
    with progress_shown("open the model", written), counting(n or SAMPLES, "draw"):
        if prior == "mixture" and manifest:
            data = f"{manifest.folder('prepare')}/data"
            images = sample_mixture(request, folder, path, data, store, n=n or SAMPLES, seed=seed)
        elif options.source is not None and options.source.is_dir():
            notes += sample_to_folder(folder, path, options, n=n, seed=seed)
        elif each:
            place, model = place_of(manifest, family, folder, store)
            drawn = partial(report, activity="draw")
            notes += sample_data_set(place, model, each, n=n, seed=seed, options=options, progress=drawn)
        else:
            rows = 2 if nearest else 1
            check_sheet(folder, rows * (n or SAMPLES))
            images = sample_to_file(folder, path, n=n, seed=seed, options=options, notes=notes, rows=rows)
    for note in notes:
        say(note)
    print(output if each else path)
    if nearest and manifest:
        print(write_nearest(images, path, manifest, store))
    say_next(after_samples(path, run, family, manifest, one_class=request.label is not None))


def options_of(request: Request) -> StyleOptions:
    """Return the options of samples that the command line asks for."""
    from components.sampling.styles import StyleOptions

    settings = vars(request).copy()
    return StyleOptions(prompts=settings.pop("prompt"), **settings)


def place_of(manifest: RunManifest | None, family: str | None, folder: Path, store: str) -> tuple[Store, str]:
    """Return where a model is that other machines may open, too: a store and a folder in it."""
    if manifest is None:
        return Store(folder), ""
    return open_named_store(store), manifest.models[family or only_model(manifest)]


def check_sheet(model: Path, n: int) -> None:
    """Raise InputError if one picture of `n` images of a model is larger than programs open."""
    from components.records.model import ModelConfig

    config = ModelConfig.read(json.loads((model / "config.json").read_text("utf-8")))
    pixels = n * int(config.card["resolution"]) ** 2 if config else 0
    if pixels > LARGEST:
        raise InputError(
            f"-n {n}: one picture of all would have {pixels / 1e6:,.0f} million pixels, more than most "
            "programs open; write a file of each with -o FOLDER/"
        )


def after_samples(
    path: Path, run: str, family: str | None, manifest: RunManifest | None, *, one_class: bool
) -> str:
    """Return what to do with samples in a file or folder, as a command.

    Samples of one class are not like a data set of several, whatever their quality.
    """
    if one_class:
        return f"atelier sample {named(run, family)} -o FOLDER/ draws all classes, for atelier evaluate"
    if path.is_dir():
        data = manifest.lineage.data.name if manifest else "NAME"
        return f"atelier evaluate {quote(str(path))} --data {data}"
    return (
        f"atelier sample {named(run, family)} -o FOLDER/ writes a file of each, which atelier evaluate reads"
    )


def check_training_images(option: str, manifest: RunManifest | None, folder: str) -> None:
    """Raise InputError where an option that reads training images has no run, or samples go to a folder."""
    if manifest is None:
        raise InputError(f"{option}: name a run in the store; a model's folder has no training images")
    if folder:
        raise InputError(f"{option}: name one file with -o, not the folder {folder}")


def check_nearest(options: SampleOptions) -> None:
    """Raise InputError for samples that have no nearest training images to be shown with."""
    if options.direction == "backward":
        raise InputError(
            "--nearest: samples of the direction backward look like sources, not training images"
        )
    if options.source is not None and options.source.is_dir():
        raise InputError("--nearest: name one image with --source, not a folder")


def write_nearest(images: Any, path: Path, manifest: RunManifest, store: str) -> Path:
    """Write samples above their nearest training images beside their own picture; return the file."""
    from components.evaluation.jobs import write_neighbours

    neighbours = path.with_stem(f"{path.stem}-nearest")
    folders = {name: manifest.folder(name) for name in ("prepare", "extractor", "reference")}
    write_neighbours(images, neighbours, open_named_store(store), folders)
    return neighbours


def sample_mixture(
    request: Request, model: Path, output: Path, data: str, store: str, *, n: int, seed: int
) -> Any:
    """Return images (N, C, H, W) decoded from a mixture's codes, for `atelier sample --prior mixture`."""
    from components.analysis import mixture_prior

    for name, value in vars(request).items():
        if name != "label" and value not in (None, ()):
            raise InputError(
                f"--{name} does not go with --prior mixture, which samples codes and decodes them"
            )
    opened = open_named_store(store)
    return mixture_prior.sample_to_file(model, output, opened, data, n=n, seed=seed, label=request.label)


def anomaly(
    folder: str,
    /,
    *,
    run: str = LATEST,
    family: str | None = None,
    quantile: float = 0.95,
    background: Annotated[str | None, Parameter(metavar="COLOUR")] = None,
    output: Annotated[Path | None, Parameter(alias="-o", metavar="FILE")] = None,
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Find anomalous images in a folder: badly reconstructed, or rougher or flatter than validation images.

    Args:
        folder: a folder of images, or a URL
        run: a run id, `latest`, or the folder or URL of an exported model
        family: a family of the run (default: the first that encodes images)
        quantile: flag images with a higher score than this share of validation images
        background: colour behind transparent pixels (default: that of the model's data)
        output: a .csv file
    """
    from components.analysis import anomaly_scores

    with progress_shown("open the model"):
        model, chosen, manifest = scoring_model(run, family, store)
        scores = anomaly_scores.score_folder(folder, model, quantile, background)
    if scores.notice:
        say(f"{scores.notice}; {len(scores.images):,} are scored")
    say(f"scored by {f'{chosen} of run {manifest.run_id}' if manifest else run}")
    if output:
        anomaly_scores.write_csv(scores.images, output)
    if manifest:
        warn_unless_blessed(manifest, chosen)
    if as_json:
        flagged = sum(image.flagged for image in scores.images)
        images = [asdict(image) for image in scores.images]
        document = {
            "threshold": 1.0,
            "validation_images": scores.validation_images,
            "flagged": flagged,
            "skipped_files": scores.left_out,
        }
        print(json.dumps(document | {"images": images}))
        return
    show_scored(scores, quantile, "--json lists" if output else LIST_ALL)
    if output:
        say(f"all scores: {output}")
    lists_all = "" if output else "-o FILE.csv lists all, "
    say_next(f"look at the flagged images; {lists_all}--quantile flags more or fewer")


def warn_unless_blessed(manifest: RunManifest, family: str) -> None:
    """Say why the gate has not blessed a run's model of a family, and whether it judged reconstructions."""
    from components.families.tasks import TASKS

    for judgement in manifest.gate:
        if judgement.model.family == family and not judgement.is_blessed:
            what = f"{family} of run {manifest.run_id}"
            if TASKS[judgement.task].has_target:
                why = "; ".join(judgement.failed)
                say(f"the gate did not bless the reconstructions of {what}, so its scores may mislead: {why}")
            else:
                say(
                    f"the gate did not bless the samples of {what}, which says nothing about these scores: "
                    "they are made of its reconstructions"
                )


def show_scored(scores: Scores, quantile: float, all_by: str = LIST_ALL) -> None:
    """Print the flagged images, the most anomalous first, and how many there are."""
    from components.common.names import displayed

    scored = scores.images
    flagged = sum(image.flagged for image in scored)
    listed = scored[: max(flagged, LISTED)]
    rows = [
        (displayed(image.file), f"{image.score:.3f}", f"{image.error:.5f}", image.because * image.flagged)
        for image in listed
    ]
    print_table(("image", "score", "error", "flagged for"), rows)
    if len(listed) < len(scored):
        print(f"and {len(scored) - len(listed)} with lower scores; {all_by} all")
    ordinary = f"{100 * (1 - quantile):.3g} % of ordinary images"
    print(
        f"{flagged} of {len(scored)} images are flagged: they score above 1, as about {ordinary} do, by "
        f"{scores.validation_images} validation images"
    )
    few = f"{scores.validation_images} validation images are few"
    if (least := 1 / (scores.validation_images + 1)) > 1 - quantile:
        say(f"{few}: {100 * least:.1f} % of ordinary ones may be flagged")
    elif scores.validation_images < FEW:
        say(f"{few}, so the limit of 1 is rough: look at images that score nearly as much, too")
    if scores.error_alone:
        say(
            "the model is of an earlier version: it judges by the error alone and may miss noise; train again"
        )


def scoring_model(run: str, family: str | None, store: str) -> tuple[Path, str, RunManifest | None]:
    """Return the folder of the family's model, or of the first that can score images; its family and run.

    `latest` is the newest run with such a model.
    """
    if family or is_model(run) or "://" in run:
        folder, manifest = model_folder(run, family, store)
        return folder, family or "", manifest
    opened = open_named_store(store)
    named_run = None if run == LATEST else find_run(opened, run)
    manifests = [named_run] if named_run else runs_with_models(opened)
    for manifest in manifests:
        if scoring := first_that_scores(manifest, opened):
            return opened.local_copy(manifest.models[scoring]), scoring, manifest
    of = f"run {named_run.run_id}" if named_run else f"no run in {opened.url}"
    raise InputError(
        f"{of} has {'no' if named_run else 'a'} model that encodes images, which the scores need; "
        f"{training_one(manifests, opened)}, then name its run, or leave out --run"
    )


def training_one(manifests: Sequence[RunManifest], store: Store) -> str:
    """Return what to do where none of these runs, the newest first, has a model that can score images."""
    from flows.addition import encoder, to_add

    family = encoder()
    full = [manifest for manifest in manifests if not manifest.smoke]
    if not manifests:
        return f"train one: `atelier run --only {family} --set data.name=NAME`"
    like = (full or manifests)[0]
    unchanged = "the data" if like.smoke else "data, config and extractor"
    return f"train one: `{to_add(family, like, store)}`, which keeps {unchanged} of run {like.run_id}"


def runs_with_models(store: Store) -> list[RunManifest]:
    """Return the runs that have models, the newest first."""
    from components.records.run import RunManifest

    return [manifest for manifest in newest_first(store, RunManifest) if manifest.models]


def first_that_scores(manifest: RunManifest, store: Store) -> str | None:
    """Return the family of a run's first model that can score images; None: it has none."""
    from components.analysis.anomaly_scores import why_not
    from components.records.model import ModelConfig

    for family, folder in manifest.models.items():
        config = ModelConfig.read(store.read_json(f"{folder}/config.json"))
        if config and not why_not(config):
            return family
    return None
