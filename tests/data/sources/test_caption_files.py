import json

import pytest

from components.common.errors import InputError
from components.data.sources.caption_files import captions_of, read_captions
from components.data.sources.listing import Files
from tests import limited

FORMS = {
    "captions.json": json.dumps({"a.png": "a cat", "sub/b.png": "a dog"}),
    "rows.json": '[{"file": "a.png", "caption": "a cat"}, {"image": "sub/b.png", "text": "a dog"}]',
    "metadata.jsonl": '{"file_name": "a.png", "text": "a cat"}\n{"file": "sub/b.png", "text": "a dog"}\n',
    "captions.csv": '\ufefffile_name,text\na.png,a cat\nsub/b.png,"a\ndog"\n',
    "captions.tsv": "file\tcaption\na.png\ta cat\n./sub/b.png\t a dog\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_reads_alike(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name], "utf-8")
    assert read_captions(tmp_path / name) == [("a.png", "a cat"), ("sub/b.png", "a dog")]


BAD = [
    ("c.json", "{"),
    ("c.json", "[1]"),
    ("c.json", '{"a.png": 3}'),
    ("c.json", "{}"),
    ("c.json", "7"),
    ("c.jsonl", '{"x": 1}'),
    ("c.csv", "p,q\n1,2\n"),
    ("c.csv", "file_name,text\na.png\n"),
    ("c.txt", "x"),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_file_is_one_sentence_that_says_what_is_accepted(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="captions file .*; accepted: "):
        read_captions(tmp_path / name)


@pytest.mark.parametrize(("name", "text"), [("c.json", "[" * 10**6), ("c.jsonl", '{"text":' * 10**6)])
def test_deep_nesting_is_refused_within_little_memory(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="captions file .*; accepted: "), limited.memory():
        read_captions(tmp_path / name)


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"file_name,text\na.png,\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_captions(tmp_path / "c.csv")


def test_control_characters_in_captions_are_replaced(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"a.png": "a\x1b[31m <b>cat</b>"}))
    assert read_captions(tmp_path / "c.json") == [("a.png", "a\ufffd[31m <b>cat</b>")]


def test_the_file_asked_for_must_exist(tmp_path):
    assert captions_of(tmp_path, Files(), None) is None
    with pytest.raises(InputError, match="does not exist"):
        captions_of(tmp_path, Files(), "c.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"a.png": "one", "a.png": "two"}'),
        ("c.json", '{"a.png": ["one", "two"]}'),
        ("c.jsonl", '{"file_name": "a.png", "text": ["one", "two"]}'),
        ("c.csv", "file_name,text\na.png,one\na.png,two\na.png,one\n"),
    ],
)
def test_several_captions_of_an_image_are_all_kept_once(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert captions_of(tmp_path, Files(["a.png"]), name) == {"a.png": ["one", "two"]}
