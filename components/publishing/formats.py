"""Publish a model in formats that other programs run: ONNX, and the programs of torch.export.

A format is published if the samples drawn through its files are the model's published samples: the same
seeds, noise and conditions, and the same sampler where a file is one step of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from components.common.errors import InputError
from components.common.public import public
from components.common.threads import using_threads
from components.families.artifact import load_model
from components.publishing import graphs
from components.publishing.graphs import Graph, Run
from components.records import gate
from components.records.formats import GraphFormat, GraphFormats
from components.sampling import generate, published
from models.data_spec import DataSpec
from models.family import Generator

FORMATS_FILE = "formats.json"
ONNX, TORCH = "onnx", "torch_export"
SUFFIXES = {ONNX: ".onnx", TORCH: ".pt2"}
RUNTIME = "onnxruntime"
PACKAGES = {ONNX: ("onnx", "onnxscript", RUNTIME), TORCH: ()}
LONGEST = 200  # characters of an error in a card
TOLERANCE = 0.1  # mean difference from the published samples, in levels of 255: rounding in another order

log = logging.getLogger(__name__)


def need(formats: Collection[str]) -> None:
    """Raise InputError if a package is missing that a format needs."""
    missing = [name for each in formats for name in PACKAGES[each] if find_spec(name) is None]
    if missing:
        raise InputError(
            f"the format {ONNX} needs the package {missing[0]}; install it with `pip install 'atelier[onnx]'`"
        )


def write(folder: Path, formats: Sequence[str], to: Path) -> GraphFormats:
    """Write a published model in some formats, each only if it draws the published samples.

    Args:
        folder: of the model, with its published samples.
        formats: their names.
        to: the folder to write to, which exists.

    Returns:
        What was tried, with the reasons of what is not published, which are logged as well.

    Raises:
        InputError: a package is missing, or the folder is incomplete or damaged.
    """
    need(formats)
    samples = published.read_record(folder)
    generator, card, config = load_model(folder)
    fixed = published.conditions_in(folder, samples.n)
    traceable = graphs.graphs(generator, card, fixed)
    record = GraphFormats(
        inputs={name: graph.inputs for name, graph in traceable.items()},
        levels=levels(generator),
        num_classes=card.num_classes if "label" in traceable[graphs.MODEL].inputs else 0,
    )
    programs = traced(traceable)
    for name in formats:
        outcome = GraphFormat(format=name, error=programs if isinstance(programs, str) else None)
        if not isinstance(programs, str):
            outcome = _written(name, programs, to, traceable)
        if outcome.files:
            outcome = _tried(outcome, folder, to, generator, card, record)
        record.formats.append(outcome)
        log.log(
            logging.INFO if outcome.files else logging.WARNING, "%s: %s", config.family, outcome_of(outcome)
        )
    return record


def levels(generator: Generator) -> list[list[float]]:
    """Return time, alpha and sigma of the levels of a generator that samples step by step; else none."""
    if not graphs.steps(generator):
        return []
    falling = generator.levels()  # type: ignore[operator]
    rows = torch.stack([falling.time, falling.alpha, falling.sigma], 1)
    return [[float(value) for value in row] for row in rows]


def traced(parts: Mapping[str, Graph]) -> dict[str, ExportedProgram] | str:
    """Return the program of each graph, or why torch cannot trace one of them."""
    try:
        return {name: graphs.traced(graph) for name, graph in parts.items()}
    except Exception as error:  # whatever torch raises, it means that the model has no such format
        return f"torch.export cannot trace it ({reason(error)})"


def reason(error: BaseException) -> str:
    """Return the first line of what caused an error, which may go on with the whole program, as text."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0][:LONGEST]}" if lines else type(error).__name__
    return public(text).replace("`", "'").replace("<", "(").replace(">", ")").rstrip(".")


def _written(
    name: str, programs: Mapping[str, ExportedProgram], to: Path, parts: Mapping[str, Graph]
) -> GraphFormat:
    """Write the files of a format, all or none."""
    files = {graph: f"{graph}{SUFFIXES[name]}" for graph in programs}
    try:
        for graph, file in files.items():
            SAVE[name](programs[graph], to / file, list(parts[graph].inputs))
    except Exception as error:  # whatever torch and onnx raise
        _remove(to, files.values())
        return GraphFormat(format=name, error=f"it cannot be written as {name} ({reason(error)})")
    return GraphFormat(format=name, files=files)


def _tried(
    outcome: GraphFormat, folder: Path, to: Path, generator: Generator, card: DataSpec, record: GraphFormats
) -> GraphFormat:
    """Draw the published samples through the files of a format, and remove those that draw others."""
    try:
        difference, largest = parity(outcome, folder, to, generator, card, record)
        error = None if difference <= TOLERANCE else f"it draws other samples, {apart(difference, largest)}"
        result = GraphFormat(format=outcome.format, difference=difference, largest=largest, error=error)
    except Exception as failure:  # whatever the runtime raises
        result = GraphFormat(format=outcome.format, error=f"it does not run ({reason(failure)})")
    if result.error:
        _remove(to, outcome.files.values())
        return result
    return result.model_copy(update={"files": outcome.files})


def parity(
    tried: GraphFormat, folder: Path, files: Path, generator: Generator, card: DataSpec, record: GraphFormats
) -> tuple[float, float]:
    """Return mean and largest difference of samples drawn through a format, in levels of 255.

    Args:
        tried: the format.
        folder: of the model, with its published samples.
        files: the folder of the format's files.
        generator: of the model; it takes the steps, if there are any.
        card: the shape of its samples.
        record: the inputs of the graphs.
    """
    runs = {name: OPEN[tried.format](files / file) for name, file in tried.files.items()}
    samples = published.read_record(folder)
    fixed, drawn = published.conditions_in(folder, samples.n), graphs.through(generator, runs, record.inputs)
    with using_threads(samples.threads):
        images = generate.draw(drawn, card, n=samples.n, seed=samples.seed, **fixed)
    difference = np.abs(published.samples_in(folder, images).astype(np.int16) - images)
    return float(difference.mean()), float(difference.max())


def verified(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield a sentence on each published format of a model in a folder, and whether it is as it should be.

    Only ONNX is tried: a file of torch.export may run code when it is opened.
    """
    record = GraphFormats.of(json.loads((folder / FORMATS_FILE).read_bytes()))
    generator, card, _ = load_model(folder)
    for tried in record.published:
        files = " and ".join(tried.files.values())
        if tried.format != ONNX:
            yield f"{files} was not opened, since such files may run code", True
            continue
        if find_spec(RUNTIME) is None:
            yield f"{files} was not tried, which needs the package {RUNTIME}", True
            continue
        try:
            difference, largest = parity(tried, folder, folder, generator, card, record)
        except Exception as error:  # whatever the runtime raises
            yield f"{files} does not run ({reason(error)})", False
        else:
            as_published = difference <= gate.TOLERANCE
            samples = "its" if as_published else "other samples than its"
            yield f"{files} draws {samples} published ones, {apart(difference, largest)}", as_published


def outcome_of(tried: GraphFormat) -> str:
    """Return what came of a format, as a clause."""
    if tried.files:
        apart_by = apart(tried.difference or 0, tried.largest or 0)
        return f"{' and '.join(tried.files.values())} draws its published samples, {apart_by}"
    return f"no {tried.format} is published: {tried.error}"


def apart(difference: float, largest: float) -> str:
    """Return differences between samples in words."""
    if largest == 0:
        return "the same pixels"
    return f"{difference:.2g} of 255 levels apart on average and {largest:.0f} at most"


def _remove(folder: Path, files: Collection[str]) -> None:
    for file in files:
        (folder / file).unlink(missing_ok=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what an exporter prints and warns of from the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def save_onnx(program: ExportedProgram, path: Path, inputs: list[str]) -> None:
    """Write a program as ONNX, with its weights in the same file, and without paths of this machine."""
    with quiet():
        written: Any = torch.onnx.export(
            program, (), input_names=inputs, output_names=["images"], external_data=False, verbose=False
        )
    model = written.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    written.save(path)


def save_torch(program: ExportedProgram, path: Path, inputs: list[str]) -> None:
    """Write a program as torch.export does."""
    with quiet():
        torch.export.save(program, path)


def open_onnx(path: Path) -> Run:
    """Return an ONNX graph, run by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        (images,) = session.run(None, {name: v.numpy() for name, v in inputs.items() if name in names})
        return torch.from_numpy(images)

    return run


def open_torch(path: Path) -> Run:
    """Return a program of torch.export."""
    module = torch.export.load(path).module()
    return lambda inputs: module(dict(inputs))


SAVE = {ONNX: save_onnx, TORCH: save_torch}
OPEN = {ONNX: open_onnx, TORCH: open_torch}
