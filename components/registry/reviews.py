"""Votes and stars of people, which pages export, in the records of the runs that they are about.

<root>/runs/<run>/reviews/<sha256>.json    an exported file; the same file again changes nothing
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.hashing import json_sha256
from components.records.review import Review
from components.store import Store
from components.store.errors import unless_torn

MOST_BYTES = 32 * 2**20  # of an exported file


def read_file(path: Path) -> Review:
    """Return an exported review.

    Raises:
        InputError: the file is missing, is no export of a page, or is damaged.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than any export of a page")
        return Review.model_validate(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(
            f"{path} is not an export of votes and stars from a page ({where}: {first['msg']}); "
            "export it again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON; export the votes again") from error


def add(store: Store, review: Review) -> list[str]:
    """Keep a review with each run that it is about; return the ids of these runs.

    Raises:
        InputError: there is nothing in it, or a run is not in this store.
    """
    if not review.runs:
        raise InputError("the review has neither votes nor stars; vote on a page first")
    existing = store.list("runs")
    if missing := [run for run in review.runs if run not in existing]:
        raise InputError(
            f"{store.url} has no run {', '.join(missing)}; name the store of the runs with --store"
        )
    content = review.to_json()
    for run in review.runs:
        store.write_json(f"runs/{run}/reviews/{json_sha256(content)[:16]}.json", content)
    return review.runs


def of_run(store: Store, run_id: str) -> list[Review]:
    """Return the reviews about a run; a file that cannot be read is left out."""
    folder = store.child("runs", run_id, "reviews")
    reviews = (Review.read(unless_torn(partial(folder.read_json, name))) for name in folder.list())
    return [review for review in reviews if review]
