"""Verify a published run or model: its files, its signature, and that it draws its published samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from components.cluster.resources import processor
from components.common.errors import InputError, RunError
from components.common.progress import reported
from components.publishing import formats, signature
from components.publishing.provenance import PROVENANCE, drawn_again, subjects
from components.publishing.publish import MANIFEST
from components.publishing.signature import SIGNATURE, is_unsigned
from components.records.base import Record
from components.records.gate import TOLERANCE, Reproduction
from components.records.stored import Publication
from components.sampling import published
from components.store import Store
from components.store.errors import MISSING_OR_TORN
from components.store.transfer import digest_of

NAMED = 3  # problems in a sentence


class Verified(Record):
    """The findings on a folder: sentences on what holds, and on what does not.

    Attributes:
        folder: of a model, in a published run; empty: the folder itself.
        files: how many were compared.
        holds: sentences.
        problems: sentences; empty if all is as published.
    """

    folder: str = ""
    files: int = 0
    holds: list[str] = []
    problems: list[str] = []


def verify(place: Store, key: Path | None = None, device: str = "cpu") -> list[Verified]:
    """Verify a published run with its models, or the folder of one model.

    Args:
        place: the folder.
        key: a file with the public key that must have signed each model; None: signatures are not checked.
        device: to draw samples on; the CPU if it is of the kind that has drawn them before.

    Raises:
        InputError: nothing is published there, or the key cannot be used.
    """
    if place.exists(MANIFEST):
        return list(_run(place, key, device))
    if place.exists(PROVENANCE):
        return [_model(place, "", key, device)]
    raise InputError(
        f"{place.url}: nothing is published there: it has neither {MANIFEST}, which a run gets when it is "
        f"published whole, nor the {PROVENANCE} of a model"
    )


def _run(place: Store, key: Path | None, device: str) -> Iterator[Verified]:
    """Verify the files of a run, then each model."""
    try:
        files = Publication.model_validate(place.read_json(MANIFEST)).files
    except (*MISSING_OR_TORN, ValidationError):
        yield Verified(problems=[f"{MANIFEST} is damaged"])
        return
    listed = {file.path: file.sha256 for file in files}
    problems = differences(place, listed, {MANIFEST})
    yield Verified(
        files=len(listed), holds=[] if problems else ["all files are as published"], problems=problems
    )
    families = [path.split("/")[1] for path in listed if path.endswith(f"/{PROVENANCE}")]
    for family in reported(families, "verify"):
        if place.exists(f"models/{family}/{PROVENANCE}"):
            yield _model(place.child("models", family), f"models/{family}", key, device)


def _model(place: Store, name: str, key: Path | None, device: str) -> Verified:
    """Verify a model: its files, its signature and, if they are intact, its samples."""
    try:
        content = place.read_json(PROVENANCE)
        listed = subjects(content)
    except (*MISSING_OR_TORN, RunError):
        return Verified(folder=name, problems=[f"{PROVENANCE} is damaged"])
    with local(place, [*listed, PROVENANCE, SIGNATURE]) as folder:
        problems = differences(Store(folder), listed, {PROVENANCE, SIGNATURE})
        result = Verified(folder=name, files=len(listed), problems=problems)
        if not problems:
            result.holds.append(f"its {len(listed)} files are as {PROVENANCE} lists them")
        _signed(folder, key, result)
        if not problems:
            before = drawn_again(content)
            on_cpu = before and before.machine and before.machine.processor == processor("cpu")
            _samples(published.reproduce(folder, "cpu" if on_cpu else device), before, result)
            _formats(folder, result)
    return result


@contextmanager
def local(place: Store, listed: Collection[str]) -> Iterator[Path]:
    """Yield a folder of this machine with the files of a place as they are now; see `names_in`."""
    if place.is_local:
        yield Path(place.path())
        return
    with TemporaryDirectory(prefix="atelier-verify-") as scratch:
        for name in names_in(place, listed):
            place.download(name, Path(scratch) / name)
        yield Path(scratch)


def names_in(place: Store, listed: Collection[str]) -> list[str]:
    """Return the names of all files in a place; of a web server that lists none, those of `listed`."""
    return place.find() or [name for name in listed if place.exists(name)]


def differences(place: Store, listed: Mapping[str, str], besides: Collection[str]) -> list[str]:
    """Return a sentence for each file that is missing, has changed, or is not listed.

    Args:
        place: the folder.
        listed: sha256 of each file by its path.
        besides: files that lists do not name, such as the list itself.
    """
    names = names_in(place, listed)
    present = {name for name in names if not is_unsigned(name)} - set(besides)
    problems = [f"{name} is missing" for name in sorted(listed.keys() - present)]
    problems += [f"{name} was added" for name in sorted(present - listed.keys())]
    changed = [name for name in sorted(listed.keys() & present) if digest_of(place, name) != listed[name]]
    return problems + [f"{name} has other contents than were published" for name in changed]


def _signed(folder: Path, key: Path | None, result: Verified) -> None:
    """Add what is to be said of the signature."""
    if key is not None:
        try:
            signature.check(folder, key)
            result.holds.append(f"it is signed by the key {key.name}")
        except RunError as error:
            result.problems.append(str(error))
    elif (folder / SIGNATURE).exists():
        result.holds.append("its signature was not checked: name the public key with --key")
    else:
        result.holds.append("it is not signed")


def _samples(now: Reproduction, before: Reproduction | None, result: Verified) -> None:
    """Add whether the samples that are drawn now are the published ones.

    They must have the same bits on a machine of the kind that has drawn them bit for bit before.
    """
    if now.error is not None or now.difference is None:
        result.problems.append(f"its samples cannot be drawn again: {now.error}")
        return
    same_kind = before is not None and before.difference == 0 and before.machine == now.machine
    apart = f"{now.difference:.2g} of 255 levels apart on average"
    if now.difference == 0:
        result.holds.append(f"it draws its {now.images} published samples again, bit for bit")
    elif same_kind:
        result.problems.append(
            f"it draws other samples than the published ones, {apart}, and the same processor has drawn the "
            "same bits before"
        )
    elif now.difference <= TOLERANCE:
        result.holds.append(
            f"it draws its {now.images} published samples again, {apart}; up to {TOLERANCE:g} is "
            "accepted of another kind of processor or version of PyTorch"
        )
    else:
        result.problems.append(f"it draws other samples than the published ones, {apart}")


def _formats(folder: Path, result: Verified) -> None:
    """Add whether a model draws its published samples in its other formats."""
    if not (folder / formats.FORMATS_FILE).exists():
        return
    for sentence, holds in formats.verified(folder):
        (result.holds if holds else result.problems).append(sentence)


def complaint(url: str, results: Collection[Verified]) -> str | None:
    """Return all problems as one sentence; None if there are none."""
    problems: list[Any] = [
        f"{result.folder}: {problem}" if result.folder else problem
        for result in results
        for problem in result.problems
    ]
    if not problems:
        return None
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f"{url} is not as it was published: {'; '.join(problems[:NAMED])}{more}"
