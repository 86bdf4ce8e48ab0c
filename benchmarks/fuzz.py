"""Damage real files at random and read them: each answer is a result or one sentence.

    python benchmarks/fuzz.py [--inputs 500] [--minutes 60] [--seed 0] [--only TARGET] [--out FILE]

Configs, cards, records, pages, stages, registries, publications, models, checkpoints, images and tables of
captions are changed: bytes flipped, cut out, doubled and replaced; values of JSON and YAML replaced by
hostile ones. Counted are inputs that were read, inputs that were refused with a sentence, and three kinds
of failure: tracebacks (any other exception), escapes (a file opened for writing, made, moved or deleted
outside of the folder, a program started, a connection opened) and hangs (more than 20 seconds). Exits with
1 after a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from components import report
from components.common.errors import InputError, RunError
from components.common.names import clean
from components.common.plain_yaml import read_yaml
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.sources.folder import Request, gather, scratch_folder
from components.data.sources.images import BadImage, Rendering, render_all
from components.data.sources.listing import listed
from components.families.artifact import load_model
from components.publishing.verify import verify
from components.records.gate import Rejection
from components.registry import champions, pins
from components.stages import cache
from components.stages.spec import Spec
from components.store import Store
from components.training import checkpoint
from flows import setup
from tests.data.pictures import picture
from tests.data.sources.test_images import encoded
from tests.publishing.exported import published_run
from tests.registry.judged import champion, judgement
from tests.report import fixture
from tests.small_data import prepared

ROOT = Path(__file__).parents[1]
SECONDS = 20  # of processor time, until an input counts as a hang
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink")
REFUSALS = (InputError, RunError, BadImage)

HOSTILE: Sequence[Any] = (
    *(None, True, -1, 0, 2**63, 10**30, 1e308, float("nan"), float("inf")),
    *("", " ", ".", "..", "../../../escaped", "/tmp/escaped", "a/../../b", "C:\\x", "file:///etc/passwd"),
    *(
        "s3://b/k",
        "\x00",
        "\n",
        "\ud800",
        "a" * 70000,
        "{{7*7}}",
        "<script>alert(1)</script>",
        "!!python/none",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"a": {"a": {}}},
        "1e400",
        "0x10",
        "$(touch escaped)",
        "%s%n",
        "__class__",
    ),
)
TOKENS = (
    *(
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"-1",
        b"null",
        b"{",
        b"]",
        b'"',
        b"\n",
        b"..",
        b"/",
    ),
    *(b"!!python/object/apply:os.system [id]", b"&a [*a]", b"<<: *a", b"\\ud800", b"1e999", b"[" * 5000),
    *(b"\x80\x04cos\nsystem\n", b"PK\x03\x04", b"\xef\xbb\xbf", b"NaN", b"9" * 400),
)


# Damage


def damaged(data: bytes, name: str, rng: random.Random) -> bytes:
    """Return a file's contents after one to three changes."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        structured = name.endswith((".json", ".yaml", ".yml")) and rng.random() < 0.7
        data = (changed_value if structured else changed_bytes)(data, rng)
    return data


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double, insert or replace some bytes, near the beginning more often."""
    size = len(data)
    at = rng.randrange(size + 1) if rng.random() < 0.6 else rng.randrange(min(size, 256) + 1)
    length = rng.choice([1, 1, 2, 4, 16, 256, size])
    token = rng.choice([rng.randbytes(rng.choice([1, 4, 64])), *TOKENS])
    return rng.choice(
        [
            data[:at],
            data[:at] + data[at + length :],
            data[:at] + data[at : at + length] * 2 + data[at + length :],
            data[:at] + token + data[at:],
            data[:at] + token + data[at + len(token) :],
            data[:at]
            + bytes(b ^ 1 << rng.randrange(8) for b in data[at : at + length])
            + data[at + length :],
        ]
    )


def changed_value(data: bytes, rng: random.Random) -> bytes:
    """Replace, delete, rename or double one value of a JSON or YAML file; bytes, if it is neither."""
    try:
        content = read_yaml(data.decode()) if data[:1] not in b"[{" else json.loads(data)
        at = rng.choice(list(places(content)))
    except Exception:
        return changed_bytes(data, rng)
    parent, key = at
    how = rng.randrange(5)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent[str(rng.choice(HOSTILE))] = parent.pop(key)
    elif how == 2 and isinstance(parent, list):
        parent += [parent[key]] * rng.choice([1, 1000])
    else:
        parent[key] = rng.choice(HOSTILE)
    text = json.dumps(content) if data[:1] in b"[{" else yaml.dump(content)
    return text.encode("utf-8", "surrogatepass")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each value inside a JSON value, as its parent and its key or index."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in list(children):
        yield value, key
        yield from places(child)


# What is read


@dataclass
class Target:
    """Files to damage, and what reads them."""

    files: list[Path]
    read: Callable[[Path], Any]  # called with the damaged file


def configs(folder: Path) -> Target:
    """Configs, as every command loads them; each beside a store of its own."""
    copies = []
    for number, source in enumerate(sorted((ROOT / "configs").rglob("*.yaml"))):
        copies.append(folder / f"{number}-{source.name}")
        copies[-1].write_bytes(source.read_bytes())
    return Target(
        copies, lambda path: setup.experiment(path, [f"store.url={folder / 'store'}", "device=cpu"])
    )


def cards(folder: Path) -> Target:
    """A data set's card and arrays."""
    data = digits(folder)

    def read(path: Path) -> None:
        card = DatasetCard.read(data)
        assert card.hash and card.card
        card.problems(data)
        split = open_split(data, "train")
        assert len(split) and split.images[:2].shape

    return Target([data / "card.json"] * 3 + sorted(data.rglob("*.npy")), read)


def pages(folder: Path) -> Target:
    """The records of runs, from which pages are built, with the results of their stages."""
    store = Store(str(folder / "store"))
    runs = [fixture.write_done(store), fixture.write_running(store), fixture.write_partial(store)]
    runs.append(fixture.write_ward(store))
    files = [p for p in Path(store.path()).rglob("*") if p.suffix in (".json", ".jsonl")]
    records = {run: Path(store.path(f"runs/{run}/run.json")) for run in runs}
    texts = {run: path.read_text() for run, path in records.items()}

    def read(path: Path) -> None:
        stage = path.relative_to(store.path()).as_posix().partition("/attempts/")[0]
        of = path.parent.name if path.name == "run.json" else ""
        run = of or next((run for run, text in texts.items() if f'"{stage}"' in text), runs[0])
        report.build_run(store, run)
        report.build_index(store, changed=run)

    return Target([*records.values()] * (len(files) // len(records)) + files, read)


def stages(folder: Path) -> Target:
    """A finished stage: its mark, its result and a file of it."""
    store, spec = Store(str(folder / "store")), Spec("probe", {"a": 1}, {"b": "2"})

    def body(attempt: Store, number: int) -> dict[str, int]:
        attempt.write_json("x.json", {"x": 1})
        return {"n": number}

    cache.run(store, spec, body, run_id="r")
    files = [p for p in Path(store.path()).rglob("*.json")] + list(Path(store.path()).rglob("_SUCCESS"))
    names = ("_SUCCESS", "result.json", "x.json", "spec.json")

    def read(path: Path) -> None:
        cache.finished(store, spec)
        cache.latest(store, spec)

    return Target([p for p in files if p.name in names or "latest" in p.parts], read)


def registries(folder: Path) -> Target:
    """The history of champions, what waits and was rejected, and the pinned extractors."""
    store = Store(str(folder / "store"))
    for number in (1, 2):
        champions.append(store, champion(store, number, f"r{number}"))
    champions.request_review(store, judgement(store, "r3", expires="2100-01-01T00:00:00+00:00"))
    champions.reject(store, Rejection(number=1, judgement=judgement(store, "r4"), who="a", why="b", when="c"))
    pins.pin(store, "digits", "recipe", after=0, key="k", hash="h")

    def read(path: Path) -> None:
        if path.parent.name == "recipe":
            pins.pinned(store, "digits", "recipe")
        for data_set, task in champions.series(store):
            champions.history(store, data_set, task)
            champions.current(store, data_set, task)
            champions.waiting(store, data_set, task)
            champions.rejections(store, data_set, task)

    return Target([p for p in Path(store.path("registry")).rglob("*.json")], read)


def publications(folder: Path) -> Target:
    """A published run, as `atelier verify` reads it."""
    _, place = published_run(folder, digits(folder))
    root = Path(place.path())
    small = [p for p in root.rglob("*") if p.is_file() and p.stat().st_size < 100_000]
    return Target([*small, *[root / "manifest.json"] * 5], lambda path: verify(place))


def models(folder: Path) -> Target:
    """A model folder."""
    _, place = published_run(folder, digits(folder))
    model = Path(place.path("models/cgan"))
    return Target([model / "config.json", model / "model.safetensors"], lambda path: load_model(model))


def checkpoints(folder: Path) -> Target:
    """The checkpoints of an unfinished training."""
    store = Store(str(folder / "store"))
    state = {"family": {"w": torch.ones(3)}, "control": {"attempt": 1, "step": 5}}
    for step in (5, 10):
        store.write_bytes(checkpoint.name(step), checkpoint.encode(state))

    def read(path: Path) -> None:
        checkpoint.newest(store)
        for other in Path(store.path("checkpoints")).iterdir():
            if ".pt." in other.name:
                other.unlink()

    return Target([Path(store.path(checkpoint.name(10)))], read)


def images(folder: Path) -> Target:
    """Images of all formats, as `data add` decodes them."""
    for kind in ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF"):
        (folder / f"small.{kind.lower()}").write_bytes(encoded(picture(0, (24, 24)), kind))
    frames = [Image.fromarray(np.full((9, 9), n * 60, np.uint8)) for n in range(3)]
    for kind in ("gif", "tiff", "png", "webp"):
        frames[0].save(folder / f"moving.{kind}", save_all=True, append_images=frames[1:])
    deep = Image.fromarray(np.arange(81, dtype=np.uint16).reshape(9, 9) * 800)
    for kind in ("png", "tiff"):
        deep.save(folder / f"deep.{kind}")
    return Target(sorted(folder.iterdir()), lambda path: render_all(path.read_bytes(), Rendering(32)))


def tables(folder: Path) -> Target:
    """Folders of images with captions and labels, as `data add` gathers them."""
    root, names = folder / "images", [f"{n}.png" for n in range(30)]
    root.mkdir()
    for number, name in enumerate(names):
        (root / name).write_bytes(encoded(picture(number, (9, 9)), "PNG"))
    captions = {name: f"a picture of {name}" for name in names}
    (root / "captions.json").write_text(json.dumps(captions))
    rows = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    (root / "metadata.jsonl").write_text("\n".join(rows))
    (root / "metadata.csv").write_text(
        "\n".join(["file_name,text", *(f"{n},{t}" for n, t in captions.items())])
    )
    (root / "dataset.json").write_text(json.dumps({"labels": [[n, i % 3] for i, n in enumerate(names)]}))

    def read(path: Path) -> None:
        with scratch_folder(folder / "scratch") as scratch:
            gather(listed(root, folder / "mirror", None), Request(resolution=8), scratch, None)

    return Target([p for p in root.iterdir() if p.suffix != ".png"] + [root / names[0]], read)


TARGETS = (
    configs,
    cards,
    pages,
    stages,
    registries,
    publications,
    models,
    checkpoints,
    images,
    tables,
)


def digits(folder: Path) -> Path:
    """A small prepared data set."""
    rng = np.random.RandomState(0)
    return prepared(
        folder / "digits", rng.randint(0, 256, (1790, 1, 8, 8)).astype(np.uint8), np.arange(1790) % 10
    )


# The fuzz


class Hang(BaseException):
    """An input took too long; no `except Exception` may take it for a refusal."""


@dataclass
class Outcome:
    """What became of a target's inputs."""

    inputs: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # read | refused | traceback | escape | hang
    failures: list[str] = field(default_factory=list)


class Guard:
    """Notes what leaves a folder: an audit hook, which cannot be removed, but can be told of no folder."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.escapes: list[str] = []
        self.others: set[int] = set()  # threads that have begun before
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or threading.get_ident() in self.others:
            return
        if event in STARTS:
            self.escapes.append(f"{event} {arguments[:2]}")
        relative = (
            event in ("os.remove", "os.rmdir") and arguments[1] >= 0
        )  # to a folder that is checked itself
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        paths = arguments[: {"os.rename": 2, "os.link": 2, "os.symlink": 2}.get(event, 1)]
        if (writes or event in CHANGES) and not relative:
            for path in [os.fsdecode(path) for path in paths if isinstance(path, str | bytes | os.PathLike)]:
                if not os.path.abspath(path).startswith((self.folder, "/dev/")):
                    self.escapes.append(f"{event} {path!r}")

    @contextlib.contextmanager
    def watching(self, folder: Path) -> Iterator[list[str]]:
        """Yield the list that gets what leaves `folder`."""
        self.others = {thread.ident or 0 for thread in threading.enumerate()} - {threading.get_ident()}
        self.folder, self.escapes = str(folder), []
        try:
            yield self.escapes
        finally:
            self.folder = None


def fuzz(make: Callable[[Path], Target], inputs: int, seed: int, until: float, guard: Guard) -> Outcome:
    """Damage a target's files one after the other and read them; return what became of it."""
    outcome, rng = Outcome(), random.Random(f"{seed}-{make.__name__}")
    with (
        tempfile.TemporaryDirectory(prefix="atelier-fuzz-") as scratch,
        mock.patch("tempfile.tempdir", scratch),
    ):
        folder = Path(scratch) / "inputs"
        folder.mkdir()
        target = make(folder)
        for path in set(target.files):
            undamaged = tried(target, path, Path(scratch), guard)
            assert undamaged == ("read", ""), f"{path}, undamaged: {': '.join(undamaged)}"
        while outcome.inputs < inputs and time.monotonic() < until:
            path = rng.choice(target.files)
            before = path.read_bytes()
            path.write_bytes(damaged(before, path.name, rng))
            end, why = tried(target, path, Path(scratch), guard)
            outcome.inputs += 1
            outcome.ends[end] += 1
            if why:
                outcome.failures.append(f"{make.__name__} input {outcome.inputs}, {path.name}: {end}: {why}")
            path.write_bytes(before)
    return outcome


def tried(target: Target, path: Path, scratch: Path, guard: Guard) -> tuple[str, str]:
    """Read a damaged file; return how that ended, and why if it is a failure."""

    def hang(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with guard.watching(scratch) as escapes, contextlib.redirect_stderr(io.StringIO()):
        try:
            target.read(path)
            end, why = "read", ""
        except REFUSALS as refusal:
            end, why = "refused", "" if one_sentence(str(refusal)) else f"no sentence: {str(refusal)[:200]!r}"
        except Hang:
            end, why = "hang", traceback.format_exc(limit=-3)
        except Exception:
            end, why = "traceback", traceback.format_exc(limit=-3)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    if escapes:
        return "escape", "; ".join(escapes[:3])
    return ("traceback" if end == "refused" and why else end), why


def one_sentence(text: str) -> bool:
    """Whether a text can be printed as one sentence: some words, one line, no control characters."""
    return 0 < len(text) < 5000 and text == clean(text)


def described(outcomes: dict[str, Outcome]) -> str:
    """Return the outcomes as a table in Markdown, with the failures below."""
    kinds = ("read", "refused", "traceback", "escape", "hang")
    heads = ("what is damaged", "inputs", "read", "refused in one sentence", "tracebacks", "escapes", "hangs")
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * 6}"]
    for name, outcome in outcomes.items():
        lines.append(
            f"| {name} | {outcome.inputs} | {' | '.join(str(outcome.ends[kind]) for kind in kinds)} |"
        )
    total = sum((outcome.ends for outcome in outcomes.values()), Counter[str]())
    lines.append(f"| all | {total.total()} | {' | '.join(str(total[kind]) for kind in kinds)} |")
    return "\n".join(
        [*lines, "", *(failure for outcome in outcomes.values() for failure in outcome.failures)]
    )


def main() -> None:
    """Run the fuzz, print its outcome, and exit with 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=500, help="per target")
    parser.add_argument("--minutes", type=float, default=60, help="of each target, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[make.__name__ for make in TARGETS])
    parser.add_argument("--out", type=Path, help="file for the outcome, in Markdown")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    guard, outcomes = Guard(), {}
    for make in TARGETS:
        if arguments.only in (make.__name__, None):
            until = time.monotonic() + 60 * arguments.minutes
            outcomes[make.__name__] = fuzz(make, arguments.inputs, arguments.seed, until, guard)
            print(described({make.__name__: outcomes[make.__name__]}), flush=True)
    text = described(outcomes)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    raise SystemExit(any(outcome.failures for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
