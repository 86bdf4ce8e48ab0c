"""Weights of pre-trained networks are looked for in order, and verified."""

import http.client
import io
import urllib.error
from pathlib import Path

import pytest
import torch

from components.common.errors import InputError
from components.common.hashing import digest, sha256
from components.config.evaluate import Evaluate
from components.extractors import pretrained
from components.extractors.inception import adopt_inception
from components.extractors.make import make
from components.extractors.pretrained import (
    ALEXNET_NAME,
    INCEPTION_NAMES,
    find_inception,
    inception_weights,
    lpips_trunk,
)
from tests.extractors.test_make import put


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty places to look in, no network, and `weights` in place of those of 2015."""
    monkeypatch.delenv("ATELIER_INCEPTION", raising=False)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pretrained, "hub_folder", lambda: tmp_path / "hub" / "checkpoints")
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", unreachable)
    weights = tmp_path / "known.pth"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(pretrained, "INCEPTION_SHA256", digest(weights, "sha256"))
    return tmp_path


def unreachable(url, timeout):
    raise urllib.error.URLError("no route to host")


def test_inception_is_looked_for_in_order(places, monkeypatch):
    assert find_inception(None) is None
    for folder in ("hub/checkpoints", "cache", "cache/atelier/weights"):
        for name in reversed(INCEPTION_NAMES):
            file = put(places / folder / name)
            assert find_inception(None) == inception_weights(None) == file
    named = put(places / "variable.pth")
    monkeypatch.setenv("ATELIER_INCEPTION", str(named))
    assert find_inception(None) == named
    assert find_inception(str(places / "config.pth")) == places / "config.pth"
    assert find_inception("models/mine.pth") == (places / "home" / "models" / "mine.pth").resolve()


def test_a_named_file_that_is_missing_is_not_replaced_by_another(places, monkeypatch):
    put(places / "cache" / INCEPTION_NAMES[0])
    with pytest.raises(InputError, match="missing.pth: no such file"):
        adopt_inception(places / "missing.pth", places / "out")
    monkeypatch.setenv("ATELIER_INCEPTION", str(places / "gone.pth"))
    with pytest.raises(InputError, match="gone.pth: no such file"):
        adopt_inception(None, places / "out")
    assert not (places / "out").exists()


def test_without_a_network_all_places_are_named(places):
    with pytest.raises(InputError) as raised:
        adopt_inception(None, places / "out")
    message = str(raised.value)
    assert (
        "evaluate.inception_path" in message
        and "ATELIER_INCEPTION" in message
        and "no route to host" in message
    )
    for folder in ("cache/atelier/weights", "cache", "hub/checkpoints"):
        assert str(places / folder) in message
    assert "\n" not in message and not list(places.rglob(".tmp-*"))


def test_a_download_is_kept_for_the_next_time(places, monkeypatch):
    asked = []

    def answer(url, timeout):
        asked.append((url, timeout))
        return io.BytesIO(b"weights")

    monkeypatch.setattr(pretrained.urllib.request, "urlopen", answer)
    config = adopt_inception(None, places / "out")
    assert asked == [(pretrained.INCEPTION_URL, pretrained.SECONDS)]
    assert (places / "out" / "inception-2015-12-05.pth").read_bytes() == b"weights"
    assert config.weights_sha256 == pretrained.INCEPTION_SHA256 and config.name == "inception"
    adopt_inception(None, places / "again")
    assert len(asked) == 1


@pytest.mark.parametrize("content", [b"<html>log in first</html>", b""])
def test_a_wrong_download_is_never_in_the_cache(places, monkeypatch, content):
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content))
    with pytest.raises(InputError, match="is not the file of the 2015-12-05 weights") as raised:
        adopt_inception(None, places / "out")
    assert "\n" not in str(raised.value) and not any((places / "cache").rglob("*.pth"))
    assert not list(places.rglob(".tmp-*"))


def test_an_interrupted_download_leaves_nothing(places, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, *size):
            raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda url, timeout: Broken())
    with pytest.raises(InputError, match="cannot be downloaded"):
        inception_weights(None)
    assert not [p for p in (places / "cache").rglob("*") if p.is_file()]


def test_only_the_weights_of_2015_are_inception(places):
    other = put(places / "inception_v3_google-0cc3c7bd.pth", b"other weights")
    with pytest.raises(InputError, match="is not that of the 2015-12-05 Inception weights") as raised:
        adopt_inception(other, places / "out")
    assert "\n" not in str(raised.value) and not (places / "out").exists()
    put(places / "cache" / INCEPTION_NAMES[1], b"other weights")
    with pytest.raises(InputError, match="is not that of the 2015-12-05 Inception weights"):
        make("inception", Evaluate(extractor="inception"), None, None, places / "out")


def test_the_path_of_the_config_is_used(places):
    settings = Evaluate(extractor="inception", inception_path=str(places / "known.pth"))
    make("inception", settings, None, None, places / "out")
    assert (places / "out" / "config.json").is_file()


def test_the_trunk_is_looked_for_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "ALEXNET_SHA256", sha256(b"weights"))
    monkeypatch.delenv("ATELIER_ALEXNET", raising=False)
    monkeypatch.setattr(pretrained, "hub_folder", lambda: tmp_path / "hub" / "checkpoints")
    assert lpips_trunk(None) is None
    places = [
        tmp_path / "hub" / "checkpoints" / ALEXNET_NAME,
        tmp_path / "variable.pth",
        tmp_path / "named.pth",
    ]
    for place in places:
        put(place)
    assert lpips_trunk(None) == places[0]
    monkeypatch.setenv("ATELIER_ALEXNET", str(places[1]))
    assert lpips_trunk(None) == places[1]
    assert lpips_trunk(str(places[2])) == places[2]
    with pytest.raises(InputError, match="gone.pth: no such file; LPIPS needs torchvision's alexnet"):
        lpips_trunk(str(tmp_path / "gone.pth"))


@pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "~/other"}, {"TORCH_HOME": "/models"}])
def test_the_folder_of_torch_hub_is_that_of_torch(monkeypatch, variables):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert pretrained.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
