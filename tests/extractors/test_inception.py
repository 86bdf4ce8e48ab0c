"""Inception is the network that FID was defined with."""

import dataclasses
import http.client
import io
import json
import urllib.error

import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors import inception as inception_file
from components.extractors.extractor import PIECE
from components.extractors.files import extractor_hash
from components.extractors.inception import (
    INCEPTION_NAMES,
    adopt_inception,
    find_inception,
    inception_weights,
)
from components.extractors.load import load_extractor
from tests.extractors.test_make import put

CONFIG = {
    "name": "inception",
    "hash": extractor_hash("inception", "0" * 64, "", None),
    "weights_sha256": "0" * 64,
    "preparation": "",
}

FEW = 4  # images in the network at once, where 16 take seconds


def random_images(n, channels, edge, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, channels, edge, edge)).astype(np.uint8)


@pytest.fixture(scope="module")
def inception(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception_file, "INCEPTION_SHA256", digest(weights, "sha256"))
        adopt_inception(weights, folder)
        loaded = load_extractor(folder)
    assert loaded.chunk == PIECE
    return dataclasses.replace(loaded, chunk=FEW)


@pytest.fixture(scope="module")
def fidelity(weights):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(weights))


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize(("channels", "edge"), [(3, 32), (3, 40), (3, 299), (1, 28)])
def test_inception_is_that_of_torch_fidelity(inception, fidelity, channels, edge):
    images = random_images(2, channels, edge)
    theirs = [x.numpy() for x in fidelity(torch.from_numpy(images).expand(-1, 3, -1, -1))]
    ours = inception(images)
    close(ours, theirs[0])
    close(inception.logits_of(ours), theirs[1])


def test_inception_is_that_of_torchmetrics(inception, weights):
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights), antialias=False)
    images = random_images(2, 3, 32)
    close(inception(images), network(torch.from_numpy(images)).numpy())


def test_inception_does_not_depend_on_how_images_are_cut(inception):
    images = random_images(FEW + 3, 3, 32)
    whole = inception(images)
    np.testing.assert_array_equal(inception(images[FEW:]), whole[FEW:])
    close(inception(images[1:5]), whole[1:5])


def test_only_inception_gives_fid(inception):
    assert inception.frechet_name == "fid" and inception.classes == "imagenet"
    assert inception.identity.resize == 299 and "TensorFlow 1" in inception.identity.preparation
    assert (inception.dim, inception.range) == (2048, "[-1, 1)")


def test_inception_weights_are_verified_again_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "inception-2015-12-05.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="is not that of the 2015-12-05"):
        load_extractor(tmp_path)


def test_no_code_in_inception_weights_is_run(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code in the weights was run",))

    torch.save({"x": Trap()}, tmp_path / "inception-2015-12-05.pth")
    sha256 = digest(tmp_path / "inception-2015-12-05.pth", "sha256")
    monkeypatch.setattr(inception_file, "INCEPTION_SHA256", sha256)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(Exception, match="[Ww]eights"):
        load_extractor(tmp_path)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty places to look in, no network, and `weights` in place of those of 2015."""
    monkeypatch.delenv("ATELIER_INCEPTION", raising=False)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(inception_file.urllib.request, "urlopen", unreachable)
    known = tmp_path / "known.pth"
    known.write_bytes(b"weights")
    monkeypatch.setattr(inception_file, "INCEPTION_SHA256", digest(known, "sha256"))
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
    told = str(raised.value)
    assert "evaluate.inception_path" in told and "ATELIER_INCEPTION" in told and "no route to host" in told
    for folder in ("cache/atelier/weights", "cache", "hub/checkpoints"):
        assert str(places / folder) in told
    assert "\n" not in told and not list(places.rglob(".tmp-*"))


def test_a_download_is_kept_for_the_next_time(places, monkeypatch):
    asked = []

    def answer(url, timeout):
        asked.append((url, timeout))
        return io.BytesIO(b"weights")

    monkeypatch.setattr(inception_file.urllib.request, "urlopen", answer)
    config = adopt_inception(None, places / "out")
    assert asked == [(inception_file.INCEPTION_URL, inception_file.SECONDS)]
    assert (places / "out" / "inception-2015-12-05.pth").read_bytes() == b"weights"
    assert config.weights_sha256 == inception_file.INCEPTION_SHA256 and config.name == "inception"
    adopt_inception(None, places / "again")
    assert len(asked) == 1


@pytest.mark.parametrize("content", [b"<html>log in first</html>", b""])
def test_a_wrong_download_is_never_in_the_cache(places, monkeypatch, content):
    monkeypatch.setattr(inception_file.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content))
    with pytest.raises(InputError, match="is not the file of the 2015-12-05 weights") as raised:
        adopt_inception(None, places / "out")
    assert "\n" not in str(raised.value) and not any((places / "cache").rglob("*.pth"))
    assert not list(places.rglob(".tmp-*"))


def test_an_interrupted_download_leaves_nothing(places, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, *size):
            raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(inception_file.urllib.request, "urlopen", lambda url, timeout: Broken())
    with pytest.raises(InputError, match="cannot be downloaded"):
        inception_weights(None)
    assert not [p for p in (places / "cache").rglob("*") if p.is_file()]
