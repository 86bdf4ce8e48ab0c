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
    "header.csv": 'File_Name, Caption\na.png, a cat\nsub/b.png, "a dog"\n',
    "excel.csv": "sep=;\nfile_name;text\na.png;a cat\nsub/b.png;a dog\n",
    "flickr30k.csv": "image_name| comment_number| comment\na.png| 0| a cat\nsub/b.png| 0| a dog\n",
    "captions.txt": "image,caption\na.png,a cat\nsub/b.png,a dog\n",
    "semicolons.csv": "filename;prompt\na.png;a cat\nsub/b.png;a dog\n",
    "coco.json": json.dumps(
        {
            "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "sub/b.png"}],
            "annotations": [{"image_id": 7, "caption": "a cat"}, {"image_id": 8, "caption": "a dog"}],
        }
    ),
    "empty.jsonl": '{"file_name": "a.png", "text": "a cat"}\n{"file_name": "c.png", "text": null}\n'
    '{"file_name": "d.png", "text": NaN}\n{"file": "sub/b.png", "text": "a dog"}\n',
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
    ("c.txt", "x"),
    ("c.csv", "file_name,text\na.png,a red, round apple\n"),
    ("c.json", '{"images": [], "annotations": [{"image_id": 7, "caption": "a cat"}]}'),
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


def test_other_encodings_are_read_if_they_are_stated_and_else_told(tmp_path):
    rows = "file_name,text\na.png,caf\u00e9\n"
    (tmp_path / "c.csv").write_text(rows, "utf-16")
    assert read_captions(tmp_path / "c.csv") == [("a.png", "caf\u00e9")]
    (tmp_path / "c.csv").write_text(rows, "latin-1")
    with pytest.raises(InputError, match=r"cannot be read \(it is not in UTF-8: convert it\)"):
        read_captions(tmp_path / "c.csv")
    (tmp_path / "a.txt").write_text("caf\u00e9", "utf-16")
    files = Files(["a.png"], texts=["a.txt"])
    assert captions_of(tmp_path, files, None) == {"a.png": ["caf\u00e9"]} and not files.notes
    (tmp_path / "a.txt").write_text("caf\u00e9", "latin-1")
    assert captions_of(tmp_path, files, None) is None
    assert files.notes == ["not read as captions, since they are not in UTF-8: a.txt"]


@pytest.mark.parametrize("name", ["{folder}/sub/b.png", "sub/b", "sub\\b.png", "./sub/../sub/b.png"])
def test_images_may_be_named_in_several_ways(tmp_path, name):
    (tmp_path / "captions.csv").write_text(f"file_name,text\n{name.format(folder=tmp_path)},a dog\n")
    files = Files(["sub/b.png", "c.png", "c.jpg"], texts=["captions.csv"])
    assert captions_of(tmp_path, files, None) == {"sub/b.png": ["a dog"]} and not files.unmatched_captions


def test_a_text_with_a_header_is_a_table(tmp_path):
    (tmp_path / "captions.txt").write_text(FORMS["captions.txt"])
    for around in ("", "Images/"):  # names may be relative to the folder that has all images
        images = [f"{around}a.png", f"{around}sub/b.png"]
        captions = captions_of(tmp_path, Files(images, texts=["captions.txt"]), None)
        assert captions == {images[0]: ["a cat"], images[1]: ["a dog"]}


def test_a_table_outside_of_the_folder_names_images_relative_to_its_own(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "rows.csv").write_text("image,caption\nimages/a.png,a cat\nb.png,a dog\n")
    files = Files(["a.png", "b.png"])
    captions = captions_of(tmp_path / "images", files, tmp_path / "rows.csv")
    assert captions == {"a.png": ["a cat"], "b.png": ["a dog"]} and not files.unmatched_captions


def test_the_texts_of_another_tool_are_captions_too(tmp_path):
    (tmp_path / "a.caption").write_text("a cat")
    assert captions_of(tmp_path, Files(["a.png"], texts=["a.caption"]), None) == {"a.png": ["a cat"]}


@pytest.mark.parametrize(
    ("file", "text", "note"),
    [
        ("metadata.csv", "file_name,size\na.png,3\n", "metadata.csv is not read: no row has a caption ("),
        ("labels.csv", "filename,label\na.png,cat\n", "not read: labels.csv; --captions FILE reads"),
        ("metadata.parquet", "PAR1", "not read: metadata.parquet; --captions FILE reads"),
        ("x.token.txt", "a.png#0\ta cat\n", "not read, although they name images: x.token.txt"),
        ("captions.txt", "/data/a.png 3\n", "not read, although they name images: captions.txt"),
        ("texts/a.txt", "a cat", "not read as captions, since they are not beside their images: texts/a.txt"),
    ],
)
def test_what_is_not_read_is_told(tmp_path, file, text, note):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    files = Files(["a.png", "b.png", "c.png"] if "name images" in note else ["a.png"], texts=[file])
    assert captions_of(tmp_path, files, None) is None
    assert len(files.notes) == 1 and files.notes[0].startswith(note)


def test_a_table_that_is_asked_for_has_captions(tmp_path):
    (tmp_path / "c.csv").write_text("file_name,text\na.png\n")
    with pytest.raises(InputError, match=r"c\.csv cannot be read \(no row has a caption .*; accepted: "):
        captions_of(tmp_path, Files(["a.png"]), "c.csv")


def test_what_describes_an_image_for_another_tool_is_not_told(tmp_path):
    files = Files(["a.png"], texts=["a.json", "README.txt", "LICENSE.txt"])
    files.paths += [f"{i}.png" for i in range(8)]
    assert captions_of(tmp_path, files, None) is None and not files.notes


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
