"""Names in a store, whatever somebody writes."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from components.common.errors import InputError
from components.store.urls import confined, normalised

HOSTILE = "./\\ *?[]#~:%a\x00\x1f\x7f\n é"
ROOT = "/stores/one"


@given(some.text(HOSTILE) | some.text())
@example("../two")
@example("a/../../two")
@example("/etc/passwd")
@example("a//b")
@example("a/.")
def test_a_name_is_refused_or_stays_as_it_is_below_the_store(rel: str) -> None:
    try:
        name = confined(rel)
    except InputError:
        return
    path = os.path.normpath(f"{ROOT}/{name}")
    assert name == rel and path == f"{ROOT}/{name}" and os.path.commonpath([ROOT, path]) == ROOT != path


@given(some.lists(some.text("abc019-_ .é@:%~+", min_size=1).filter(lambda s: s.strip(".")), min_size=1))
def test_ordinary_names_are_accepted(segments: list[str]) -> None:
    assert confined("/".join(segments)) == "/".join(segments)


@given(some.text(HOSTILE) | some.text(), some.sampled_from(["", "file://", "local://"]))
def test_a_local_url_is_refused_or_becomes_an_absolute_path_once_and_for_all(rest: str, scheme: str) -> None:
    try:
        path, protocol = normalised(scheme + rest)
    except InputError:
        return
    if protocol == "file":
        assert os.path.isabs(path) and normalised(path) == (path, "file")


@pytest.mark.parametrize("url", ["s3://key:secret@host/bucket", "s3://", "a::b://c", "s3://bucket/*", " "])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        normalised(url)
