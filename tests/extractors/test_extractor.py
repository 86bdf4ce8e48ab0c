import numpy as np
import pytest
import torch

from components.common.errors import InputError
from components.data.dataset import open_split
from components.extractors.extractor import CHUNK, PIECE, chunks
from components.extractors.load import load_extractor
from components.extractors.preprocess import (
    check_images,
)
from components.extractors.small import train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train_extractor(*splits[:2], folder, "classifier", 32)
    return load_extractor(folder)


# Any extractor


def test_features_do_not_depend_on_how_images_are_cut(classifier, splits):
    images = splits[2].images[: 2 * CHUNK + 30]
    whole = classifier(images)
    assert whole.dtype == np.float32 and whole.shape == (len(images), classifier.dim)
    parts = [classifier(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(classifier(torch.from_numpy(images)), whole)
    np.testing.assert_allclose(classifier(images[17:60]), whole[17:60], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step", [1, 50, CHUNK, 2 * CHUNK + 2, 500])
def test_a_stream_gives_the_bits_of_the_whole(classifier, splits, step):
    images = splits[2].images[: 3 * CHUNK + 5]
    parts = classifier.stream(images[i : i + step] for i in range(0, len(images), step))
    np.testing.assert_array_equal(np.concatenate(list(parts)), classifier(images))
    assert list(classifier.stream([])) == []


def test_class_scores_do_not_depend_on_how_features_are_cut(classifier, splits):
    features = classifier(splits[2].images[:200])
    whole = classifier.logits_of(features)
    assert whole.shape == (200, 10) and whole.dtype == np.float32
    np.testing.assert_array_equal(classifier.logits_of(features[CHUNK:]), whole[CHUNK:])
    expected = classifier.network.head(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(classifier.logits(splits[2].images[:200]), whole)


def test_the_network_sees_full_chunks_in_its_range(classifier, splits, monkeypatch):
    calls = []
    monkeypatch.setattr(classifier.network, "forward", lambda x: calls.append(x) or torch.zeros(len(x), 64))
    images = np.concatenate([splits[2].images[: CHUNK + 9], np.full((1, 1, 8, 8), 255, np.uint8)])
    assert len(classifier(images)) == CHUNK + 10
    assert [len(x) for x in calls] == [CHUNK, CHUNK]
    assert min(float(x.min()) for x in calls) == -1 and max(float(x.max()) for x in calls) == 1
    assert calls[0].dtype == torch.float32 and calls[0].is_inference()


def test_judging_is_in_float32_whatever_surrounds_it(classifier, splits):
    images = splits[2].images[:10]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = classifier(images)
    np.testing.assert_array_equal(inside, classifier(images))


def test_chunks_are_padded_with_zeros():
    cut = list(chunks(np.ones((5, 2), np.float32), 4))
    assert [n for _, n in cut] == [4, 1] and [tuple(x.shape) for x, _ in cut] == [(4, 2), (4, 2)]
    assert float(cut[1][0].sum()) == 2
    assert CHUNK % PIECE == 0


def test_an_extractor_describes_itself(classifier):
    identity = classifier.identity
    assert identity.name == "classifier" and identity.hash == classifier.hash and len(identity.hash) == 64
    assert (identity.dim, identity.resize, identity.range) == (64, 8, "[-1, 1]")
    assert identity.preparation == "uint8 / 127.5 - 1, 1 channels, 8 pixels, float32"
    assert classifier.frechet_name == "frechet_distance" and classifier.classes == "own"


def test_bad_images_are_refused(classifier):
    good = np.zeros((9, 1, 8, 8), np.uint8)
    bad = {
        "no images": good[:0],
        "shape \\(8, 8\\)": good[0, 0],
        "NaN": np.full((9, 1, 8, 8), np.nan, np.float32),
        "float32; expected uint8": good.astype(np.float32),
        "RGB 8x8; the extractor accepts grey 8x8": np.repeat(good, 3, 1),
        "grey 16x16": np.zeros((9, 1, 16, 16), np.uint8),
    }
    for message, images in bad.items():
        with pytest.raises(InputError, match=message) as raised:
            classifier(images)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="4 channels; expected 1 .grey. or 3"):
        check_images(np.zeros((1, 4, 8, 8), np.uint8))
    with pytest.raises(InputError, match="grey 8x8; the extractor accepts RGB 8x8"):
        check_images(good, channels=3)
