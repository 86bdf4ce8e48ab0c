"""Changes of settings by `--set`, whatever somebody writes."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as some

from components.common.errors import InputError
from components.config.loading import changed, load

KEYS = some.text("abcdefgh_", min_size=1, max_size=3)
PLAIN = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | KEYS
VALUES = PLAIN | some.lists(PLAIN, max_size=3) | some.dictionaries(KEYS, PLAIN, max_size=3)
SETTINGS = some.recursive(
    some.dictionaries(KEYS, PLAIN, max_size=3),
    lambda inner: some.dictionaries(KEYS, PLAIN | inner, max_size=3),
)


def written(path: list[str], value: Any) -> str:
    """The change as it is given to --set."""
    text = yaml.safe_dump(value, default_flow_style=True)  # which ends plain values with a line "..."
    return f"{'.'.join(path)}={text.removesuffix('...' + chr(10))}"


def at(content: Any, path: list[str]) -> Any:
    for key in path:
        content = content[key]
    return content


def without(content: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The content without what lies at a path, and without folders that are then empty."""
    head, *rest = path
    if not rest or not isinstance(content.get(head), dict):
        return {key: value for key, value in content.items() if key != head}
    inner = without(content[head], rest)
    return {key: inner if key == head else value for key, value in content.items() if key != head or inner}


@given(SETTINGS, some.lists(KEYS, min_size=1, max_size=3), VALUES)
def test_a_change_sets_one_value_and_leaves_all_others(
    content: dict[str, Any], path: list[str], value: Any
) -> None:
    before = copy.deepcopy(content)
    change = written(path, value)
    try:
        after = changed(content, change)
    except InputError as error:
        assert "a plain value has no subkeys" in str(error)
        return
    assert at(after, path) == value
    assert without(after, path) == without(before, path)
    assert content == before, "what was handed in is changed too"


@given(SETTINGS, some.lists(KEYS, min_size=1, max_size=3), VALUES)
def test_the_same_change_again_changes_nothing(content: dict[str, Any], path: list[str], value: Any) -> None:
    change = written(path, value)
    try:
        once = changed(content, change)
    except InputError:
        return
    assert changed(once, change) == once


@given(some.text() | some.text("0123456789-:.e!_xb'\"[]{}<&* ").map("lr={}".format))
@example("lr=2024-13-45")
@example("lr=!!timestamp x")
@example("lr=!!int ''")
def test_whatever_is_written_is_accepted_or_refused_in_a_sentence(change: str) -> None:
    try:
        assert changed({}, change)
    except InputError as error:
        assert "is not of the form key.subkey=value" in str(error)


@given(some.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_numbers_however_python_writes_them(number: float) -> None:
    """YAML 1.1 takes 2e-4 for a word."""
    value = changed({}, f"lr={number!r}")["lr"]
    assert isinstance(value, int | float) and math.isclose(value, number)


@pytest.mark.parametrize("change", ["lr", "=3", "a..b=3", ".a=3", "a.=3"])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(InputError, match="is not of the form key.subkey=value"):
        changed({}, change)


def test_a_file_with_an_impossible_date_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("train: {lr: 2024-13-45}")
    with pytest.raises(InputError, match="config.yaml is not valid YAML: month must be"):
        load(path)


def test_yaml_nested_too_deeply_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    with pytest.raises(InputError, match="is not valid YAML"):
        load(tmp_path / "deep.yaml")
    assert changed({}, "a=" + "[" * 5000)


FAMILIES = "families: {vae: {}}\n"


@pytest.mark.parametrize(
    "text", ["61e9540", "2024", "no", "1e5", "0x10", "2024-01-02", "1_000", ".inf", "'7'"]
)
def test_settings_that_are_text_stay_text(text: str, tmp_path: Path) -> None:
    plain = text.strip("'")
    assert changed({}, f"data.revision={text}") == {"data": {"revision": plain}}
    path = tmp_path / "config.yaml"
    path.write_text(f"{FAMILIES}data: {{revision: {text}}}\nevaluate: {{held_out_classes: [{text}, all]}}\n")
    experiment = load(path)
    assert experiment.data.revision == plain and experiment.evaluate.held_out_classes == (plain, "all")


@pytest.mark.parametrize("name", ["2024", "no", "1e5"])
def test_data_sets_may_be_called_like_numbers_or_answers(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{FAMILIES}data: {{name: {name}}}\n")
    assert load(path).data.name == name
    assert load(path, [f"data.name={name}x", f"data.name={name}"]).data.name == name


def test_text_that_is_left_out_is_none_and_numbers_stay_numbers() -> None:
    assert changed({}, "data.revision=null") == changed({}, "data.revision=") == {"data": {"revision": None}}
    assert changed({}, "train.lr=1e5") == {"train": {"lr": 1e5}}
