"""`atelier data`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from components.common.errors import InputError
from components.common.paths import home, working
from components.common.progress import report
from components.common.units import size
from flows.cli.shared import AsJSON, print_rows, print_table, progress_shown, say, say_next

SHEET = 40  # images of the contact sheet of a new data set
CLASSES = 12  # that are listed

data = App(name="data", help="Prepare and version data sets.")


@data.command(name="list")
def list_sets(*, as_json: AsJSON = False) -> None:
    """List the known and the prepared data sets."""
    from components.data.sources.prepare import available

    rows = available(home())
    if as_json:
        print(json.dumps(rows))
        return
    print_table(
        ("name", "prepared", "images", "shape", "classes", "title"),
        [
            (
                r["name"],
                "yes" if r["prepared"] else "-",
                f"{sum(r['counts'].values()):,}" if r["prepared"] else "",
                shapes(r["channels"], r["resolution"], r["sources"]) if r["prepared"] else "",
                (r["classes"] or "-") if r["prepared"] else "",
                r["title"],
            )
            for r in rows
        ],
    )
    say_next("atelier data prepare NAME, or atelier data add NAME FOLDER for your own images")


@data.command
def prepare(name: str, /, *, replace: bool = False) -> None:
    """Prepare a known data set and version it.

    Args:
        name: a known data set of `atelier data list`, or torchvision:CLASS
        replace: prepare and pin a new version
    """
    from components.data.sources import prepare
    from components.data.versioning import dvc, pins

    with progress_shown("prepare", home() / "data"):
        card = prepare.prepare(name, home(), replace=replace, progress=report)
        version = dvc.track(home(), card.name).version
    show_prepared(card, version)
    show_next(card, pins.data_folder(home(), card.name))


@data.command
def add(
    name: str,
    source: str,
    /,
    *,
    resolution: int | None = None,
    colour: Literal["auto", "grey", "rgb"] = "auto",
    background: Annotated[str, Parameter(metavar="COLOUR")] = "white",
    captions: Annotated[str | None, Parameter(metavar="FILE")] = None,
    layout: Literal["auto", "classes", "splits", "none"] = "auto",
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    frames: Literal["first", "all"] = "first",
    white: Annotated[str | None, Parameter(metavar="VALUE|auto")] = None,
    max_skipped: Annotated[int | None, Parameter(metavar="N")] = None,
    replace: bool = False,
    sources: Annotated[str | None, Parameter(metavar="FOLDER")] = None,
    side_by_side: Literal["AtoB", "BtoA"] | None = None,
    unpaired: Annotated[bool, Parameter(negative="")] = False,
    source_resolution: int | None = None,
    licence: str | None = None,
    credit: str | None = None,
) -> None:
    """Prepare your own images and version them.

    Args:
        name: the name of the new data set
        source: a folder or any fsspec URL; unpack an archive first
        resolution: pixels per side (default: 32 or 64, whichever fits)
        colour: convert images to grey or RGB
        background: colour behind transparent pixels
        captions: a table of captions, or `none` (default: all with usual names, and texts beside images)
        layout: read the top folders as classes or splits (default: splits, if so named); none: no classes
        follow_links: follow links that lead out of the folder
        frames: the pictures to read of files with several; those of a file share a split
        white: the value of white in files of more than 8 bits, such as 4095, or the largest of all
        max_skipped: unreadable files to tolerate (default: 1 % of them, at least 10)
        replace: replace a data set of that name from another source
        sources: a folder or URL of the sources that images are made from; pairs have equal names
        side_by_side: each file is two images, A on the left; AtoB makes B from A
        unpaired: images and sources are two domains without pairs
        source_resolution: pixels per side of a source (default: as the images)
        licence: licence of the images, stated in data and model cards
        credit: credit for the images, stated in data and model cards
    """
    from components.data.sources import prepare
    from components.data.versioning import dvc, pins

    options: dict[str, Any] = {"resolution": resolution, "colour": colour, "background": background}
    options |= {"captions": captions, "max_skipped": max_skipped, "replace": replace}
    options |= {"sources": sources, "side_by_side": side_by_side, "unpaired": unpaired}
    options |= {"source_resolution": source_resolution, "layout": layout, "follow_links": follow_links}
    options |= {"frames": frames, "white": white_value(white), "licence": licence, "credit": credit}
    before = pins.pinned(home(), name)
    with progress_shown("list", home() / "data"):
        card = prepare.add(name, source, home(), progress=report, **options)
        version = dvc.track(home(), card.name).version
    show_prepared(card, version)
    if before not in (None, version):
        say(f"  replaces version {str(before)[:10]}, which `atelier data versions {name}` still lists")
    show_next(card, pins.data_folder(home(), card.name))


def white_value(text: str | None) -> float | str | None:
    """Return the value of white that `--white` gives, or auto."""
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--white {text} is not possible; accepted: auto, or a number above 0") from None


@data.command
def degrade(
    name: str,
    base: str,
    kind: Literal["edges", "grey", "downscale", "noise", "jpeg", "real-esrgan"],
    /,
    *,
    scale: Annotated[int | None, Parameter(metavar="2|4")] = None,
    low: int | None = None,
    high: int | None = None,
    sigma: float | None = None,
    quality: int | None = None,
    seed: int = 0,
    revision: Annotated[str | None, Parameter(metavar="REV")] = None,
    replace: bool = False,
) -> None:
    """Prepare a data set with sources: degraded copies of the images of another.

    Args:
        name: the name of the new data set
        base: a data set, which is prepared first if it is a known one
        kind: what a source is: edges, luma, or a smaller (antialiased bicubic), noisy or compressed copy;
            real-esrgan: all of the latter, twice
        scale: of downscale and real-esrgan: how many times smaller (default: 4)
        low: of edges: the lower threshold of the gradient (default: 30)
        high: of edges: the upper threshold (default: 80)
        sigma: of noise: its standard deviation in levels of 255 (default: 25)
        quality: of jpeg: 1 to 95 (default: 20)
        seed: seed of the random degradations
        revision: a git revision or a version of the base (default: the pinned one)
        replace: replace a data set of that name from another source
    """
    from components.data.sources.degraded import degradation
    from components.data.sources.degraded import degrade as degraded
    from components.data.versioning import dvc, pins

    options = {"scale": scale, "low": low, "high": high, "sigma": sigma, "quality": quality}
    chosen = degradation(kind, options)
    with progress_shown("prepare", home() / "data"):
        card = degraded(
            name, base, chosen, home(), revision=revision, seed=seed, replace=replace, progress=report
        )
        version = dvc.track(home(), card.name).version
    show_prepared(card, version)
    show_next(card, pins.data_folder(home(), card.name))


def show_prepared(card: Any, version: str) -> None:
    """Print the contents of a prepared data set, and the files that were skipped."""
    classes = f", {card.num_classes} classes" if card.labels else ", unlabelled"
    sources = card.sources.model_dump() if card.sources else None
    print(
        f"{card.name}: {counted(card.counts)}; {shapes(card.channels, card.resolution, sources)}{classes}; "
        f"version {version[:10]}"
    )
    if card.labels:
        say(f"  images by class: {of_classes(card)}")
    if card.sources and not card.sources.are_paired:
        print(f"  unpaired sources: {counted(card.sources.counts)}")
    for note in card.notes:
        say(f"  {note}")
    for reason, count in card.skipped.items():
        say(f"  skipped {count}: {reason}{first_skipped(card, reason)}")
    for reason, count in card.left_out.items():
        say(f"  left out {count}: {reason}")
    if others := card.options.get("ignored_files"):
        what = "1 file that is not an image" if others == 1 else f"{others:,} files that are not images"
        say(f"  left out {what}{', some with captions' * bool(card.captions)}{first_ignored(card, others)}")
    if card.unmatched_captions:
        say(f"  {card.unmatched_captions} captions of images that are not there")


def of_classes(card: Any) -> str:
    """Return the classes of a data set, the largest first, with the number of images of each."""
    totals = [sum(counts) for counts in zip(*card.label_counts.values(), strict=True)]
    largest = sorted(zip(card.labels, totals, strict=True), key=lambda each: -each[1])
    more = f" and {len(largest) - CLASSES} more" if len(largest) > CLASSES else ""
    return ", ".join(f"{name} {n:,}" for name, n in largest[:CLASSES]) + more


def first_skipped(card: Any, reason: str) -> str:
    """Return the first file that was skipped for a reason, as an example."""
    return next((f" (such as {file})" for file, why in card.skipped_files if why == reason), "")


def first_ignored(card: Any, count: int) -> str:
    """Return the first files that are not images: all of a few, or examples."""
    names = card.options.get("ignored_names", ())
    if not names:
        return ""
    return f" ({'such as ' if count > len(names) else ''}{', '.join(names)})"


def show_next(card: Any, folder: Path) -> None:
    """Draw a contact sheet of a prepared data set, and print where it is and what to do next."""
    from components.sampling.data_sheet import write_data_sheet

    sheet = working() / "sheets" / f"{card.name}.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    drawn = write_data_sheet(folder, sheet, split="train", n=SHEET)
    say(f"contact sheet of {drawn} training images: {sheet}")
    say_next(f"atelier init {card.name} writes a config for it; then atelier run {card.name}.yaml")


def counted(counts: Mapping[str, int]) -> str:
    """Return such as "1,200 train, 300 test"."""
    return ", ".join(f"{n:,} {split}" for split, n in counts.items())


def shapes(channels: int, resolution: int, sources: Mapping[str, Any] | None) -> str:
    """Return the shape of the images, and of what they are made from."""
    images = f"{channels}x{resolution}x{resolution}"
    if not sources:
        return images
    return f"{images} from {shapes(sources['channels'], sources['resolution'], None)}"


@data.command
def show(
    name: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", metavar="FILE")],
    n: Annotated[int, Parameter(name="-n")] = 40,
    split: Literal["train", "validation", "test"] = "train",
    revision: Annotated[str | None, Parameter(metavar="REV")] = None,
) -> None:
    """Draw images of a data set as one picture, pairs side by side.

    Args:
        name: a data set, which is prepared first if it is a known one
        output: a .png or .webp file
        n: number of images, classes in turn
        split: the split to draw from
        revision: a git revision or a version (default: the pinned one)
    """
    from components.data.local import data_version
    from components.sampling.data_sheet import write_data_sheet

    with progress_shown("draw"):
        folder, version = data_version(home(), name, revision)
        drawn = write_data_sheet(folder, output, split=split, n=n)
    print(f"{output}: {drawn} images of {name}, {split}, version {version[:10]}")
    say_next(f"atelier init {name}")


@data.command
def remove(name: str, /) -> None:
    """Remove a prepared data set and its pin; versions that runs used stay in DVC's cache.

    Args:
        name: a prepared data set
    """
    from components.data.sources import prepare

    print(f"removed {name}: {size(prepare.discard(name, home()))}")
    say_next("runs with its versions still resume; `atelier gc` frees space in the store")


@data.command
def status(*, as_json: AsJSON = False) -> None:
    """Show which versions are prepared, pinned and in the remote."""
    from components.data.versioning import dvc

    rows = dvc.status(home())
    print_rows(rows, as_json)
    if not as_json:
        say_next(after_status(rows))


def after_status(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do with data sets in such states, as commands."""
    if any(row["changed"] for row in rows):
        return "atelier data add NAME FOLDER, or atelier data prepare NAME --replace, pins what was changed"
    if any(row["prepared"] and row["remote"] is None for row in rows):
        return "atelier data remote URL, then atelier data push, keeps the versions elsewhere, too"
    if any(row["prepared"] and row["remote"] is False for row in rows):
        return "atelier data push"
    return "atelier data prepare NAME; atelier data versions NAME lists those of a data set"


@data.command
def versions(name: str, /, *, as_json: AsJSON = False) -> None:
    """List the versions of a data set.

    Args:
        name: a data set
    """
    from components.data.versioning import pins

    rows = pins.versions(home(), name)
    if not rows:
        raise InputError(f"data set {name!r} has no versions: prepare or add it first")
    print_rows(rows, as_json)
    if not as_json:
        setting = f"--set data.name={name} --set data.revision={rows[-1]['version'][:10]}"
        say_next(f"atelier run CONFIG {setting} uses that version")


@data.command
def push(*names: str, remote: Annotated[str | None, Parameter(metavar="NAME")] = None) -> None:
    """Copy versions to the DVC remote.

    Args:
        names: data sets (default: all)
        remote: a configured DVC remote (default: the default one)
    """
    from components.data.versioning import dvc

    with progress_shown("copy"):
        rows = dvc.push(home(), list(names) or None, remote)
    print_rows(rows)
    say_next("commit the .dvc files; elsewhere, atelier data pull fetches the versions that they pin")


@data.command
def pull(*names: str, remote: Annotated[str | None, Parameter(metavar="NAME")] = None) -> None:
    """Fetch pinned versions from the DVC remote.

    Args:
        names: data sets (default: all)
        remote: a configured DVC remote (default: the default one)
    """
    from components.data.versioning import dvc

    with progress_shown("copy", home() / "data"):
        rows = dvc.pull(home(), list(names) or None, remote)
    print_rows(rows)
    say_next("atelier run uses the pinned versions; atelier data status shows them")


@data.command
def remote(url: str, /, *, name: str = "storage") -> None:
    """Set the DVC remote of `push` and `pull`.

    Args:
        url: a folder or s3://...
        name: the name of the remote
    """
    from components.data.versioning import dvc

    dvc.set_remote(home(), url, name)
    say_next("atelier data push")
