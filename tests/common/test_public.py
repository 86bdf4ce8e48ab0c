"""No credential and no folder of this machine is stored or published."""

from __future__ import annotations

import traceback

import pytest

from components.common.errors import InputError, RunError
from components.common.public import public, public_errors, public_url, public_values
from components.store import Store

SECRET = "S3CR3T"
URLS = [
    f"ftp://user:{SECRET}@host/x",
    f"ftp://user:p@{SECRET}@host/x",
    f"ftp://user:{SECRET}/{SECRET}@host/x",
    f"ftp://user:{SECRET}?{SECRET}@host/x",
    f"ftp://user:{SECRET} {SECRET}'{SECRET}@host/x",
    f"ftp://{SECRET}@host/x",
    f"s3://{SECRET}@host/x",
    f"https://{SECRET}@host/x",
    f"https://host/services/T0/{SECRET}aaaaaaaaaaaaaaa/x",
    f"https://host/x?token={SECRET}&a=b",
    f"https://host/x#{SECRET}",
    f"https://user:{SECRET}@host:8080/x?sig={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_no_secret_of_a_url_is_shown(url: str) -> None:
    for text in (public_url(url), public(url), public(f"GET {url!r} failed: '{url}', store.url={url}")):
        assert SECRET not in text and "host" in text and "x" in text
    with pytest.raises(InputError) as caught:
        Store(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["abfs://container@account/x", "s3://bucket/a@b/c", "sftp://me@host/x", "http://host:80/a", "/a/b"],
)
def test_addresses_stay(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("failed; token=abc in /home/alice/secret", "failed; token=*** in secret"),
        ("/home/alice/mine.py:Net", "mine.py:Net"),
        ("'/data/a/b': no permission", "'b': no permission"),
        ("attempt/checkpoints/x could not be stored", "attempt/checkpoints/x could not be stored"),
        ("5.0 steps/s, 1/2", "5.0 steps/s, 1/2"),
        ("http://host:80/a/b and git@host:a/b", "http://host:80/a/b and git@host:a/b"),
        ("key=lr, http://host:80 at 3:00 by me@host", "key=lr, http://host:80 at 3:00 by me@host"),
        (
            "https://host/5e25aee9c1f2a3b4c5d6e7f8a9b0c1d2/a.bin",
            "https://host/5e25aee9c1f2a3b4c5d6e7f8a9b0c1d2/a.bin",
        ),
        ("signal=3, monkey=1, --token-size 3", "signal=3, monkey=1, --token-size 3"),
    ],
)
def test_sentences_are_kept_without_secrets_and_folders(text: str, output: str) -> None:
    assert public(text) == output


def test_values_of_the_environment_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", SECRET)
    assert public(f"said {SECRET}") == "said ***"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f'"token": "{SECRET}"',
        f"X-Api-Key: {SECRET}",
        f"Set-Cookie: a=b; session={SECRET}; c",
        f"bearer {SECRET}",
        f"git+https://{SECRET}@host/x",
        f"aws_secret_access_key = {SECRET}",
        f"AWS_SECRET_ACCESS_KEY: {SECRET}",
        f"password='{SECRET}'",
        f"password='a {SECRET}'",
        f"key='{SECRET}', secret = \"a {SECRET}\"",
        f"'token': 'a {SECRET}'",
        f"--password {SECRET}",
        f"AccountKey={SECRET};",
        f"sig={SECRET}&a=b",
        f"pwd={SECRET}",
        f"could not log in as user:{SECRET}@host:/x",
        f"file:/home/{SECRET}/x",
        f"PATH=/a/b:/home/{SECRET}/x",
        f"/home/{SECRET}/file",
        f"'/home/a {SECRET}/file': no permission",
        f'"/home/a {SECRET}/file" is full',
    ],
)
def test_headers_and_folders_are_no_part_of_it(text: str) -> None:
    assert SECRET not in public(text)
    assert SECRET not in str(public_values({"a": [text, {"b": text}], "n": 1}))


def test_folders_with_spaces_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert public_values({"url": f"/mnt/a {SECRET}/x"}) == {"url": "x"}
    monkeypatch.setenv("PWD", f"/mnt/a {SECRET}")
    assert public(f"/mnt/a {SECRET}/store/x is damaged") == "x is damaged"


def test_errors_are_raised_with_public_texts_and_causes() -> None:
    with pytest.raises(RunError) as caught, public_errors():
        try:
            raise OSError(2, "missing", f"/home/{SECRET}/x")
        except OSError as error:
            raise ValueError("a value") from error
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == "ValueError: a value"


def test_an_error_that_is_public_is_raised_as_it_is() -> None:
    error = KeyError("a")
    with pytest.raises(KeyError) as caught, public_errors():
        raise error
    assert caught.value is error
    with pytest.raises(InputError, match="^token=.*x"), public_errors():
        raise InputError("token=abc in /home/x")
