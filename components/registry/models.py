"""Find exported models by their address, and read their verified weights."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from components.common.errors import InputError
from components.common.hashing import digest, sha256
from components.common.paths import home
from components.common.suggestions import did_you_mean
from components.config.train import Initial
from components.records.stored import Publication, StoredResult
from components.registry.runs import LATEST, find_run, newest_with
from components.store import Store, mirrors, open_store
from components.store.errors import MISSING_OR_TORN

WEIGHTS, CONFIG, MANIFEST = "model.safetensors", "config.json", "manifest.json"


def find_model(store: Store, address: str) -> tuple[str, Store]:
    """Return the full address of an exported model, and its folder.

    Args:
        store: with the runs.
        address: RUN/FAMILY, in which `latest` is the newest run that has a model of the family; or the
            folder or URL of an exported model, such as that of a published one.

    Raises:
        InputError: there is no such run or family.
    """
    if "://" in address or (home() / Path(address).expanduser() / WEIGHTS).exists():
        return address, open_store(address, home())
    run_id, _, family = address.partition("/")
    if not (run_id and family):
        raise InputError(
            f"{address!r} names no model: give RUN/FAMILY, or the folder or URL of an exported model"
        )
    run = newest_with(store, family) if run_id == LATEST else find_run(store, run_id)
    if family not in run.models:
        names = ", ".join(run.models) or "none"
        raise InputError(
            f"run {run.run_id} has no model of family {family!r}{did_you_mean(family, run.models)}; it has: "
            f"{names}"
        )
    return f"{run.run_id}/{family}", store.child(run.models[family])


def local_model(url: str, family: str | None = None) -> Path:
    """Return a folder of this machine with the weights and the settings of an exported model at a URL.

    Args:
        url: of the model's folder, or of a published run that has `family`.
        family: the model's family.

    Raises:
        InputError: there is no such model, or its weights are not those that were published.
    """
    folder = open_store(url, home())
    if family and not folder.exists(WEIGHTS):
        if not folder.exists(MANIFEST):
            raise InputError(
                f"{folder.url}: no run is published there: it gets {MANIFEST} when it is published whole; "
                "publish it again"
            )
        folder = folder.child("models", family)
    try:
        config, size = folder.read_bytes(CONFIG), folder.size(WEIGHTS)
    except FileNotFoundError:
        raise InputError(
            f"{folder.url} is not a model folder: it needs {CONFIG} and {WEIGHTS}; {_families(url)}"
        ) from None
    recorded = _recorded(folder)

    def fetch(to: Path) -> None:
        to.mkdir()
        (to / CONFIG).write_bytes(config)
        folder.download(WEIGHTS, to / WEIGHTS)
        check(to)

    def check(copy: Path) -> None:
        if recorded and digest(copy / WEIGHTS, "sha256") != recorded:
            raise InputError(f"{folder.url}: {WEIGHTS} is not the file that was published")

    if not folder.is_local:
        return mirrors.mirror(f"{folder.url}\n{sha256(config)}\n{recorded or size}", "model", fetch)
    check(Path(folder.path()))
    return Path(folder.path())


def _families(url: str) -> str:
    """Return what to name of a published run: a family, of which it lists those that are there."""
    try:
        names = open_store(url, home()).list("models")
    except (OSError, InputError):  # many web servers list nothing
        names = []
    return f"the published run has {', '.join(names)}" if names else "of a published run, name a family too"


def identified(store: Store, initial: Initial) -> Initial:
    """Return the full address of a model, with the hash of its weights.

    The hash is the one that was recorded when the model was exported or published; without a record, as of a
    copied folder, that of the present weights.

    Raises:
        InputError: there is no such model, or it has other weights than `initial.sha256` asks for.
    """
    address, folder = find_model(store, initial.model)
    actual = _recorded(folder) or sha256(_weights(address, folder))
    if initial.sha256 not in (None, actual):
        raise InputError(
            f"train.initial: {address} has the sha256 {actual}, and the settings ask for {initial.sha256}"
        )
    return Initial(model=address, sha256=actual)


def read_weights(store: Store, initial: Initial) -> bytes:
    """Return the file of a model's weights, in the format of safetensors, after checking its hash.

    Raises:
        InputError: there is no such model, or its weights have changed.
    """
    address, folder = find_model(store, initial.model)
    data = _weights(address, folder)
    if sha256(data) != initial.sha256:
        raise InputError(f"train.initial: the weights of {address} have changed since they were exported")
    return data


def _weights(address: str, folder: Store) -> bytes:
    try:
        return folder.read_bytes(WEIGHTS)
    except FileNotFoundError:
        raise InputError(f"train.initial: {address} is not a model folder: it has no {WEIGHTS}") from None


def _recorded(folder: Store) -> str | None:
    """Return the hash of a model's weights that its export or its publication recorded; None: neither did."""
    root, *below = folder.url.rsplit("/", 2)
    published = f"models/{below[-1]}/{WEIGHTS}"  # in RUN/models/FAMILY
    records: list[tuple[Store, str, type[StoredResult | Publication], str]] = [
        (folder, "result.json", StoredResult, WEIGHTS),
        (Store(root, folder.options), MANIFEST, Publication, published),
    ]
    for place, name, record, path in records:
        try:
            files = record.model_validate(place.read_json(name)).files
            return next(file.sha256 for file in files if file.path == path)
        except (*MISSING_OR_TORN, ValidationError, StopIteration):
            continue
    return None
