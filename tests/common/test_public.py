"""No credential and no folder of this machine is stored or published."""

from __future__ import annotations

import pytest

from components.common.public import public, public_url
from components.store import Store

SECRET = "S3CR3T"
URLS = [
    f"ftp://user:{SECRET}@host/x",
    f"ftp://user:p@{SECRET}@host/x",
    f"ftp://user:{SECRET}/{SECRET}@host/x",
    f"ftp://user:{SECRET}?{SECRET}@host/x",
    f"https://{SECRET}@host/x",
    f"https://host/x?token={SECRET}&a=b",
    f"https://host/x#{SECRET}",
    f"https://user:{SECRET}@host:8080/x?sig={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_no_secret_of_a_url_is_shown(url: str) -> None:
    for shown in (public_url(url), public(url), public(f"GET {url!r} failed: '{url}', store.url={url}")):
        assert SECRET not in shown and "host" in shown and "x" in shown
    if "?" not in url and "#" not in url:
        assert SECRET not in Store(url).url and SECRET not in repr(Store(url))


@pytest.mark.parametrize(
    "url",
    ["abfs://container@account/x", "s3://bucket/a@b/c", "sftp://me@host/x", "http://host:80/a", "/a/b"],
)
def test_addresses_stay(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("failed; token=abc in /home/alice/secret", "failed; token=*** in secret"),
        ("/home/alice/mine.py:Net", "mine.py:Net"),
        ("'/data/a/b': no permission", "'b': no permission"),
        ("attempt/checkpoints/x could not be stored", "attempt/checkpoints/x could not be stored"),
        ("5.0 steps/s, 1/2", "5.0 steps/s, 1/2"),
    ],
)
def test_sentences_are_kept_without_secrets_and_folders(text: str, shown: str) -> None:
    assert public(text) == shown


def test_values_of_the_environment_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", SECRET)
    assert public(f"said {SECRET}") == "said ***"
