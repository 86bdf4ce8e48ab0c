import numpy as np
import pytest
import scipy.ndimage
from scipy.spatial.distance import cdist

from components.metrics import distances
from components.metrics.distances import GROUPS, Estimate, jackknife
from components.metrics.image_pairs import ssim_values
from components.metrics.inception_score import inception_score
from components.metrics.intervals import mean_estimate, share
from components.metrics.manifold import (
    NEAR,
    Space,
    _neighbours,
    _radii,
    _share_of_rows,
    _space,
    closeness,
    manifold,
    memorised,
    nearest,
)


@pytest.fixture
def random():
    return np.random.RandomState(0)


def values(result):
    return {name: e.value for name, e in result.items()}


def kept(n):
    """Rows that are left without each group in turn."""
    return [np.arange(n) % GROUPS != g for g in range(GROUPS)]


# Precision, recall, density, coverage


def by_definition(real, fake):
    """Each measure from whole matrices of distances."""
    between = cdist(real, fake)

    def radius(x, k):
        return np.sort(cdist(x, x), axis=1)[:, k]  # the first is the row itself

    inside = between <= radius(real, 3)[:, None]
    within = between <= radius(fake, 3)
    wide = between <= radius(real, 5)[:, None]
    return {
        "precision": inside.any(0).mean(),
        "recall": within.any(1).mean(),
        "density": wide.sum() / (5 * len(fake)),
        "coverage": wide.any(1).mean(),
    }


def test_manifold_is_the_definition_and_its_replicates_too(random):
    real, fake = random.normal(size=(230, 6)), 0.8 * random.normal(size=(210, 6)) + 0.3
    result = manifold(real, fake)
    whole = by_definition(real, fake)
    parts = [by_definition(real[p], fake[q]) for p, q in zip(kept(230), kept(210), strict=True)]
    for name, estimate in result.items():
        expected = jackknife(whole[name], [part[name] for part in parts])
        assert 0.2 < whole[name] < 1.5 and expected.low < expected.high, "a case that proves something"
        assert estimate.value == pytest.approx(expected.value)
        if name == "density":
            assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
        else:
            n = len(fake) if name == "precision" else len(real)
            wilson = share(round(whole[name] * n), n)
            assert estimate.low == pytest.approx(max(0, min(expected.low, wilson.low)))
            assert estimate.high == pytest.approx(min(1, max(expected.high, wilson.high)))


def test_manifold_has_no_interval_of_few_rows(random):
    result = manifold(random.normal(size=(59, 3)), random.normal(size=(250, 3)))
    assert all(e.low is None and e.high is None for e in result.values())
    assert list(result) == ["precision", "recall", "density", "coverage"]


def test_no_more_than_the_papers_number_of_points_is_compared(random, monkeypatch):
    x, y = random.normal(size=(130, 4)), random.normal(size=(90, 4))
    monkeypatch.setattr("components.metrics.manifold.MAX_POINTS", 80)
    assert manifold(x, y) == manifold(x[:80], y[:80]) != manifold(x[:79], y[:79])


@pytest.mark.parametrize("copy", [False, True])
def test_identical_sets_agree_entirely(random, copy):
    """Each ball holds itself and its five neighbours: the last is on its edge, and must not fall off."""
    x = (50 + random.normal(size=(220, 7))).astype(np.float32)
    result = values(manifold(x, x.copy() if copy else x))
    assert result == {"precision": 1, "recall": 1, "density": pytest.approx(6 / 5), "coverage": 1}


def test_a_collapsed_generator_is_precise_and_recalls_nothing(random):
    real = random.normal(size=(300, 8))
    fake = real[:1] + 1e-3 * random.normal(size=(300, 8))
    result = manifold(real, fake)
    assert result["precision"].value == 1 and result["recall"].value < 0.02 and result["coverage"].value < 0.2
    swapped = values(manifold(fake, real))
    assert swapped["precision"] < 0.02 and swapped["recall"] == 1, "the sides must not be confused"


def test_noise_lowers_precision_and_a_lost_mode_recall(random):
    def draw(modes, noise=1.0):
        return noise * random.normal(size=(400, 4)) + 8 * random.randint(0, modes, size=(400, 1))

    real = draw(4)
    full, lost, noisy = (values(manifold(real, draw(*how))) for how in ((4,), (3,), (4, 3.0)))
    assert lost["recall"] < 0.85 * full["recall"] and lost["precision"] > 0.95 * full["precision"]
    assert noisy["precision"] < 0.6 * full["precision"]


def test_repeated_images_lower_coverage_more_the_fewer_they_are(random):
    real, fake = random.normal(size=(2, 400, 6))
    result = [manifold(real, np.resize(fake[:n], fake.shape))["coverage"].value for n in (400, 100, 25)]
    assert result[0] > 0.9 and result[0] > 1.3 * result[1] > 1.3 * 1.3 * result[2]


def test_ties_are_not_left_to_rounding(random, monkeypatch):
    """Blocks of odd shapes round the same distance differently; its edge must hold a point all the same."""
    x = 50 + random.normal(size=(220, 33))
    for rows in (7, 50):
        monkeypatch.setattr(distances, "BLOCK", rows)
        result = values(manifold(x, x[random.permutation(220)]))
        assert result == {"precision": 1, "recall": 1, "density": pytest.approx(6 / 5), "coverage": 1}


def test_the_first_of_copies_is_found_however_they_round(random):
    for d, n in [(d, n) for d in (301, 1000, 1001, 1003) for n in (5, 7, 11)]:
        x = 50 + random.normal(size=(n, d))
        assert nearest(x, np.concatenate([x] * 3))[0].tolist() == list(range(n))


def test_exact_copies_are_in_balls_of_radius_zero(random):
    """All balls have the radius 0, so rounding alone would decide."""
    points = (1e3 + random.normal(size=(40, 300))).astype(np.float32)
    real, fake = np.repeat(points, 6, axis=0), np.repeat(points[::-1], 6, axis=0)
    result = values(manifold(real, fake))
    assert result == {"precision": 1, "recall": 1, "density": pytest.approx(6 / 5), "coverage": 1}
    moved = fake * np.float32(1 + 1e-4)
    assert values(manifold(real, moved)) == dict.fromkeys(result, 0)


def test_a_share_of_all_is_not_certain(random):
    result = manifold(random.normal(size=(200, 2)), np.full((200, 2), 100.0))
    assert result["precision"].value == result["precision"].low == 0
    assert result["precision"].high == pytest.approx(share(0, 200).high)
    assert result["density"] == Estimate(0, 0, 0)


@pytest.mark.parametrize("rare", [True, False])
def test_the_interval_of_a_share_stays_within_zero_and_one(rare):
    """All that are unlike the others lie in one group, so that the jackknife's interval is wide."""
    marks = np.full((200, GROUPS + 1), not rare)
    marks[0:40:GROUPS] = rare
    marks[np.arange(200), np.arange(200) % GROUPS] = False  # without its group a row is not there
    result = _share_of_rows(marks, intervals=True)
    assert result.value == pytest.approx(0.02 if rare else 0.98)
    assert result.low == 0 if rare else result.high == 1


def test_a_group_that_holds_all_neighbours_leaves_the_farthest_kept(random):
    """Copies of one image at every tenth row: without their group no third neighbour is among those kept."""
    real = random.normal(size=(400, 2)) + 100
    real[::GROUPS] = 0
    real[2] = 3, 4
    near = _neighbours(real, _space(real, real))
    radii = _radii(near, 3, Space(real[0], 0.0))
    assert near[0].shape == (400, NEAR)
    assert radii[0, 0] == -np.inf and radii[0, 1] == radii[0, GROUPS] == 0
    assert radii[1, 0] == radii[1, GROUPS] > 0 and radii[1, 1] == -np.inf
    assert radii[2, 0] == radii[2, GROUPS] == pytest.approx(25), "all its neighbours are copies"


def test_manifold_and_nearest_do_not_depend_on_the_size_of_blocks(random, monkeypatch):
    x, y = (random.randint(0, 4, size=(2, 230, 5)) + 100).astype(np.float32)  # full of ties and copies
    whole, result = manifold(x, y), nearest(x, y)
    for rows in (7, 64):
        monkeypatch.setattr(distances, "BLOCK", rows)
        assert manifold(x, y) == whole
        for a, b in zip(nearest(x, y), result, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_mapped_features_give_the_same_bits(random, tmp_path):
    sides = random.normal(size=(2, 210, 4)).astype(np.float32)
    np.save(tmp_path / "features.npy", sides)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert manifold(*mapped) == manifold(*sides)
    assert inception_score(mapped[0]) == inception_score(sides[0])
    for a, b in zip(nearest(*mapped), nearest(*sides), strict=True):
        np.testing.assert_array_equal(a, b)


# Nearest neighbours


def test_nearest_is_the_nearest(random):
    x, y = random.normal(size=(50, 6)) + 1000, random.normal(size=(70, 6)) + 1000
    indices, result = nearest(x, y)
    np.testing.assert_array_equal(indices, cdist(x, y).argmin(1))
    np.testing.assert_allclose(result, cdist(x, y).min(1), rtol=1e-12)


def test_the_nearest_of_a_copy_is_at_zero_and_the_first_of_copies(random):
    y = (1e3 + random.normal(size=(60, 300))).astype(np.float32)
    indices, result = nearest(y[::-1], np.concatenate([y, y]))
    assert (result == 0).all() and indices.tolist() == list(range(59, -1, -1))
    same, result = nearest(y, y)
    assert (result == 0).all() and same.tolist() == list(range(60))


def test_closeness_is_what_one_real_image_in_a_hundred_reaches(random):
    held_out = random.uniform(1, 2, size=1000)
    threshold = closeness(held_out)
    assert threshold in held_out and (held_out <= threshold).sum() == 10
    assert closeness(held_out[:30]) == held_out[:30].min()
    assert (held_out <= closeness(held_out, 0.2)).sum() == 200


def test_memorised_counts_samples_that_are_too_close():
    result = memorised(np.array([0, 0.5, 0.5001, 2, 3, 4, 5, 6]), 0.5)
    assert result == share(2, 8) and result.value == 0.25


def test_a_generator_that_copies_is_found_out(random):
    train, held_out, honest = random.normal(size=(3, 300, 5))
    threshold = closeness(nearest(held_out, train)[1])
    copies = np.where(np.arange(300)[:, None] % 3 == 0, train + 1e-3, honest)
    assert memorised(nearest(honest, train)[1], threshold).value < 0.05
    assert memorised(nearest(copies, train)[1], threshold).low > 0.25


# Classes


# Pairs of images


def images(random, n=20, side=16):
    smooth = scipy.ndimage.gaussian_filter(random.normal(size=(n, 3, side, side)), (0, 0, 1, 1))
    return np.clip(128 + 200 * smooth, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [5, 8, 12, 16])
def test_ssim_is_one_of_equal_images_and_falls_with_noise(random, side):
    a = images(random, side=side)
    noisy = [np.clip(a + s * random.normal(size=a.shape), 0, 255).astype(np.uint8) for s in (5, 20, 80)]
    np.testing.assert_allclose(ssim_values(a, a), 1)
    means = [ssim_values(a, b).mean() for b in noisy]
    assert 1 > means[0] > means[1] > means[2] > 0


# Means and shares


def test_mean_estimate_is_the_mean_within_its_interval(random):
    x = random.normal(size=400)
    result = mean_estimate(x)
    half = 1.96 * x.std() / 20
    assert result.value == x.mean()
    assert (result.low, result.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=half / 5)
    assert mean_estimate(x) == result, "no seed but a fixed one"
    assert mean_estimate(x[:1]) == Estimate(x[0])


def test_a_share_of_everything_is_not_certain():
    result = share(20, 20)
    assert result.value == result.high == 1 and 0.8 < result.low < 0.9
    assert share(50, 100).low == pytest.approx(0.4038, abs=1e-3)
