import io
import json

import numpy as np
import pytest
import torch
from torch import nn

from components.common import hashing
from components.common.errors import InputError
from components.data.dataset import open_split
from components.extractors import inception as extractors_inception
from components.extractors.efficientnet import adopt_efficientnet
from components.extractors.extractor import CHUNK, PIECE, chunks
from components.extractors.inception import adopt_inception
from components.extractors.load import load_extractor
from components.extractors.preprocess import (
    check_images,
    prepare_custom,
    prepare_efficientnet,
    prepare_own,
    tensorflow_resize,
)
from components.extractors.small import train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    train_extractor(*splits[:2], folder, "classifier", 2)
    return load_extractor(folder)


def random_images(n, channels, edge, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, channels, edge, edge)).astype(np.uint8)


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
    seen = classifier(splits[2].images[:200])
    whole = classifier.logits_of(seen)
    assert whole.shape == (200, 10) and whole.dtype == np.float32
    np.testing.assert_array_equal(classifier.logits_of(seen[CHUNK:]), whole[CHUNK:])
    expected = classifier.network.head(torch.from_numpy(seen)).detach().numpy()
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(classifier.logits(splits[2].images[:200]), whole)


def test_the_network_sees_full_chunks_in_its_range(classifier, splits, monkeypatch):
    seen = []
    monkeypatch.setattr(classifier.network, "forward", lambda x: seen.append(x) or torch.zeros(len(x), 64))
    images = np.concatenate([splits[2].images[: CHUNK + 9], np.full((1, 1, 8, 8), 255, np.uint8)])
    assert len(classifier(images)) == CHUNK + 10
    assert [len(x) for x in seen] == [CHUNK, CHUNK]
    assert min(float(x.min()) for x in seen) == -1 and max(float(x.max()) for x in seen) == 1
    assert seen[0].dtype == torch.float32 and seen[0].is_inference()


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
    told = classifier.described
    assert told["name"] == "classifier" and told["hash"] == classifier.hash and len(told["hash"]) == 64
    assert (told["dim"], told["resize"], told["range"]) == (64, 8, "[-1, 1]")
    assert told["preparation"] == "uint8 / 127.5 - 1, 1 channels, 8 pixels, float32"
    assert classifier.frechet_name == "frechet_distance" and classifier.classes == "own"


def test_loading_leaves_the_random_state_alone(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_extractor(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_changed_weights_are_refused(splits, tmp_path):
    train_extractor(*splits[:2], tmp_path, "classifier", 1)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)
    with pytest.raises(InputError, match="no extractor here"):
        load_extractor(tmp_path / "nowhere")


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


# How images are prepared


def test_own_preparation_reduces_but_never_enlarges():
    images = torch.from_numpy(random_images(2, 1, 96))
    small = prepare_own(images, 64)
    assert small.shape == (2, 1, 64, 64) and float(small.std()) < float((images / 127.5).std())
    assert torch.equal(prepare_own(images, 96), images.float() / 127.5 - 1)


def test_tensorflow_resize_reads_at_corners():
    x = torch.tensor([[0.0, 10.0, 20.0, 30.0]]).expand(4, 4)[None, None]
    np.testing.assert_allclose(tensorflow_resize(x, 8)[0, 0, 0], [0, 5, 10, 15, 20, 25, 30, 30])
    np.testing.assert_allclose(tensorflow_resize(x.mT, 8)[0, 0, :, 3], [0, 5, 10, 15, 20, 25, 30, 30])
    assert torch.equal(tensorflow_resize(x, 2)[0, 0, 0], torch.tensor([0.0, 20.0]))  # without antialiasing


@pytest.mark.parametrize("edge", [1, 32, 40, 299, 400])
def test_tensorflow_resize_is_that_of_torch_fidelity(edge):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    x = torch.from_numpy(random_images(1, 3, edge)).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    np.testing.assert_allclose(tensorflow_resize(x, 299), expected, atol=1e-3)


def test_custom_preparation_has_a_mean_for_each_channel():
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    x = prepare_custom(white, 8, [0.0, 0.5, 1.0], [1.0, 0.5, 2.0])
    assert x.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(x[0, :, 0, 0], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(prepare_custom(white, 4, [0.5], [0.25]), 2.0)


@pytest.mark.parametrize(("edge", "seen"), [(8, 96), (96, 96), (97, 128), (224, 224), (300, 224)])
def test_efficientnet_sees_multiples_of_32(edge, seen):
    x = prepare_efficientnet(torch.full((1, 1, edge, edge), 255, dtype=torch.uint8))
    assert x.shape == (1, 3, seen, seen)
    np.testing.assert_allclose(x, 1.0, atol=1e-5)


# Inception, with random weights of the right shape


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Blank(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            assert state == {}

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    torch.manual_seed(0)
    network = Blank("inception-v3-compat", ["2048"], nothing)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def known(weights, monkeypatch):
    """The random weights pass for those of 2015."""
    monkeypatch.setattr(extractors_inception, "INCEPTION_SHA256", hashing.digest(weights, "sha256"))
    return weights


@pytest.fixture(scope="module")
def inception(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractors_inception, "INCEPTION_SHA256", hashing.digest(weights, "sha256"))
        adopt_inception(weights, folder)
        return load_extractor(folder)


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
    images = random_images(PIECE + 3, 3, 32)
    whole = inception(images)
    np.testing.assert_array_equal(inception(images[PIECE:]), whole[PIECE:])
    close(inception(images[5:12]), whole[5:12])


def test_only_inception_gives_fid(inception):
    assert inception.frechet_name == "fid" and inception.classes == "imagenet"
    assert inception.described["resize"] == 299 and "TensorFlow 1" in inception.described["preparation"]
    assert (inception.dim, inception.range) == (2048, "[-1, 1)")


def test_inception_weights_are_verified_again_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"name": "inception", "hash": "0" * 64}))
    (tmp_path / "inception-2015-12-05.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="is not that of the 2015-12-05"):
        load_extractor(tmp_path)


def test_no_code_in_inception_weights_is_run(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code in the weights was run",))

    torch.save({"x": Trap()}, tmp_path / "inception-2015-12-05.pth")
    sha256 = hashing.digest(tmp_path / "inception-2015-12-05.pth", "sha256")
    monkeypatch.setattr(extractors_inception, "INCEPTION_SHA256", sha256)
    (tmp_path / "config.json").write_text(json.dumps({"name": "inception", "hash": "0" * 64}))
    with pytest.raises(Exception, match="[Ww]eights"):
        load_extractor(tmp_path)


# EfficientNet-Lite0


@pytest.fixture(scope="module")
def efficientnet(tmp_path_factory):
    pytest.importorskip("efficientnet_lite_pytorch")
    folder = tmp_path_factory.mktemp("efficientnet")
    adopt_efficientnet(folder)
    return load_extractor(folder)


def test_efficientnet_gives_pooled_features(efficientnet):
    images = random_images(3, 3, 96)
    x = (torch.from_numpy(images).float() - 127) / 128
    with torch.no_grad():
        expected = efficientnet.network.network.extract_features(x).mean((2, 3)).numpy()
    close(efficientnet(images), expected)
    assert efficientnet.dim == expected.shape[1] == 1280
    assert efficientnet.classes is None and efficientnet.frechet_name == "frechet_distance"
    with pytest.raises(AssertionError, match="has no classes"):
        efficientnet.logits_of(expected)


def test_efficientnet_takes_grey_for_rgb(efficientnet):
    grey = random_images(2, 1, 32)
    close(efficientnet(grey), efficientnet(np.repeat(grey, 3, 1)))


def test_efficientnet_weights_are_verified_before_loading(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"name": "efficientnet", "hash": "0" * 64}))
    (tmp_path / "efficientnet-lite0.pth").write_bytes(b"tampered")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(tmp_path)
