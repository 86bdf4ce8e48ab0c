"""Random folders, read by the program and by a small reference reader."""

from __future__ import annotations

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from components.common.errors import InputError
from components.data.sources.caption_files import captions_of, read_captions, tidy
from components.data.sources.images import EXTENSIONS, UNSUPPORTED
from components.data.sources.layout import Layout
from components.data.sources.listing import Files, Listing, listed, scan
from components.data.sources.splits import LEAST, assign, check
from tests.data.pictures import picture
from tests.data.sources.messy import HEIC, entries
from tests.data.sources.test_images import encoded

IMAGES = {kind: encoded(picture(0, (2, 2)), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "PPM")}
CONTENTS = [*IMAGES.values(), b"", b"BM", b"P5 text", b"hello", HEIC]
ENDINGS = ["", ".png", ".PNG", ".jpg", ".jpg_large", ".png.1", ".txt", ".csv", ".heic", ".npy", ".db"]
FOLDERS = some.sampled_from(["a", "b", ".hidden", "__MACOSX", "@eaDir", "c\u00e9", "d "])
FILES = some.tuples(
    some.lists(FOLDERS, max_size=2),
    some.sampled_from([".x", "x", "y"]),
    some.sampled_from(ENDINGS),
    some.sampled_from(CONTENTS),
)
LINKS = some.tuples(some.lists(FOLDERS, max_size=2), some.lists(FOLDERS, max_size=2))
SPLITS = {"train": "train", "Training": "train", "val": "validation", "EVAL": "validation", "testing": "test"}
TOPS = some.sampled_from([*SPLITS, "unlabeled", "cat", "dog"])


def make(root: Path, files: Sequence[tuple], links: Sequence[tuple] = ()) -> None:
    """Make files, and links to folders; what is there already stays."""
    for folders, stem, ending, content in files:
        folder = root.joinpath(*folders)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}{ending}").write_bytes(content)
    for number, (place, target) in enumerate(links):
        if root.joinpath(*target).is_dir() and root.joinpath(*place).is_dir():
            root.joinpath(*place, f"link{number}").symlink_to(root.joinpath(*target).resolve())


def is_image(path: Path) -> bool:
    """Whether a file is an image to try, as a reader says who opens every file."""
    ending = os.path.splitext(path.name)[1].lower()
    return path.read_bytes() in IMAGES.values() or ending in EXTENSIONS


@settings(max_examples=60, deadline=None)
@given(some.lists(FILES, max_size=12))
def test_every_file_is_an_image_or_counted_by_reason(files: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), files)
        result = Files()
        scan(Path(folder), result)
        assert len(result.paths) + len(result.skipped) + result.ignored + result.left_out.total() == entries(
            Path(folder)
        )
        hidden = [p for p in Path(folder).rglob("*") if p.is_file() and is_hidden(p, Path(folder))]
        visible = [p for p in Path(folder).rglob("*") if p.is_file() and p not in hidden]
        images = {p.relative_to(folder).as_posix() for p in visible if is_image(p)}
        assert set(result.paths) == images and len(result.paths) == len(images)
        unread = [
            p
            for p in visible
            if not is_image(p) and (p.suffix.lower() in UNSUPPORTED or p.read_bytes() == HEIC)
        ]
        stems = {os.path.splitext(image)[0] for image in images}
        others = [p for p in unread if p.suffix.lower() in UNSUPPORTED and stem(p, folder) in stems]
        assert len(result.skipped) == len(unread) - len(others)
        assert result.left_out.total() == len(hidden) + len(others)


def stem(path: Path, folder: str) -> str:
    """A path without its ending, relative to `folder`."""
    return os.path.splitext(path.relative_to(folder).as_posix())[0]


def is_hidden(path: Path, root: Path) -> bool:
    return any(name.startswith((".", "__MACOSX", "@eaDir")) for name in path.relative_to(root).parts)


@settings(max_examples=60, deadline=None)
@given(some.lists(FILES, min_size=1, max_size=8), some.lists(LINKS, max_size=4))
def test_any_links_end_and_no_file_is_lost(files: list, links: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        make(root, files, links)
        result = Files()
        scan(root, result)
        real = {os.path.realpath(root / path) for path in result.paths}
        visible = [p for p in root.rglob("*") if p.is_file() and not is_hidden(p, root) and is_image(p)]
        assert {os.path.realpath(p) for p in visible} <= real
        assert len(result.paths) == len(set(result.paths))


def reference(paths: list[str]) -> dict[str, tuple[str | None, str | None]] | None:
    """The split and class of each image that is used; None: the owner must be asked."""
    tops = {path.split("/")[0] if "/" in path else "" for path in paths}
    named = tops & SPLITS.keys()
    if named and not tops <= SPLITS.keys() | {"unlabeled"}:
        return None
    below = {p: p.split("/")[1:] if named else p.split("/") for p in paths}
    below = {p: parts for p, parts in below.items() if not named or p.split("/")[0] in SPLITS}
    flat = [parts for parts in below.values() if len(parts) == 1]
    if 0 < len(flat) < len(below):
        return None
    classes = {parts[0] for parts in below.values()} if not flat else set()
    several = len({SPLITS[top] for top in named}) > 1
    return {
        path: (SPLITS[path.split("/")[0]] if several else None, parts[0] if len(classes) > 1 else None)
        for path, parts in below.items()
    }


@given(
    some.lists(
        some.tuples(some.lists(TOPS, max_size=1), some.lists(some.sampled_from(["cat", "dog"]), max_size=2)),
        min_size=1,
        max_size=12,
    )
)
def test_any_folders_are_splits_and_classes_as_the_reference_reads_them(parts: list) -> None:
    paths = [f"{'/'.join([*top, *rest, str(i)])}.png" for i, (top, rest) in enumerate(parts)]
    expected = reference(paths)
    if expected is None:
        with pytest.raises(InputError):
            Layout(paths, "folder", False)
        return
    layout = Layout(paths, "folder", False)
    used = [path for path in paths if path not in layout.left_out]
    assert used == list(expected)
    classes = layout.classes(used)
    splits = layout.splits(used, used) or [None] * len(used)
    names = [classes["label_names"][i] for i in classes["labels"]] if classes else [None] * len(used)
    assert dict(zip(used, zip(splits, names, strict=True), strict=True)) == expected


@settings(max_examples=40, deadline=None)
@given(
    some.lists(some.sampled_from(["a/0.png", "a/1.png", "b/0.png", "2.png"]), unique=True, min_size=1),
    some.lists(
        some.tuples(
            some.sampled_from(["", "a", "b"]),
            some.sampled_from(["0.png", "1.png", "2.png", "a/0.png"]),
            some.sampled_from(["red", "blue", "green"]),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_any_tables_give_all_captions_or_count_them(images: list[str], rows: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for place in {place for place, _, _ in rows}:
            (root / place).mkdir(exist_ok=True)
            with open(root / place / "metadata.csv", "w", newline="") as file:
                table = csv.writer(file)
                table.writerows(
                    [("file_name", "text"), *[(name, text) for at, name, text in rows if at == place]]
                )
        files = Files(images, texts=sorted({f"{at}/metadata.csv".lstrip("/") for at, _, _ in rows}))
        captions = captions_of(root, files, None)
    expected: dict[str, list[str]] = {}
    unmatched = 0
    inside = "a/" if all(path.startswith("a/") for path in images) else ""
    inside = "b/" if images == ["b/0.png"] else inside
    for at, name, text in sorted(rows, key=lambda row: row[0]):
        places = (f"{at}/{name}".lstrip("/"), name, inside + name)
        image = next((path for path in places if path in images), None)
        if image is None:
            unmatched += 1
        elif text not in expected.setdefault(image, []):
            expected[image].append(text)
    assert captions == expected and files.unmatched_captions == unmatched


@settings(max_examples=60, deadline=None)
@given(
    some.lists(some.text("ab ,;\"'\t\u00e9", min_size=1).map(tidy).filter(bool), min_size=1, max_size=5),
    some.sampled_from([",", ";", "\t"]),
    some.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_csv_is_read_as_it_was_written(texts: list[str], delimiter: str, encoding: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.csv"
        with open(path, "w", encoding=encoding, newline="") as file:
            table = csv.writer(file, delimiter=delimiter)
            table.writerows([("file_name", "text"), *[(f"{i}.png", text) for i, text in enumerate(texts)]])
        assert read_captions(path) == [(f"{i}.png", text) for i, text in enumerate(texts)]


@given(some.lists(some.sampled_from(["train", "validation", "test"]), max_size=150))
def test_stated_splits_are_kept_and_only_missing_ones_are_cut(stated: list[str]) -> None:
    names = [str(i) for i in range(len(stated))]
    splits = assign(names, [0] * len(stated), stated)
    there, counts = set(stated), Counter(splits)
    donor = "train" if "train" in there else "validation"
    assert all(new == old for new, old in zip(splits, stated, strict=True) if old != donor)
    if len(stated) >= 150 and there:
        assert all(
            counts[s] >= min(LEAST, Counter(stated)[donor]) for s in {"train", "test", "validation"} - there
        )
    if all(counts[s] >= LEAST for s in ("train", "validation", "test")):
        check(dict(counts))
    else:
        with pytest.raises(InputError, match="are missing"):
            check(dict(counts))


@given(some.lists(FOLDERS, max_size=3), some.lists(some.lists(FOLDERS, max_size=1), min_size=1, max_size=4))
def test_a_lone_folder_around_all_images_changes_no_name(around: list[str], inside: list[list[str]]) -> None:
    paths = ["/".join([*folders, f"{i}.png"]) for i, folders in enumerate([*inside, ["z"], []])]
    wrapped = ["/".join([*around, path]) for path in paths]
    listing = Listing("f", Path("f"), Files(wrapped), inside="".join(f"{name}/" for name in around))
    assert listing.keys(wrapped) == paths


def test_the_wrapper_of_a_folder_is_found(tmp_path: Path) -> None:
    make(tmp_path, [(["w", "v", top], "x", ".png", IMAGES["PNG"]) for top in ("a", "b")])
    assert listed(tmp_path, tmp_path / "mirror", None).inside == "w/v/"
