"""JSON whose values can be written again."""

from __future__ import annotations

import json

import pytest

from components.common.plain_json import parsed


@pytest.mark.parametrize("text", ['{"a": [1, "\\u00e4\\ud83d\\ude00"]}', '"ä"', "null"])
def test_values_are_read(text: str) -> None:
    assert parsed(text) == parsed(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": 1}', "9" * 5000, "{", ""])
def test_what_could_not_be_written_again_is_no_json(text: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(json.JSONDecodeError):
            parsed(data)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        parsed(b'"\xff\xff\xff"')
