"""Draw a synthetic data set from an exported model: to a folder, npz or shards, at any fsspec URL.

Samples are drawn in shards of whole chunks, each on one thread, so that they do not depend on where they are
drawn, and no process holds more than one shard. A shard is a file that is written atomically, so the same
command continues; synthetic.json, which is written first, says what the shards are samples of.
"""

from __future__ import annotations

import csv
import functools
import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.cluster import ray_cluster, resources
from components.common.errors import InputError
from components.common.hashing import sha256
from components.common.threads import using_threads
from components.families.catalogue import task_of
from components.sampling import croissant, generate, png, shards
from components.sampling.croissant import Description
from components.sampling.pictures import OpenModel, changes_to, open_for_files
from components.sampling.request import SampleOptions, sampling_inputs
from components.sampling.shards import Sample, Target
from components.sampling.to_file import SAMPLES, check_count
from components.sampling.to_files import is_drawn
from components.store import Store
from components.store.errors import MISSING_OR_TORN
from components.store.transfer import digest_of

RECORD, CARD, CROISSANT = "synthetic.json", "README.md", "croissant.json"
THREADS = 1  # of torch in a shard, on which bits depend
PAYS = 60.0  # seconds of drawing that remain, from which on Ray is worth its start
AT_ONCE = 64  # jobs that are submitted to Ray

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DataSetRequest:
    """The samples to draw, and where they are written; each process opens the model itself.

    Attributes:
        store: has the model.
        model: its folder there.
        options: conditions and changed settings.
        n: number of samples.
        seed: image i depends on (seed, i).
        target: where they are written.
        size: images in a shard.
        device: cpu or cuda.
    """

    store: Store
    model: str
    options: SampleOptions
    n: int
    seed: int
    target: Target
    size: int
    device: str = "cpu"

    def samples(self, number: int) -> range:
        """Return the numbers of the samples in a shard."""
        return range(number * self.size, min((number + 1) * self.size, self.n))

    @property
    def numbers(self) -> range:
        """The numbers of the shards."""
        return range(-(-self.n // self.size))


class Drawing:
    """A model that draws the shards of a request."""

    def __init__(self, request: DataSetRequest, opened: OpenModel | None = None):
        self.request, self.folder = request, request.store.local_copy(request.model)
        self.opened = opened or open_for_files(self.folder, request.options)
        self.opened.generator.to(request.device)
        generator, card, config = self.opened.generator, self.opened.card, self.opened.config
        self.inputs = sampling_inputs(request.options, request.n, generator, card, config)
        self.made = png.made_now(self.folder, config, request.seed, request.options)
        self.workers = set[str]()  # of Ray, that have drawn shards

    def label(self, i: int) -> int | None:
        """Return the class of sample `i`; None without classes."""
        labels = self.inputs.get("labels")
        return None if labels is None else int(labels if np.ndim(labels) == 0 else labels[i])

    def prompt(self, i: int) -> str | None:
        """Return the caption of sample `i`; None without captions."""
        prompts = self.request.options.prompts
        return prompts[i % len(prompts)] if prompts else None

    def sample(self, i: int) -> Sample:
        """Return what belongs to sample `i`."""
        labels, names, prompts = self.inputs.get("labels"), self.names, self.request.options.prompts
        made = png.of_image(self.made, i, labels=labels, names=names, prompts=prompts)
        return Sample(i, made, self.label(i), self.prompt(i))

    @property
    def names(self) -> list[str] | None:
        """The names of the classes."""
        return self.opened.config.labels

    def write(self, number: int) -> dict[str, str]:
        """Draw and write a shard; return the sha256 of its files."""
        request, samples = self.request, self.request.samples(number)
        with using_threads(THREADS):
            images = generate.draw(
                self.opened.generator,
                self.opened.card,
                n=len(samples),
                start=samples.start,
                seed=request.seed,
                method=self.opened.method,
                device=request.device,
                **self.inputs,
            )
        return request.target.write(number, images, [self.sample(i) for i in samples])


def write_shard(request: DataSetRequest, number: int) -> tuple[dict[str, str], str]:
    """Draw and write a shard on a worker of Ray; return the sha256 of its files, and which worker it was."""
    return Drawing(request).write(number), f"{socket.gethostname()}:{os.getpid()}"


def sample_data_set(
    store: Store,
    model: str,
    target: Target,
    *,
    n: int | None = None,
    seed: int = 0,
    options: SampleOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Draw a synthetic data set, with labels or captions, a card and Croissant metadata; return notes.

    Args:
        store: has the exported model.
        model: its folder there; empty: the store is the folder.
        target: where it is written; what is there already of the same samples stays.
        n: number of samples; None: SAMPLES.
        seed: image i depends on (seed, i).
        options: conditions and changed settings.
        progress: called with the number of samples that are there and `n`.

    Raises:
        InputError: the model does not support an option, or other samples are there.
    """
    check_count(n)
    options = options or SampleOptions()
    opened = open_for_files(store.local_copy(model), options)
    count = n or (1 if task_of(opened.config.family).made_from == "source" else SAMPLES)
    size = shards.shard_size(opened.card)
    request = DataSetRequest(store, model, options, count, seed, target, size, resources.device())
    drawing = Drawing(request, opened)
    present = files_there(drawing)
    begin(drawing)
    notes = changes_to(opened, options.source) if options.source is not None else []
    hashes, there = draw_missing(drawing, present, progress)
    finish(drawing, hashes)
    notes += [f"{there:,} of {count:,} samples were there already"] if there else []
    return [*notes, f"{count:,} samples in {target.store.url}{by_workers(len(drawing.workers))}"]


def by_workers(count: int) -> str:
    """Return how many workers of Ray drew samples, for the end of a sentence; empty if this process did."""
    return f", drawn by {count} worker{'s' * (count > 1)}" if count else ""


def files_there(drawing: Drawing) -> set[str]:
    """Return the files that are there; raise InputError if one in a local folder is another sample."""
    request, target = drawing.request, drawing.request.target
    if target.form == "npz":
        parts = os.path.dirname(target.shard(0))
        written = {f"{parts}/{name}" for name in target.store.list(parts)}
        return written | ({f"{target.stem}.npz"} if target.store.exists(f"{target.stem}.npz") else set())
    if target.form == "webdataset" or not target.store.is_local:
        return set(target.store.list())
    folder = Path(target.store.path())
    return {
        name
        for i, name in enumerate(target.names(0, range(request.n)))
        if is_drawn(folder / name, drawing.sample(i).made)
    }


def begin(drawing: Drawing) -> None:
    """Write synthetic.json; raise InputError if other samples are there."""
    request, target = drawing.request, drawing.request.target
    path, content = target.file(RECORD), record_of(drawing)
    try:
        record = target.store.read_json(path)
    except FileNotFoundError:
        record = None
    except MISSING_OR_TORN:
        record = {}
    if record is None:
        whole = target.form == "folder"  # whose images are compared one by one
        others = croissant.TABLES if whole else (target.names(0, request.samples(0))[0], f"{target.stem}.npz")
        for name in (target.file(CARD), target.file(CROISSANT), *others):
            if target.store.exists(name):
                raise InputError(f"-o {target.store.url}: {name} exists already; name another place")
    elif {**record, "n": 0} != {**content, "n": 0} or (target.form != "folder" and record != content):
        raise InputError(
            f"-o {target.store.url}: {path} belongs to samples of another model, seed, number or settings; "
            "name another place, or remove them"
        )
    if record != content:
        target.store.write_json(path, content)


def record_of(drawing: Drawing) -> dict[str, Any]:
    """Return synthetic.json: what the samples depend on."""
    request = drawing.request
    condition = {"label": request.options.label, "prompts": list(request.options.prompts) or None}
    return {
        "schema": 1,
        "form": request.target.form,
        "n": request.n,
        "images_per_shard": request.size,
        "made": {**drawing.made, "condition": {k: v for k, v in condition.items() if v is not None}},
    }


def draw_missing(drawing: Drawing, present: set[str], progress: Progress) -> tuple[dict[str, str], int]:
    """Draw what is missing; return the sha256 of what was written, and how many samples were there."""
    request, target = drawing.request, drawing.request.target
    if target.form == "npz" and f"{target.stem}.npz" in present:
        return {}, request.n
    target.store.remove_unfinished(deep=False)
    missing = [k for k in request.numbers if not present.issuperset(target.names(k, request.samples(k)))]
    hashes, done = dict[str, str](), request.n - sum(len(request.samples(k)) for k in missing)
    there = done
    progress(done, request.n)
    for number, written in zip(missing, draw(drawing, missing), strict=True):
        hashes.update(written)
        done += len(request.samples(number))
        progress(done, request.n)
    return hashes, there


def draw(drawing: Drawing, missing: Sequence[int]) -> Iterator[dict[str, str]]:
    """Draw shards, yielding the hashes of each: here, or on workers of Ray where that is faster.

    Ray is used for several shards if RAY_ADDRESS names a cluster, or if the first shard shows that the rest
    takes longer than PAYS here and several can be drawn at once.
    """
    request, remaining = drawing.request, list(missing)
    over_ray, parallel = "RAY_ADDRESS" in os.environ and len(remaining) > 1, places(request.device) > 1
    while remaining and not over_ray:
        start = time.monotonic()
        yield drawing.write(remaining.pop(0))
        over_ray = parallel and (time.monotonic() - start) * len(remaining) > PAYS
    if remaining:
        yield from spread(drawing, remaining)


def places(device: str) -> int:
    """Return how many shards this machine can draw at once."""
    return resources.gpus() if device == "cuda" else resources.cores()


def spread(drawing: Drawing, numbers: Sequence[int]) -> Iterator[dict[str, str]]:
    """Draw shards as tasks of Ray, and yield the hashes of each in order; note which workers drew them."""
    request = drawing.request
    job = functools.partial(ray_cluster.call, gpus=1 if request.device == "cuda" else 0)
    name = f"{write_shard.__module__}:{write_shard.__name__}"
    try:
        ray_cluster.connect()
        with ThreadPoolExecutor(min(AT_ONCE, len(numbers))) as pool:
            try:
                for hashes, worker in pool.map(lambda number: job(name, request, number), numbers):
                    drawing.workers.add(worker)
                    yield hashes
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        ray_cluster.disconnect()


def finish(drawing: Drawing, hashes: Mapping[str, str]) -> None:
    """Write what describes the samples: the table, Croissant metadata and, as the last, the card."""
    request, target = drawing.request, drawing.request.target
    config, (channels, height, width) = drawing.opened.config, drawing.opened.card.shape
    labelled, captioned = drawing.label(0) is not None, drawing.prompt(0) is not None
    files = dict[str, str]()
    if target.form == "npz":
        files[f"{target.stem}.npz"] = whole_npz(drawing)
    elif target.form == "webdataset":
        for number in request.numbers:
            name = target.shard(number)
            files[name] = hashes.get(name) or digest_of(target.store, name)
    elif labelled or captioned:
        content = table_of(drawing)
        target.store.write_text(croissant.table_name(captioned), content)
        files[croissant.table_name(captioned)] = sha256(content)
    described = Description(
        family=config.family,
        made=record_of(drawing)["made"],
        form=target.form,
        stem=target.stem,
        n=request.n,
        shape=(channels, height, width),
        files=files,
        labels=drawing.names if labelled else None,
        num_classes=drawing.opened.card.num_classes if labelled else 0,
        captions=captioned,
        licence=croissant.licence_of(drawing.folder),
    )
    target.store.write_json(target.file(CROISSANT), croissant.metadata(described))
    target.store.write_text(target.file(CARD), croissant.card(described))


def whole_npz(drawing: Drawing) -> str:
    """Put an npz together unless it is there; return its sha256."""
    request, target, card = drawing.request, drawing.request.target, drawing.opened.card
    if target.store.exists(name := f"{target.stem}.npz"):
        target.store.delete(f"{name}.parts")  # of a process that was killed just before it would have done so
        return digest_of(target.store, name)
    columns, numbers = dict[str, np.ndarray](), range(request.n)
    if drawing.label(0) is not None:
        columns["arr_1"] = np.array([drawing.label(i) for i in numbers], np.int64)
    if drawing.prompt(0) is not None:
        columns["prompts"] = np.array([drawing.prompt(i) for i in numbers])
    shape = (request.n, card.resolution, card.resolution, card.channels)
    return shards.write_npz(target, shape, [target.shard(k) for k in request.numbers], columns)


def table_of(drawing: Drawing) -> str:
    """Return classes and captions of the files in a folder, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    labelled, captioned = drawing.label(0) is not None, drawing.prompt(0) is not None
    writer.writerow(["file_name", *["label", "class"] * labelled, *["text"] * captioned])
    files = drawing.request.target.names(0, range(drawing.request.n))
    for i, file in enumerate(files):
        label = drawing.label(i)
        of_class = [] if label is None else [label, drawing.names[label] if drawing.names else label]
        writer.writerow([file, *of_class, *[drawing.prompt(i)] * captioned])
    return buffer.getvalue()
