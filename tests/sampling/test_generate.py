import numpy as np
import pytest
import torch
from torch import nn

from components.common.errors import InputError, RunError
from components.common.seeds import seed_of
from components.sampling.generate import draw, generate, labels_for
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise

CARD = DataSpec(channels=1, resolution=8, num_classes=10)


class Toy(Generator):
    """Noise through two layers and a BatchNorm, shifted by whatever the batch carries."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(16, 64), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 64), nn.Tanh()
        )
        self.seen: list[Batch] = []

    def sample(self, batch: Batch, noise: Noise) -> torch.Tensor:
        assert not torch.is_grad_enabled() and not self.net.training
        self.seen.append(batch)
        x = self.net(noise(16)).reshape(-1, 1, 8, 8)
        return x if batch.image is None else batch.image


@pytest.fixture
def toy():
    return Toy()


def test_images_do_not_depend_on_how_the_work_is_cut(toy):
    whole = draw(toy, CARD, n=150, seed=3)
    assert whole.dtype == np.uint8 and whole.shape == (150, 1, 8, 8) and whole.std() > 10
    parts = [draw(toy, CARD, n=n, seed=3, start=start) for start, n in ((0, 1), (1, 63), (64, 70), (134, 16))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(draw(toy, CARD, n=300, seed=3)[:150], whole)
    for batch in (7, 32, 200):
        other = draw(toy, CARD, n=150, seed=3, batch=batch)
        assert np.abs(other.astype(int) - whole).max() <= 1 and (other != whole).mean() < 1e-3


class ByPosition(Generator):
    """What no generator should be, and floats sometimes are: dependent on the row of the batch."""

    def sample(self, batch: Batch, noise: Noise) -> torch.Tensor:
        return torch.linspace(-1, 1, len(noise)).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8)


def test_an_image_is_always_in_the_same_row_of_its_chunk():
    whole = draw(ByPosition(), CARD, n=150, seed=0)
    assert len(np.unique(whole)) == 64
    for start, n in ((0, 5), (63, 2), (70, 80)):
        np.testing.assert_array_equal(
            draw(ByPosition(), CARD, n=n, seed=0, start=start), whole[start : start + n]
        )


def test_ranks_that_share_the_work_draw_the_same_images(toy):
    whole = draw(toy, CARD, n=128, seed=3)
    ranks = [draw(toy, CARD, n=64, seed=3, start=64 * rank) for rank in range(2)]
    np.testing.assert_array_equal(np.concatenate(ranks), whole)


def test_seeds_give_different_images_and_come_back(toy):
    one, again, other = (draw(toy, CARD, n=8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.9
    assert len({seed_of(seed, i) for seed in range(20) for i in range(20)}) == 400


def test_the_generator_keeps_its_modes(toy):
    toy.train()
    toy.net[1].eval()
    for _ in generate(toy, CARD, n=100, seed=0):
        assert toy.training and toy.net[2].training and not toy.net[1].training and torch.is_grad_enabled()
    assert toy.training and not toy.net[1].training


def test_labels_follow_the_data_and_belong_to_the_image(toy):
    counts = [10, 0, 30, 60]
    labels = labels_for(np.arange(4000), counts, seed=5)
    shares = np.bincount(labels, minlength=4) / 4000
    np.testing.assert_allclose(shares, np.array(counts) / 100, atol=0.03)
    assert shares[1] == 0 and labels.dtype == np.int64
    np.testing.assert_array_equal(labels_for([7, 99], counts, seed=5), labels[[7, 99]])
    draw(toy, CARD, n=64, seed=5, labels="data", counts=counts)
    np.testing.assert_array_equal(toy.seen[0].label.numpy(), labels[:64])


def test_labels_can_be_given(toy):
    draw(toy, CARD, n=70, seed=0, labels=np.arange(70) % 10, batch=32)
    np.testing.assert_array_equal(torch.cat([b.label for b in toy.seen])[:70].numpy(), np.arange(70) % 10)
    toy.seen.clear()
    draw(toy, CARD, n=3, seed=0, labels=4)
    assert set(toy.seen[0].label.tolist()) == {4}
    with pytest.raises(InputError, match="label 10 was requested; the data set has classes 0 to 9"):
        draw(toy, CARD, n=3, seed=0, labels=10)


def test_reconstructions_belong_to_their_originals(toy):
    originals = np.random.RandomState(0).randint(0, 256, (100, 1, 8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(draw(toy, CARD, n=100, seed=0, images=originals), originals)
    np.testing.assert_array_equal(draw(toy, CARD, n=10, start=40, seed=0, images=originals), originals[40:50])
    with pytest.raises(InputError, match="only 100 images to make them from"):
        draw(toy, CARD, n=101, seed=0, images=originals)


def test_a_diverged_generator_is_named(toy):
    toy.net[3].weight.data[:] = np.nan
    with pytest.raises(RunError, match="NaN or infinite pixels, first in image 0"):
        draw(toy, CARD, n=8, seed=0)
    with pytest.raises(RunError, match="images of shape"):
        draw(Toy(), DataSpec(3, 8), n=8, seed=0)
