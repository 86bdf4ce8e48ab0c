"""Copy the models, samples and pages of a run to a public place.

<url>/<run>/models/<family>/   a folder as the Hugging Face Hub has it, with provenance.json and sbom.cdx.json
<url>/<run>/report/            the page
<url>/<run>/manifest.json      all files with sizes and hashes; written last: no run is published without
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from components.common.atomic import HIDDEN
from components.common.names import first_of
from components.publishing import format_card, formats, signature
from components.publishing.provenance import PROVENANCE, statement
from components.publishing.sbom import SBOM, bill
from components.records.run import RunManifest
from components.records.stored import Publication, StoredFile
from components.store import Store
from components.store.errors import unless_torn
from components.store.transfer import Upload, upload_all

MANIFEST, CARD = "manifest.json", "README.md"
SHOWN = 3  # files that are removed

Progress = Callable[[int, int], None]


def publish(
    store: Store,
    run: RunManifest,
    target: Store,
    models: Mapping[str, str],
    page: str | None,
    *,
    key: Path | None = None,
    graphs: Sequence[str] = (),
    notes: list[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Upload]:
    """Copy a run to the folder `target`; return its files, without manifest.json.

    Files that are there with the same contents stay, so a publication that was cut off continues.

    Args:
        store: has the run.
        run: its record.
        target: where it is published.
        models: folder of the exported model of each family, in the store.
        page: the run's page in the store, if it has one.
        key: a private key that each model is signed with, if any.
        graphs: formats that each model is published in besides, if it draws its published samples in them.
        notes: gets a sentence on each model and format, and on files that are removed.
        progress: called with the number of files that are there and their number.
    """
    with TemporaryDirectory(prefix="atelier-publish-") as scratch:
        uploads = list[Upload]()
        for family, exported in models.items():
            besides = Path(scratch) / "formats" / family
            tried = write_formats(store.local_copy(exported), graphs, besides) if graphs else []
            if notes is not None:
                notes += [f"{family}: {sentence}" for sentence in tried]
            files_of = model_files(store, run, family, exported, besides if graphs else None)
            if key is not None:
                files_of.append(signed(files_of, Path(scratch) / family, key))
            uploads += [replace(file, path=f"models/{family}/{file.path}") for file in files_of]
        if page:
            uploads += folder_files(fetched(store, os.path.dirname(page), Path(scratch)), "report")
        files = [StoredFile(path=u.path, bytes=u.size, sha256=u.sha256) for u in uploads]
        manifest = Publication(run_id=run.run_id, lineage=run.lineage, files=files)
        target.remove_unfinished()
        if not has(target, manifest):
            target.delete(MANIFEST)  # from here on, until it is written, nothing is published
        upload_all(target, uploads, progress)
        gone = sorted(target.sizes().keys() - {u.path for u in uploads} - {MANIFEST})
        for other in gone:
            target.delete(other)
        if gone and notes is not None:
            notes.append(f"removed from the earlier publication: {first_of(gone, SHOWN)}")
        if not has(target, manifest):
            target.write_json(MANIFEST, manifest.to_json())
    return uploads


def has(target: Store, manifest: Publication) -> bool:
    """Return whether this very manifest is published."""
    published = unless_torn(lambda: target.read_json(MANIFEST))
    return bool(published == json.loads(json.dumps(manifest.to_json())))


def write_formats(exported: Path, names: Sequence[str], to: Path) -> list[str]:
    """Write a model in other formats, formats.json and its card to a new folder; return what came of each."""
    to.mkdir(parents=True)
    record = formats.write(exported, names, to)
    (to / formats.FORMATS_FILE).write_bytes(as_json(record.to_json()))
    card = (exported / CARD).read_text(encoding="utf-8")
    (to / CARD).write_text(f"{card}\n{format_card.section(record)}", encoding="utf-8")
    return [formats.outcome_of(tried) for tried in record.formats]


def model_files(
    store: Store, run: RunManifest, family: str, exported: str, besides: Path | None = None
) -> list[Upload]:
    """Return the files of a family's published model, provenance.json last; paths are in its folder.

    Args:
        store: has the run.
        run: its record.
        family: of the model.
        exported: the folder of the exported model, in the store.
        besides: a folder with further files, and others that replace some of it.
    """
    added = folder_files(besides, "") if besides else []
    without = {"result.json", *(file.path for file in added)}
    files = [*folder_files(store.local_copy(exported), "", without), *added]
    files.append(Upload.of(SBOM, as_json(bill(family))))
    drawn = next((j.drawn for j in run.gate if j.model.family == family), None)
    described = statement(run, family, {file.path: file.sha256 for file in files}, drawn)
    return [*files, Upload.of(PROVENANCE, as_json(described))]


def signed(files: Sequence[Upload], folder: Path, key: Path) -> Upload:
    """Return the signature of files, which are put together in a new folder."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.source, bytes):
            path.write_bytes(file.source)
        else:
            linked(file.source, path)
    signature.sign(folder, key)
    return Upload.of(signature.SIGNATURE, (folder / signature.SIGNATURE).read_bytes())


def linked(source: Path, path: Path) -> None:
    """Give a file another name, or copy it to another file system."""
    try:
        os.link(source.resolve(), path)
    except OSError:
        shutil.copyfile(source, path)


def folder_files(folder: Path, below: str, without: Collection[str] = ()) -> list[Upload]:
    """Return all files of a folder as uploads to `below`, sorted by name."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(HIDDEN))
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    prefix = f"{below}/" if below else ""
    return [Upload.of(prefix + name, path) for name, path in names.items() if name not in without]


def fetched(store: Store, folder: str, scratch: Path) -> Path:
    """Return a folder of the store, which may change, as a folder of this machine."""
    if store.is_local:
        return Path(store.path(folder))
    store.download(folder, scratch / "page")
    return scratch / "page"


def as_json(value: object) -> bytes:
    """Return a JSON value as the bytes of a file."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
