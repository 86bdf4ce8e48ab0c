"""The metadata of synthetic data sets are valid Croissant, by which their records are read."""

from __future__ import annotations

from pathlib import Path

import mlcroissant
import pytest

from components.sampling import croissant, shards
from components.sampling.croissant import Description
from components.sampling.data_set import sample_data_set
from components.sampling.shards import Target
from components.store import Store
from tests.sampling.test_from_images import SIDE, model

N = 70  # more than a shard in these tests


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGEST", 64)


def draw_set(folder: Path, output: str, n: int) -> None:
    target = Target.of(output)
    assert target is not None
    sample_data_set(Store(folder), "", target, n=n)


@pytest.mark.parametrize("form", ["x/", "x/digits.tar", "x/digits.npz"])
@pytest.mark.parametrize("family", ["cgan", "dcgan"])
def test_the_metadata_are_valid_croissant(tmp_path: Path, form: str, family: str) -> None:
    folder = model(tmp_path, family, classes=3 if family == "cgan" else 0)
    draw_set(folder, f"{tmp_path}/{form}", N)
    (path,) = (tmp_path / "x").glob("*croissant.json")
    described = mlcroissant.Dataset(jsonld=path)
    assert not described.metadata.ctx.issues.errors
    if form != "x/digits.npz":
        records = list(described.records("samples"))
        assert len(records) == N and {record["samples/image"].size for record in records} == {(SIDE, SIDE)}
    if form == "x/" and family == "cgan":
        rows = list(described.records("table"))
        assert [row["table/label"] for row in rows] == [i % 3 for i in range(N)]
    (card,) = (tmp_path / "x").glob("*README.md")
    assert "synthetic" in card.read_text() and str(tmp_path) not in card.read_text() + path.read_text()


def described(form: shards.Form, **changes: object) -> Description:
    files = {"folder": {"metadata.csv": "0"}, "webdataset": {"x-000000.tar": "0"}, "npz": {"x.npz": "0"}}[
        form
    ]
    defaults = {
        "made": {"run": "r1", "seed": 0},
        "n": 5,
        "shape": (3, 8, 8),
        "captions": True,
        "licence": "mit",
    }
    stem = "" if form == "folder" else "x"
    return Description(family="f", form=form, stem=stem, files=files, **{**defaults, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["folder", "webdataset", "npz"])
def test_captions_and_classes_are_described(tmp_path: Path, form: shards.Form) -> None:
    of = described(form, num_classes=2, labels=["cat", "dog"])
    content, card = croissant.metadata(of), croissant.card(of)
    assert content["license"] == "mit" and "license: mit" in card and "Classes: 0 cat, 1 dog." in card
    Store(tmp_path).write_json("croissant.json", content)
    assert mlcroissant.Dataset(jsonld=tmp_path / "croissant.json").metadata.name == of.name
    assert "text" in card or "prompts" in card or ".txt" in card


def test_the_licence_is_that_of_the_model(tmp_path: Path) -> None:
    assert croissant.licence_of(tmp_path) is None
    for text, licence in (("---\nlicense: mit\n---\n\n# x", "mit"), ("---\n- a\n---\n", None), ("# x", None)):
        (tmp_path / "README.md").write_text(text)
        assert croissant.licence_of(tmp_path) == licence
