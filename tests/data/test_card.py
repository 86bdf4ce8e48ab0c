"""The card of a prepared data set."""

import json
import subprocess
import sys

import pytest

from components.common.errors import InputError
from components.data.card import DataCard
from components.data.sources import prepare


def test_the_card_reads_back_and_its_hash_is_that_of_the_files(home):
    card = prepare.prepare("digits", home)
    again = DataCard.read(home / "data/digits")
    assert again == card and again.hash == card.hash and len(card.hash) == 64
    other = card.model_copy(
        update={"files": {**card.files, "train/labels.npy": card.files["test/labels.npy"]}}
    )
    assert other.hash != card.hash
    assert card.model_copy(update={"title": "other"}).hash == card.hash
    assert json.loads(card.to_json())["name"] == "digits"


def test_a_folder_without_a_card_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no card.json"):
        DataCard.read(tmp_path)


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
