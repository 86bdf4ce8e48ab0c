"""`atelier evaluate` and `atelier extractor`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from flows.cli.shared import add_command, add_store, open_named_store, print_rows, say


def add_evaluation(commands: Any) -> None:
    """Add `evaluate` and `extractor`."""
    judge = add_command(commands, "evaluate", judge_folder, "judge any folder of images against a data set")
    judge.add_argument("folder", help="images; subfolders named after the classes give labels; or a URL")
    judge.add_argument("--data", required=True, metavar="NAME", help="the data set to compare with")
    judge.add_argument("--revision", help="of the data: a git revision or a version")
    judge.add_argument("--split", default="test", help="train, validation or test (default: test)")
    judge.add_argument("--extractor", help="auto, classifier, rotation, inception, efficientnet or custom")
    judge.add_argument(
        "--set", action="append", default=[], metavar="a=b", help="change a setting of `evaluate`"
    )
    judge.add_argument(
        "--independent",
        action="store_true",
        help="you vouch for independent samples, none selected: they then compare with those of runs",
    )
    judge.add_argument("--json", action="store_true")
    add_store(judge)

    extractor = add_command(
        commands, "extractor", keep_extractor, "the pinned extractor that judges a data set"
    )
    extractor.add_argument("action", choices=("status", "renew"))
    extractor.add_argument("data", help="a data set")
    extractor.add_argument(
        "--set", action="append", default=[], metavar="a=b", help="change a setting of `evaluate`"
    )
    extractor.add_argument("--json", action="store_true")
    add_store(extractor)


def judge_folder(options: argparse.Namespace) -> None:
    """`atelier evaluate`."""
    from flows import evaluate, views

    changes = [*options.set, *([f"extractor={options.extractor}"] if options.extractor else [])]
    judged = evaluate.evaluate(
        options.folder,
        options.data,
        open_named_store(options.store),
        evaluate.settings(changes),
        split=options.split,
        revision=options.revision,
        independent=options.independent,
        say=say,
    )
    if options.json:
        print(json.dumps(judged))
    else:
        views.show_judged(judged)


def keep_extractor(options: argparse.Namespace) -> None:
    """`atelier extractor`."""
    from flows import evaluate

    store = open_named_store(options.store)
    if options.action == "status":
        rows = evaluate.extractor_status(store, options.data)
        print_rows(rows, options.json)
        if not rows and not options.json:
            print(f"no extractor is pinned for {options.data}: the first run or `evaluate` pins one")
        return
    pin = evaluate.renew_extractor(store, options.data, evaluate.settings(options.set), say)
    if options.json:
        print(json.dumps(pin))
    elif pin["changed"]:
        print(
            f"extractor {pin['hash'][:8]} is pinned as number {pin['number']}; older numbers do not compare"
        )
    else:
        print(f"nothing to do: data and code give the extractor that is pinned, {pin['hash'][:8]}")
