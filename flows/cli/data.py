"""`atelier data`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from components.common.errors import InputError
from components.common.paths import home
from flows.cli.shared import add_command, print_rows, print_table


def add_data(commands: Any) -> None:
    """Add `data` and its subcommands."""
    data = commands.add_parser(
        "data", help="prepare and version data sets", description="Prepare and version data sets."
    )
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = add_command(actions, "list", data_list, "known and prepared data sets")
    listing.add_argument("--json", action="store_true")
    prepare = add_command(actions, "prepare", data_prepare, "prepare a known data set and version it")
    prepare.add_argument("name", help="mnist5k, digits, emoji, emoji64 or torchvision:CLASS")
    prepare.add_argument("--replace", action="store_true", help="make and pin a new version")
    add = add_command(actions, "add", data_add, "prepare your own images and version them")
    add.add_argument("name")
    add.add_argument("source", help="a folder or any fsspec URL; unpack an archive first")
    add.add_argument("--resolution", type=int, help="pixels a side (default: 32 or 64, as fits)")
    add.add_argument("--colour", choices=("auto", "grey", "rgb"), default="auto")
    add.add_argument("--background", default="white", help="what transparent images are laid on")
    add.add_argument("--captions", help="a file of captions")
    add.add_argument(
        "--max-skipped", type=int, help="bad files to bear with (default: 1 %% of them, at least 10)"
    )
    add.add_argument("--replace", action="store_true", help="replace a set of that name from another source")
    status = add_command(actions, "status", data_status, "which versions are here, pinned and in the remote")
    status.add_argument("--json", action="store_true")
    versions = add_command(actions, "versions", data_versions, "the versions of a data set")
    versions.add_argument("name")
    versions.add_argument("--json", action="store_true")
    for name, text in (
        ("push", "copy versions to the DVC remote"),
        ("pull", "fetch pinned versions from it"),
    ):
        moved = add_command(actions, name, data_move, text)
        moved.add_argument("names", nargs="*", help="data sets (default: all)")
        moved.add_argument("--remote", help="a configured DVC remote (default: the default one)")
        moved.set_defaults(direction=name)
    remote = add_command(
        actions, "remote", data_remote, "say where `push` and `pull` go: a folder or s3://..."
    )
    remote.add_argument("url")
    remote.add_argument("--name", default="storage")


def data_list(options: argparse.Namespace) -> None:
    """`atelier data list`."""
    from components.data.sources.prepare import available

    rows = available(home())
    if options.json:
        print(json.dumps(rows))
        return
    print_table(
        ("name", "prepared", "images", "shape", "classes", "title"),
        [
            (
                r["name"],
                "yes" if r["prepared"] else "-",
                f"{sum(r['counts'].values()):,}" if r["prepared"] else "",
                f"{r['channels']}x{r['resolution']}x{r['resolution']}" if r["prepared"] else "",
                (r["classes"] or "-") if r["prepared"] else "",
                r["title"],
            )
            for r in rows
        ],
    )


def data_prepare(options: argparse.Namespace) -> None:
    """`atelier data prepare`."""
    from components.data.sources.prepare import prepare
    from components.data.versioning import dvc

    card = prepare(options.name, home(), replace=options.replace)
    _prepared(card, dvc.track(home(), card.name).version)


def data_add(options: argparse.Namespace) -> None:
    """`atelier data add`."""
    from components.data.sources.prepare import add
    from components.data.versioning import dvc

    names = ("resolution", "colour", "background", "captions", "max_skipped", "replace")
    card = add(options.name, options.source, home(), **{name: getattr(options, name) for name in names})
    _prepared(card, dvc.track(home(), card.name).version)


def _prepared(card: Any, version: str) -> None:
    counts = ", ".join(f"{n:,} {split}" for split, n in card.counts.items())
    classes = f", {card.num_classes} classes" if card.labels else ", unlabelled"
    print(
        f"{card.name}: {counts}; {card.channels}x{card.resolution}x{card.resolution}{classes}; "
        f"version {version[:10]}"
    )
    for reason, count in card.skipped.items():
        print(f"  skipped {count}: {reason}", file=sys.stderr)


def data_status(options: argparse.Namespace) -> None:
    """`atelier data status`."""
    from components.data.versioning import dvc

    print_rows(dvc.status(home()), options.json)


def data_versions(options: argparse.Namespace) -> None:
    """`atelier data versions`."""
    from components.data.versioning import pins

    known = pins.versions(home(), options.name)
    if not known:
        raise InputError(f"data set {options.name!r} has no versions: prepare or add it first")
    print_rows(known, options.json)


def data_move(options: argparse.Namespace) -> None:
    """`atelier data push` and `atelier data pull`."""
    from components.data.versioning import dvc

    move = dvc.push if options.direction == "push" else dvc.pull
    print_rows(move(home(), options.names or None, options.remote), False)


def data_remote(options: argparse.Namespace) -> None:
    """`atelier data remote`."""
    from components.data.versioning import dvc

    dvc.set_remote(home(), options.url, options.name)
