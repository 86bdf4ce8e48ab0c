import numpy as np
import pytest
import torch
import torchvision
from torchmetrics.functional.image import lpips as torchmetrics_lpips

from components.common.errors import InputError
from components.common.hashing import digest
from components.extractors import lpips as extractors_lpips
from components.extractors import pretrained
from components.extractors.lpips import SMALLEST, Lpips
from components.extractors.pretrained import checked_alexnet, lpips_trunk


@pytest.fixture(scope="module")
def alexnet():
    """AlexNet's convolutions with random weights; its three large linear layers are not needed."""
    torch.manual_seed(0)
    layers = torch.nn.Module()
    with torch.device("meta"):
        shapes = torchvision.models.AlexNet().features
    layers.features = shapes.to_empty(device="cpu")
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return layers


@pytest.fixture(scope="module")
def saved(alexnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("trunk") / "random.pth"
    torch.save(alexnet.state_dict(), path)
    return path


@pytest.fixture
def trunk(saved, monkeypatch):
    """The random weights pass for torchvision's."""
    monkeypatch.setattr(pretrained, "ALEXNET_SHA256", digest(saved, "sha256")[:8])
    return saved


@pytest.fixture(scope="module")
def lpips(saved):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "ALEXNET_SHA256", digest(saved, "sha256")[:8])
        return Lpips(saved)


def pair(n, channels=3, edge=64):
    random = np.random.RandomState(0)
    return (random.randint(0, 256, (n, channels, edge, edge)).astype(np.uint8) for _ in range(2))


@pytest.mark.parametrize("edge", [SMALLEST, 64])
def test_it_is_that_of_torchmetrics(lpips, alexnet, monkeypatch, edge):
    monkeypatch.setattr(
        torchmetrics_lpips, "_get_tv_model_features", lambda net, pretrained=False: alexnet.features
    )
    a, b = pair(3, edge=edge)
    x, y = (torch.from_numpy(images).float() / 127.5 - 1 for images in (a, b))
    expected = torchmetrics_lpips.learned_perceptual_image_patch_similarity(
        x, y, net_type="alex", reduction="none"
    )
    ours = lpips(a, b)
    assert ours.dtype == np.float64 and ours.shape == (3,) and (ours > 0).all()
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_equal_images_are_at_zero_and_order_does_not_matter(lpips):
    a, b = pair(2)
    assert (lpips(a, a) == 0).all()
    np.testing.assert_allclose(lpips(a, b), lpips(b, a), rtol=1e-6)


def test_more_noise_is_farther(lpips):
    image = np.full((1, 3, 64, 64), 128, np.uint8)
    noise = np.random.RandomState(0).standard_normal(image.shape)
    noisy = [np.clip(image + strength * noise, 0, 255).astype(np.uint8) for strength in (5, 20, 60)]
    distances = [float(lpips(image, other)[0]) for other in noisy]
    assert distances == sorted(distances) and distances[0] > 0


def test_distances_do_not_depend_on_how_images_are_cut(lpips):
    a, b = pair(70, edge=32)
    whole = lpips(a, b)
    assert whole.shape == (70,)
    np.testing.assert_array_equal(lpips(a[64:], b[64:]), whole[64:])


def test_grey_is_repeated(lpips):
    a, b = pair(2, channels=1)
    np.testing.assert_array_equal(lpips(a, b), lpips(np.repeat(a, 3, 1), np.repeat(b, 3, 1)))


def test_small_images_are_refused(lpips):
    a, b = pair(1, edge=SMALLEST - 1)
    with pytest.raises(InputError, match="at least 31 pixels; these are 30x30"):
        lpips(a, b)
    with pytest.raises(RuntimeError):  # so SMALLEST is the smallest
        lpips._distances(torch.from_numpy(a), torch.from_numpy(b))


def test_the_hash_names_trunk_and_preparation(lpips, trunk, monkeypatch):
    assert len(lpips.hash) == 64 and Lpips(trunk).hash == lpips.hash
    monkeypatch.setattr(extractors_lpips, "PREPARATION", "other")
    assert Lpips(trunk).hash != lpips.hash


def test_loading_leaves_the_random_state_alone(trunk):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Lpips(trunk)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_file_is_refused_before_it_is_loaded(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded an unverified file"))
    with pytest.raises(InputError, match="is not that of torchvision's alexnet-owt-7be5be79.pth") as raised:
        lpips_trunk(str(saved))
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="is not that of torchvision's"):
        checked_alexnet(saved)
