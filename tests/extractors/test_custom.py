"""A network of one's own as an extractor."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from components.common.errors import InputError
from components.common.hashing import digest
from components.config.evaluate import Evaluate
from components.extractors.custom import adopt_custom
from components.extractors.kinds import expected as named
from components.extractors.load import load_extractor
from components.extractors.make import make
from components.records.extractor import ExpectedExtractor
from tests.extractors.test_kinds import SOURCE, custom
from tests.extractors.test_make import put


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text(SOURCE)
    torch.manual_seed(1)
    linear = nn.Linear(3, 5)
    save_file({f"matrix.{k}": v for k, v in linear.state_dict().items()}, tmp_path / "mine.safetensors")
    return tmp_path


def adopted(project, **changes):
    adopt_custom(custom(project, **changes).model_dump(), project / "out")
    return load_extractor(project / "out", named("custom", custom(project, **changes).model_dump()))


def again(project, extractor):
    """The same extractor, loaded by a plan that names it."""
    return load_extractor(project / "out", ExpectedExtractor(extractor.name, extractor.hash))


def images(n=3):
    return np.random.RandomState(0).randint(0, 256, (n, 3, 16, 16)).astype(np.uint8)


def expected(project, pixels):
    from safetensors.torch import load_file

    state = load_file(project / "mine.safetensors")
    x = (torch.from_numpy(pixels).float() / 255).mean((2, 3))
    x = (x - torch.tensor([0.5, 0.25, 0.5])) / torch.tensor([0.5, 0.5, 1.0])
    return (x @ state["matrix.weight"].T + state["matrix.bias"]).numpy()


def test_a_network_of_a_file_is_plugged_in(project):
    settings = Evaluate(extractor="custom", custom=custom(project))
    config = make("custom", settings, None, None, project / "out")
    assert named("custom", custom(project).model_dump()) == (config.name, config.hash)
    extractor = again(project, config)
    np.testing.assert_allclose(extractor(images()), expected(project, images()), atol=1e-5)
    assert extractor.name == "custom:colours" and extractor.frechet_name == "frechet_distance"
    assert (extractor.dim, extractor.resize, extractor.range) == (5, 16, "[-1, 1.5]")
    assert "(x / 255 - [0.5 0.25 0.5]) / [0.5 0.5 1]" in extractor.identity.preparation
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
    assert extractor.config.recipe["source_sha256"] == digest(package / "nets.py", "sha256")


def test_the_weights_are_copied(project):
    first = adopted(project)
    (project / "mine.safetensors").unlink()
    assert again(project, first).hash == first.hash


def test_torchscript_is_plugged_in(project):
    torch.jit.script(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())).save(str(project / "mine.pt"))
    sha256 = digest(project / "mine.pt", "sha256")
    script = {"network": None, "torchscript": True, "weights": "mine.pt", "sha256": sha256, "dim": 12}
    extractor = adopted(project, **script)
    assert extractor(images()).shape == (3, 12) and (project / "out" / "model.pt").is_file()
    (project / "out" / "model.pt").write_bytes(b"tampered")
    with pytest.raises(InputError, match="changed since it was saved"):
        again(project, extractor)
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
    extractor = adopted(project)
    (project / "mine.py").write_text(SOURCE + "\nraise RuntimeError('imported')\n")
    with pytest.raises(InputError, match=r"mine.py:Colours: its source has changed since .*'custom:colours'"):
        again(project, extractor)


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
