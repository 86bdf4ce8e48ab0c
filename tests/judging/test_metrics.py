import numpy as np
import pytest

from components import metrics
from components.metrics import Statistics, backslide, frechet_distance, kid, kid_estimate, statistics


@pytest.fixture
def random():
    return np.random.RandomState(0)


def gaussian(mean, variances):
    return Statistics(np.asarray(mean, float), np.diag(np.asarray(variances, float)), 100)


def test_frechet_distance_of_gaussians_with_diagonal_covariances():
    a, b = gaussian([0, 0, 0], [1, 4, 9]), gaussian([1, 0, 2], [4, 4, 1])
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)


def test_frechet_distance_of_a_shift_and_of_a_scale(random):
    x = random.normal(size=(500, 16)) @ random.normal(size=(16, 16))
    assert frechet_distance(statistics(x), statistics(x + 3)) == pytest.approx(16 * 9)
    assert frechet_distance(statistics(x), statistics(2 * x)) == pytest.approx(
        np.square(x.mean(0)).sum() + np.trace(statistics(x).cov)
    )


def test_frechet_distance_agrees_with_a_matrix_square_root(random):
    import scipy.linalg

    a = statistics(random.normal(size=(400, 12)) @ random.normal(size=(12, 12)))
    b = statistics(random.normal(size=(300, 12)) @ random.normal(size=(12, 12)))
    root = scipy.linalg.sqrtm(a.cov @ b.cov).real
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.cov + b.cov - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected) == pytest.approx(frechet_distance(b, a))


def test_frechet_distance_with_fewer_rows_than_features(random):
    a, b = statistics(random.normal(size=(10, 64))), statistics(random.normal(size=(10, 64)))
    assert np.isfinite(frechet_distance(a, b)) and frechet_distance(a, b) > 0
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_statistics_are_numpys_in_float64(random):
    x = (1000 + random.normal(size=(300, 5))).astype(np.float32)
    found = statistics(x)
    np.testing.assert_allclose(found.cov, np.cov(x.astype(np.float64), rowvar=False))
    assert found.mean.dtype == np.float64 and found.n == 300


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_kid_is_the_formula(random):
    x, y = random.normal(size=(30, 8)), random.normal(size=(40, 8)) + 0.5
    xx, yy = kernel(x, x), kernel(y, y)
    expected = (xx.sum() - np.trace(xx)) / (30 * 29) + (yy.sum() - np.trace(yy)) / (40 * 39)
    assert kid(x, y) == pytest.approx(expected - 2 * kernel(x, y).mean())


def test_kid_of_a_set_with_itself_is_the_formula(random):
    """Only the diagonal differs between the terms: 2/n (mean off the diagonal - mean on it), below zero."""
    x = random.normal(size=(50, 8))
    k = kernel(x, x)
    on, off = np.trace(k) / 50, (k.sum() - np.trace(k)) / (50 * 49)
    assert kid(x, x) == pytest.approx(2 / 50 * (off - on)) and kid(x, x) < 0
    assert kid(x, x, paired=True) == pytest.approx(0, abs=1e-12)


def test_kid_does_not_depend_on_its_blocks(random, monkeypatch):
    x, y = random.normal(size=(50, 8)), random.normal(size=(60, 8))
    whole = kid(x, y)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert kid(x, y) == pytest.approx(whole)


def test_kid_is_unbiased_where_the_frechet_distance_is_not(random):
    pairs = [random.normal(size=(2, 60, 32)) for _ in range(40)]
    distances = [kid(x, y) for x, y in pairs]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(40)
    assert np.mean([frechet_distance(statistics(x), statistics(y)) for x, y in pairs]) > 5


def test_paired_kid_is_unbiased_for_dependent_pairs(random):
    """Each y is its x with its noise replaced: the same distribution, so the distance is zero."""
    values = []
    for _ in range(60):
        shared = random.normal(size=(60, 8))
        x, y = (shared + 0.3 * random.normal(size=shared.shape) for _ in range(2))
        values.append((kid(x, y, paired=True), kid(x, y)))
    paired, plain = np.array(values).T
    assert abs(paired.mean()) < 3 * paired.std() / np.sqrt(60)
    assert plain.mean() < -3 * plain.std() / np.sqrt(60)


def test_two_halves_of_one_set_are_close_and_the_interval_says_so(random):
    x = random.normal(size=(800, 16))
    near, far = kid_estimate(x[:400], x[400:]), kid_estimate(x[:400], x[400:] + 1)
    assert near.low < 0 < near.high
    assert far.low > 0 and far.low < far.value < far.high
    assert kid_estimate(x[:100], x[100:200]).low is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says(random):
    truth = kid(random.normal(size=(4000, 4)), random.normal(size=(4000, 4)) + 0.3)
    hits = 0
    for _ in range(60):
        found = kid_estimate(random.normal(size=(400, 4)), random.normal(size=(400, 4)) + 0.3)
        hits += found.low <= truth <= found.high
    assert hits >= 51


def images(random, n=20):
    return random.randint(0, 256, size=(n, 1, 8, 8)).astype(np.uint8)


def test_mse_and_psnr(random):
    a = np.full((20, 3, 8, 8), 100, np.uint8)
    assert metrics.mse(a, a + 51).value == pytest.approx(0.04)
    assert metrics.psnr(a, a + 51).value == pytest.approx(-10 * np.log10(0.04))
    assert metrics.mse(a + 51, a).value == pytest.approx(0.04), "uint8 must not wrap round"
    assert metrics.mse(a, a).value == 0 and metrics.psnr(a, a).value == 100
    error = metrics.mse(images(random), images(random))
    assert error.low < error.value < error.high
    assert metrics.mse(a[:1], a[:1] + 51).low is None


def test_a_share_of_everything_is_not_certain():
    found = metrics.share(20, 20)
    assert found.value == found.high == 1 and 0.8 < found.low < 0.9
    assert metrics.share(50, 100).low == pytest.approx(0.4038, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 3, 2, 1], 0),
        ([4, 2, 3, 1], 0.25),
        ([4, 1, 4, 1, 4], 1),
        ([1, 2, 3], 1),
        ([2, 2, 2], 0),
        ([1, 0.5, 4], 1),
    ],
)
def test_backslide_of_known_curves(values, expected):
    assert backslide(values) == pytest.approx(expected)
