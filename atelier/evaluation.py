"""Evaluate images that were made anywhere."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from atelier.images import Pictures, as_files
from components.common.errors import InputError
from components.common.light import whole_install
from components.common.paths import home
from components.records.evaluation import ExternalEvaluation
from components.store import open_store

log = logging.getLogger("atelier")


def evaluate(
    images: Pictures,
    *,
    data: str,
    split: str = "test",
    revision: str | None = None,
    assume_independent: bool = False,
    store: str = "output",
    **settings: Any,
) -> ExternalEvaluation:
    """Evaluate images against a data set, as `atelier evaluate` does.

    The stages that this needs (the data, its extractor and its reference) are computed once in a store.

    Args:
        images: a folder or URL of images, in which subfolders named after the classes give labels; or the
            images: an array (N, H, W, C), uint8, or arrays, PIL images or files.
        data: the data set to compare with; a known one is prepared first.
        split: train, validation or test.
        revision: a git revision or a version of the data; None: the pinned one.
        assume_independent: treat the images as independent, unselected samples; their metrics then compare
            with those of runs.
        store: a folder, relative to the project's, or any fsspec URL.
        settings: of the section `evaluate` of a config, such as extractor="inception"; the others that decide
            whether values compare are those of the newest full run on the data, as on the command line.

    Returns:
        The evaluation; `metrics` has value, interval and real baseline of each metric by name, and
        `skipped_files` the files that could not be used.

    Raises:
        InputError: there are too few images, too many cannot be used, or a setting is not accepted.
    """
    with whole_install():
        from flows import environment

        environment.prepare()  # before Prefect is imported
        from flows import evaluate as flow

    opened = open_store(store, home())
    changes = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    with _folder(images) as folder:
        return flow.evaluate(
            folder,
            data,
            opened,
            flow.settings(opened, data, changes),
            split=split,
            revision=revision,
            independent=assume_independent,
            say=log.info,
        )


@contextmanager
def _folder(images: Pictures) -> Iterator[str]:
    """Provide images as a folder or URL of files."""
    if isinstance(images, str | os.PathLike):
        yield os.path.expanduser(images)
        return
    with as_files(images, "images") as files, TemporaryDirectory() as name:
        folder = Path(name) / "images"
        folder.mkdir()
        for i, file in enumerate(files):
            try:
                shutil.copyfile(file, folder / f"{i:06}{file.suffix}")
            except OSError as error:
                raise InputError(f"images: {file}: {error.strerror or error}") from None
        yield str(folder)
