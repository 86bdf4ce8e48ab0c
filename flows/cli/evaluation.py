"""`atelier evaluate`, `atelier evaluate-synthetic` and `atelier extractor`."""

from __future__ import annotations

import json
from functools import partial
from shlex import quote
from typing import Annotated

from cyclopts import App, Parameter

from components.common.errors import InputError
from components.common.paths import home
from components.common.progress import report
from flows.cli.shared import (
    STORE,
    AsJSON,
    StoreURL,
    open_named_store,
    print_rows,
    progress_shown,
    say,
    say_next,
)

Settings = Annotated[
    tuple[str, ...], Parameter("--set", metavar="a=b", help="change a setting of `evaluate`; repeatable")
]

extractor = App(name="extractor", help="Show or retrain the pinned extractor that evaluates a data set.")


def evaluate(
    folder: str,
    /,
    *,
    data: Annotated[str, Parameter(metavar="NAME")],
    revision: str | None = None,
    split: str = "test",
    extractor: Annotated[str | None, Parameter(metavar="KIND")] = None,
    changes: Settings = (),
    assume_independent: bool = False,
    as_json: AsJSON = False,
    store: StoreURL = STORE,
) -> None:
    """Evaluate any folder of images against a data set.

    The extractor and the steps of classifiers are those of the newest full run on the data.

    Args:
        folder: a folder of images or a URL; subfolders named after the classes give labels
        data: the data set to compare with
        revision: a git revision or a version of the data
        split: train, validation or test
        extractor: auto, classifier, rotation, inception, efficientnet or custom
        assume_independent: treat the images as independent, unselected samples; their metrics then compare
            with those of runs
    """
    from flows import evaluate, views

    opened = open_named_store(store)
    kind = [f"extractor={extractor}"] if extractor else []
    chosen = evaluate.settings(opened, data, [*changes, *kind])
    with progress_shown("read the images"):
        evaluation = evaluate.evaluate(
            folder,
            data,
            opened,
            chosen,
            split=split,
            revision=revision,
            independent=assume_independent,
            say=say,
        )
    if as_json:
        print(json.dumps(evaluation.to_json()))
        return
    views.show_judged(evaluation)
    runs = "; --assume-independent makes those of images of the data's size comparable with runs"
    say_next(f"compare values with the column of real images{'' if assume_independent else runs}")


def evaluate_synthetic(
    source: str,
    /,
    *,
    data: Annotated[str, Parameter(metavar="NAME")],
    revision: str | None = None,
    sizes: Annotated[str | None, Parameter(metavar="N,N,...")] = None,
    seeds: int = 5,
    steps: int = 400,
    as_json: AsJSON = False,
) -> None:
    """Evaluate whether synthetic images help a classifier that has few real ones.

    Args:
        source: a synthetic data set with classes: a folder, an npz or NAME.tar for its shards, or a URL
        data: the data set of the real images; its test split tests the classifiers
        revision: a git revision or a version of the data
        sizes: images of the small real training sets (default: 5, 20 and 100 of each class)
        seeds: trainings of each kind, each with other real images and initial weights
        steps: steps of each training
    """
    from components.evaluation.synthetic import evaluate
    from flows import views

    with progress_shown("read the images"):
        evaluation = evaluate(
            source,
            home(),
            data,
            revision,
            sizes=numbers(sizes) if sizes else None,
            seeds=seeds,
            steps=steps,
            progress=partial(report, activity="train"),
        )
    if as_json:
        print(json.dumps(evaluation.to_json()))
    else:
        views.show_synthetic(evaluation)
        say_next(f"atelier evaluate {quote(str(source))} --data {data} compares the images themselves")


def numbers(text: str) -> list[int]:
    """Return the numbers in a list; raise InputError if it is none."""
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(f"--sizes {text}: numbers of images are needed, as in 50,200,1000") from None


@extractor.command
def status(data: str, /, *, as_json: AsJSON = False, store: StoreURL = STORE) -> None:
    """Show which extractors are or were pinned for a data set.

    Args:
        data: a data set
    """
    from flows import evaluate

    rows = evaluate.extractor_status(open_named_store(store), data)
    print_rows(rows, as_json)
    if as_json:
        return
    if not rows:
        print(f"no extractor is pinned for {data}: the first run or `evaluate` pins one")
    say_next(f"atelier evaluate FOLDER --data {data} measures with the one in use")


@extractor.command
def retrain(
    data: str, /, *, changes: Settings = (), as_json: AsJSON = False, store: StoreURL = STORE
) -> None:
    """Retrain the extractor of a data set and pin it; older metrics no longer compare.

    Args:
        data: a data set
    """
    from flows import evaluate

    with progress_shown("open the data"):
        opened = open_named_store(store)
        chosen = evaluate.settings(opened, data, changes)
        pin = evaluate.retrain_extractor(opened, data, chosen, say)
    if as_json:
        print(json.dumps(pin))
    elif pin["changed"]:
        print(
            f"extractor {pin['hash'][:8]} is pinned as number {pin['number']}; older metrics do not compare"
        )
        say_next("atelier run computes metrics with it; older runs keep theirs")
    else:
        print(f"nothing to do: the pinned extractor, {pin['hash'][:8]}, is that of the current data and code")
        say_next(f"atelier extractor status {data} lists all that were pinned")
