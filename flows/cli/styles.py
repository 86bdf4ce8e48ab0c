"""`atelier interpolate`, `mix`, `project` and `path-length`: the styles of style-based generators."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from components.common.errors import InputError
from components.common.progress import report
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    model_folder,
    named,
    open_named_store,
    progress_shown,
    say,
    say_next,
)

if TYPE_CHECKING:
    from components.records.run import RunManifest
    from components.sampling.styles import Styles


@Parameter(name="*", group=Group.create_ordered("Styles"))
@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings of styles; those not given are the model's own.

    Attributes:
        label: a class, by name or number (default: classes in turn)
        truncation: psi, towards the mean style: 1 is no truncation, 0 the mean image
        truncation_cutoff: number of layers that are truncated, from the first (default: all)
        truncation_mean: mean style: of all w, or of those of the image's class
    """

    label: str | None = None
    truncation: float | None = None
    truncation_cutoff: int | None = None
    truncation_mean: Literal["all", "class"] | None = None


def opened(folder: Path, request: Request, use: str) -> Styles:
    """Return the style-based generator in a model's folder, with the settings of a request."""
    from components.sampling.styles import StyleOptions, Styles

    return Styles.open(folder, StyleOptions(**vars(request)), use)


def interpolate(
    run: str,
    family: str | None = None,
    /,
    *,
    seeds: Annotated[str, Parameter(metavar="1,2,8-11,FILE")],
    output: Annotated[str, Parameter(alias="-o", metavar="FILE|FOLDER")],
    frames: int | None = None,
    space: Literal["w", "z"] = "w",
    fps: float = 24.0,
    request: Request = Request(),  # noqa: B008  frozen
    store: StoreURL = STORE,
) -> None:
    """Draw images between samples of a style-based model, and back to the first.

    Args:
        run: a run id, `latest`, or the folder of an exported model
        family: a family of the run; not needed with a folder
        seeds: seeds whose first samples to pass in order, at least two; .safetensors files of `atelier
            project` too
        output: a .png for stills, with a line from each seed to the next; a .webp, .gif or .apng for an
            animation; or FOLDER/ for a PNG of each frame
        frames: frames in all (default: 24 from one seed to the next, 8 of stills)
        space: w: along lines in W; z: along arcs in z
        fps: frames in a second of an animation, at most 50
    """
    from components.sampling.interpolation import write_interpolation
    from components.sampling.styles import parsed_seeds

    points, path = parsed_seeds("--seeds", seeds, least=2), Path(output)
    with progress_shown("open the model", path):
        styles = opened(model_folder(run, family, store)[0], request, "atelier interpolate")
        drawn = functools.partial(report, activity="draw")
        folder = output.endswith(os.sep) or path.is_dir()
        keys = styles.keys(points)
        n = write_interpolation(
            styles, keys, path, frames=frames, space=space, fps=fps, folder=folder, progress=drawn
        )
    say(f"{n} frames through {len(points)} points, and back")
    print(path)
    say_next(f"atelier mix {named(run, family)} -o mixed.png draws samples with the styles of others")


def mix(
    run: str,
    family: str | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", metavar="FILE")],
    rows: Annotated[str, Parameter(metavar="1,2,8-11,FILE")] = "0-4",
    columns: Annotated[str, Parameter(metavar="1,2,8-11,FILE")] = "5-11",
    layers: Annotated[str, Parameter(metavar="coarse|middle|fine|0-3")] = "coarse",
    request: Request = Request(),  # noqa: B008  frozen
    store: StoreURL = STORE,
) -> None:
    """Draw a grid of style mixing: samples of the rows with the styles of the columns in some layers.

    Args:
        run: a run id, `latest`, or the folder of an exported model
        family: a family of the run; not needed with a folder
        output: a .png or .webp file
        rows: seeds, in a list; .safetensors files of `atelier project` too
        columns: seeds, in a list; .safetensors files of `atelier project` too
        layers: layers whose styles are those of the columns: a third of all layers, or from one to another
    """
    from components.sampling import sheets
    from components.sampling.mixing import mixing_grid
    from components.sampling.styles import PARTS, parsed_layers, parsed_seeds
    from components.sampling.to_file import check_picture, save_picture

    sides = parsed_seeds("--rows", rows), parsed_seeds("--columns", columns)
    check_picture(output, None)
    with progress_shown("open the model"):
        styles = opened(model_folder(run, family, store)[0], request, "atelier mix")
        chosen, across = parsed_layers(layers, styles.layers), 1 + len(sides[1])
        images = mixing_grid(styles, styles.keys(sides[0]), styles.keys(sides[1]), chosen)
    save_picture(sheets.grid(images, across), output)
    say(f"layers {chosen.start} to {chosen.stop - 1} of {styles.layers} are those of the columns")
    print(output)
    others = " or ".join(name for name in PARTS if name != layers)
    say_next(f"--layers {others} takes other styles from the columns")


def project(
    run: str,
    family: str,
    image: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", metavar="FILE")],
    label: str | None = None,
    network: Literal["auto", "vgg19", "efficientnet", "extractor", "pixels"] = "auto",
    steps: int = 1000,
    seed: int = 0,
    store: StoreURL = STORE,
) -> None:
    """Project an image into W: find the style of a style-based model whose image is nearest to it.

    Args:
        run: a run id, `latest`, or the folder of an exported model
        family: a family of the run
        image: the target, a picture of the size and colours of the model's images
        output: a .png or .webp file for the target beside its projection; the style and the noise inputs are
            written to the same name with .safetensors, which `interpolate` and `mix` take for a seed
        label: a class, by name or number, at whose mean style the search begins (default: that of all)
        network: network in whose features images are compared; auto: for grey images the extractor of the
            run, else VGG19 or EfficientNet-Lite0, or what there is of these; pixels: none
        steps: steps of the search
        seed: seed of the noise in the search
    """
    from components.analysis.projection import project_to_files
    from components.sampling.to_file import check_picture

    check_picture(output, None)
    if steps < 1:
        raise InputError(f"--steps {steps}: at least one is needed")
    folder, manifest = model_folder(run, family, store)
    with progress_shown("open the model"):
        styles = opened(folder, Request(label=label), "atelier project")
        searched = functools.partial(report, activity="project")
        extractor = extractor_folder(manifest, store)
        written, sentence = project_to_files(
            styles, image, output, network=network, extractor=extractor, steps=steps, seed=seed,
            progress=searched,
        )  # fmt: skip
    say(sentence)
    for path in written:
        print(path)
    say_next(f"atelier interpolate {named(run, family)} --seeds {written[1]},1 -o moving.webp")


def extractor_folder(manifest: RunManifest | None, store: str) -> Path | None:
    """Return the folder of a run's extractor on this machine; None for a model's folder without a run."""
    if manifest is None:
        return None
    return Path(open_named_store(store).local_copy(f"{manifest.folder('extractor')}/extractor"))


def path_length(
    run: str,
    family: str | None = None,
    /,
    *,
    space: Literal["w", "z"] = "w",
    along: Literal["ends", "full"] = "ends",
    n: Annotated[int, Parameter(name="-n")] = 1000,
    network: Literal["auto", "vgg19", "efficientnet", "extractor", "pixels"] = "auto",
    seed: int = 0,
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Measure the perceptual path length (PPL) of a style-based model; lower is smoother.

    Args:
        run: a run id, `latest`, or the folder of an exported model
        family: a family of the run; not needed with a folder
        space: w: lines in W; z: arcs in z
        along: ends: at the beginning of random paths; full: anywhere on them
        n: number of paths
        network: network in whose features images are compared, a part of the measure; auto: for grey images
            the extractor of the run, else VGG19 or EfficientNet-Lite0, or what there is of these; pixels:
            none
        seed: seed of the paths
    """
    from components.analysis.path_length import path_length as measured
    from components.extractors.feature_distance import feature_distance

    if n < 2:
        raise InputError(f"-n {n}: two paths are needed, at least")
    folder, manifest = model_folder(run, family, store)
    with progress_shown("open the model"):
        styles = opened(folder, Request(), "atelier path-length")
        distance = feature_distance(network, styles.card, extractor_folder(manifest, store))
        drawn = functools.partial(report, activity="measure")
        result = measured(styles, distance, space=space, along=along, pairs=n, seed=seed, progress=drawn)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    interval = f" ({result.low:.4g} to {result.high:.4g})" if result.low is not None else ""
    where = "at the ends of paths" if along == "ends" else "anywhere on paths"
    print(f"PPL {result.value:.4g}{interval} in {space}, {where}, by {distance.name}, {n:,} paths")
    say_next("compare it with lengths of the same network, space and number of paths only")
