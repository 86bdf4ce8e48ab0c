import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from components.metrics import distances
from components.metrics.distances import (
    GROUPS,
    PARTS,
    Statistics,
    enough,
    frechet_distance,
    frechet_estimate,
    frechet_unbiased,
    group_sizes,
    jackknife,
    kid,
    kid_estimate,
    membership,
    moments,
    statistics,
)


@pytest.fixture
def random():
    return np.random.RandomState(0)


def gaussian(mean, variances):
    return Statistics(np.asarray(mean, float), np.diag(np.asarray(variances, float)), 100)


def by_sqrtm(a, b):
    root = scipy.linalg.sqrtm(a.cov @ b.cov).real
    return np.square(a.mean - b.mean).sum() + np.trace(a.cov + b.cov - 2 * root)


def mixed(random, n, d):
    """Features whose covariance is far from diagonal, and unlike that of the next call."""
    return random.normal(size=(n, d)) @ random.normal(size=(d, d)) + random.normal(size=d)


# Statistics


def test_statistics_are_numpys_in_float64(random):
    x = (1000 + random.normal(size=(300, 5))).astype(np.float32)
    result = statistics(x)
    np.testing.assert_allclose(result.cov, np.cov(x.astype(np.float64), rowvar=False))
    np.testing.assert_allclose(result.mean, x.mean(0, dtype=np.float64), rtol=1e-14)
    assert result.mean.dtype == np.float64 and result.n == 300


def test_statistics_far_from_the_origin_keep_their_digits(random):
    """Sums of squares about zero would leave three digits here."""
    x = random.normal(size=(200, 3))
    np.testing.assert_allclose(statistics(x + 1e6).cov, np.cov(x, rowvar=False), rtol=1e-8)


def test_a_constant_feature_has_a_variance_of_exactly_zero(random, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 7)
    x = np.concatenate([random.normal(size=(50, 2)), np.full((50, 1), 0.1)], axis=1).astype(np.float32)
    assert np.all(statistics(x).cov[2] == 0)


def test_one_row_is_no_distribution():
    with pytest.raises(AssertionError, match="at least two rows"):
        statistics(np.zeros((1, 3)))


def test_moments_subtract(random):
    x = random.normal(size=(90, 4))
    result = moments(x, x[0]) - moments(x[2::3], x[0])
    rows = x[np.arange(90) % 3 < 2]
    np.testing.assert_allclose(result.statistics.cov, np.cov(rows, rowvar=False))
    np.testing.assert_allclose(result.statistics.mean, rows.mean(0))
    assert result.n == result.statistics.n == 60


# Frechet distance


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
    a, b = statistics(mixed(random, 400, 12)), statistics(mixed(random, 300, 12))
    assert not np.allclose(a.cov @ b.cov, b.cov @ a.cov), "commuting covariances would prove little"
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_where_one_side_or_both_are_singular(random):
    """Fewer rows than features; the trace of the root is then known from singular values of X Y^T."""
    few, fewer, many = mixed(random, 10, 24), mixed(random, 8, 24), mixed(random, 200, 24)
    for x, y in ((few, many), (many, few), (few, fewer)):
        a, b = statistics(x), statistics(y)
        rows = ((x - a.mean) / np.sqrt(a.n - 1)) @ ((y - b.mean) / np.sqrt(b.n - 1)).T
        cross = np.linalg.svd(rows, compute_uv=False).sum()  # A = X^T X, B = Y^T Y
        expected = np.square(a.mean - b.mean).sum() + np.trace(a.cov + b.cov) - 2 * cross
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(statistics(few), statistics(few)) == pytest.approx(0, abs=1e-5)


def test_cholesky_is_tried_on_both_sides_before_eigenvectors(random, monkeypatch):
    few, many = statistics(random.normal(size=(10, 24))), statistics(random.normal(size=(200, 24)))

    def refused(_):
        raise AssertionError("eigh is many times slower")

    monkeypatch.setattr(np.linalg, "eigh", refused)
    assert frechet_distance(few, many) == pytest.approx(frechet_distance(many, few))


def test_dead_features_cost_neither_the_distance_nor_the_factor(random, monkeypatch):
    x, y = mixed(random, 100, 6), mixed(random, 120, 6)
    alive = frechet_distance(statistics(x), statistics(y))
    monkeypatch.setattr(np.linalg, "eigh", None)
    x, y = (np.insert(np.insert(side, 2, 0.5, axis=1), 5, 0, axis=1) for side in (x, y))
    assert frechet_distance(statistics(x), statistics(y)) == pytest.approx(alive)
    y = y + 3 * (np.arange(8) == 2)
    assert frechet_distance(statistics(x), statistics(y)) == pytest.approx(alive + 9)


def test_frechet_distance_is_never_below_zero(random):
    for _ in range(20):
        a = statistics(mixed(random, 100, 8))
        assert 0 <= frechet_distance(a, a) < 1e-6


# Jackknife


def test_jackknife_of_a_mean_is_the_textbook_standard_error(random):
    """With groups of one size the replicates of a mean spread as the means of the groups do."""
    x = random.normal(size=200)
    means = np.array([x[g::GROUPS].mean() for g in range(GROUPS)])
    result = jackknife(x.mean(), [x[np.arange(200) % GROUPS != g].mean() for g in range(GROUPS)])
    half = scipy.stats.t.ppf(0.975, GROUPS - 1) * means.std(ddof=1) / np.sqrt(GROUPS)
    assert result.value == x.mean()
    assert (result.low, result.high) == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-6)
    assert distances.T_QUANTILE[PARTS] == pytest.approx(scipy.stats.t.ppf(0.975, PARTS - 1), rel=1e-6)


def test_an_interval_needs_six_rows_a_group_on_either_side(random):
    x, y = random.normal(size=(2, 240, 3))
    assert enough(60, 72) and not enough(59, 72) and not enough(60, 71, groups=PARTS)
    for estimate, n in ((kid_estimate, 60), (frechet_estimate, 60), (frechet_unbiased, 72)):
        assert estimate(x[:n], y).low is not None and estimate(x, y[:n]).high is not None
        assert estimate(x[: n - 1], y).low is None and estimate(x, y[: n - 1]).high is None


def test_intervals_of_small_sets_are_not_too_narrow(random):
    """As benchmarks/small_intervals.py measures with real features: chance alone promotes hardly ever."""
    inside, promoted, rounds = 0, 0, 60
    result = []
    for _ in range(rounds):
        real, first, second = random.normal(size=(3, 60, 8))
        result.append((kid_estimate(first, real), kid_estimate(second, real)))
    mean = np.mean([one.value for pair in result for one in pair])
    for first, second in result:
        inside += sum(one.low <= mean <= one.high for one in (first, second))
        noise = np.hypot(first.high - first.low, second.high - second.low) / 2
        promoted += first.value - second.value > noise
    assert inside >= 0.92 * 2 * rounds and promoted <= 0.05 * rounds


def test_groups_are_rows_modulo_their_number():
    result = membership(8, 5)
    assert result.shape == (GROUPS, 5) and result.argmax(0).tolist() == [8, 9, 0, 1, 2]
    assert (result.sum(0) == 1).all()
    assert group_sizes(23).tolist() == [3, 3, 3] + 7 * [2]


def test_frechet_estimate_leaves_the_same_group_out_on_both_sides(random):
    x, y = mixed(random, 210, 3), mixed(random, 230, 3)
    result = frechet_estimate(x, y)
    left_out = [
        frechet_distance(*(statistics(s[np.arange(len(s)) % GROUPS != g]) for s in (x, y)))
        for g in range(GROUPS)
    ]
    expected = jackknife(frechet_distance(statistics(x), statistics(y)), left_out)
    assert (result.value, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def covers(estimate, truth, draw, repetitions=60):
    """Share of intervals that hold the truth; 95 % promised, 80 % asked of so few repetitions and rows."""
    result = [estimate(*draw()) for _ in range(repetitions)]
    return np.mean([e.low <= truth <= e.high for e in result])


def test_the_intervals_cover_the_truth_about_as_often_as_they_say(random):
    def draw(n=400, shift=0.5):
        return random.normal(size=(n, 4)), 1.5 * random.normal(size=(n, 4)) + shift

    frechet = 4 * (0.5**2 + (1.5 - 1) ** 2)
    assert covers(frechet_unbiased, frechet, draw) >= 0.8
    assert covers(frechet_estimate, frechet, lambda: draw(1000)) >= 0.8, "where the bias is small"
    assert covers(kid_estimate, kid_of_gaussians(0, 1, 0.5, 1.5, 4), draw) >= 0.8


# Extrapolation


def test_frechet_unbiased_is_nearer_to_zero_for_equal_distributions(random):
    pairs = [random.normal(size=(2, 400, 16)) for _ in range(12)]
    plain = np.array([frechet_distance(statistics(x), statistics(y)) for x, y in pairs])
    unbiased = np.array([frechet_unbiased(x, y).value for x, y in pairs])
    assert abs(unbiased.mean()) < plain.mean() / 10
    assert (unbiased < 0).any()


def test_frechet_unbiased_recovers_a_known_distance(random):
    a, b = random.normal(size=(2, 12, 12)) / np.sqrt(12)
    truth = by_sqrtm(Statistics(np.zeros(12), a.T @ a, 0), Statistics(np.full(12, 0.2), b.T @ b, 0))
    x, y = random.normal(size=(1200, 12)) @ a, random.normal(size=(1200, 12)) @ b + 0.2
    result = frechet_unbiased(x, y)
    assert result.low < truth < result.high
    assert result.high - result.low < truth


def test_frechet_unbiased_is_the_line_through_four_sizes(random):
    """The intercept over n, n/2, n/3 and n/4: the thirds that are not computed have no weight."""
    x, y = mixed(random, 240, 5), mixed(random, 240, 5)
    means = [
        np.mean([frechet_distance(statistics(x[j::k]), statistics(y[j::k])) for j in range(k)])
        for k in (1, 2, 3, 4)
    ]
    expected = np.polyfit([1, 2, 3, 4], means, 1)[1]
    assert frechet_unbiased(x, y).value == pytest.approx(expected, rel=1e-9)


def test_frechet_unbiased_jackknife_is_the_recipe_without_each_group(random):
    x, y = mixed(random, 252, 3), mixed(random, 240, 3)
    replicates = []
    for g in range(PARTS):
        points = []
        for k in (1, 2, 4):
            rows = [[(r % k == j) & (r % PARTS != g) for r in map(np.arange, (252, 240))] for j in range(k)]
            sides = [(statistics(x[p]), statistics(y[q])) for p, q in rows]
            at = np.mean([1 / a.n + 1 / b.n for a, b in sides])
            points.append((at, np.mean([frechet_distance(a, b) for a, b in sides])))
        replicates.append(np.polyfit(*np.transpose(points), 1)[1])
    result = frechet_unbiased(x, y)
    expected = jackknife(result.value, replicates)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


# KID


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid_of_gaussians(mean_x, deviation_x, mean_y, deviation_y, d):
    """Between N(mean 1, deviation^2 I): the kernel sees their first three moments and no more."""

    def raw_moments(mean, deviation):
        m, eye = np.full(d, mean), deviation**2 * np.eye(d)
        mixed_terms = sum(np.einsum(order, m, eye) for order in ("i,jk->ijk", "j,ik->ijk", "k,ij->ijk"))
        return m, np.outer(m, m) + eye, np.einsum("i,j,k->ijk", m, m, m) + mixed_terms

    pairs = zip(raw_moments(mean_x, deviation_x), raw_moments(mean_y, deviation_y), strict=True)
    return sum(
        weight * np.square(p - q).sum() / d**order
        for weight, order, (p, q) in zip((3, 3, 1), (1, 2, 3), pairs, strict=True)
    )


def test_kid_of_two_gaussians_is_known(random):
    draws = [(random.normal(size=(150, 4)), 1.5 * random.normal(size=(100, 4)) + 0.5) for _ in range(100)]
    result = [kid(x, y) for x, y in draws]
    assert abs(np.mean(result) - kid_of_gaussians(0, 1, 0.5, 1.5, 4)) < 3 * np.std(result) / np.sqrt(100)


def test_kid_is_the_formula(random):
    x, y = random.normal(size=(30, 8)), random.normal(size=(40, 8)) + 0.5
    xx, yy = kernel(x, x), kernel(y, y)
    expected = (xx.sum() - np.trace(xx)) / (30 * 29) + (yy.sum() - np.trace(yy)) / (40 * 39)
    assert kid(x, y) == pytest.approx(expected - 2 * kernel(x, y).mean())


@pytest.mark.parametrize("copy", [False, True])
def test_kid_of_a_set_with_itself_is_the_formula(random, copy):
    """Only the diagonal differs between the terms: 2/n (mean off the diagonal - mean on it), below zero."""
    x = random.normal(size=(50, 8))
    y = x.copy() if copy else x
    k = kernel(x, x)
    on, off = np.trace(k) / 50, (k.sum() - np.trace(k)) / (50 * 49)
    assert kid(x, y) == pytest.approx(2 / 50 * (off - on)) and kid(x, y) < 0
    assert kid(x, y, paired=True) == pytest.approx(0, abs=1e-12)


def test_kid_is_unbiased_where_the_frechet_distance_is_not(random):
    pairs = [random.normal(size=(2, 60, 32)) for _ in range(40)]
    result = [kid(x, y) for x, y in pairs]
    assert abs(np.mean(result)) < 3 * np.std(result) / np.sqrt(40)
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


@pytest.mark.parametrize("paired", [False, True])
def test_kid_estimate_is_kid_without_each_group_in_turn(random, paired):
    x, y = random.normal(size=(230, 4)), random.normal(size=(230 if paired else 211, 4)) + 0.2
    result = kid_estimate(x, y, paired=paired)
    left_out = [
        kid(*(s[np.arange(len(s)) % GROUPS != g] for s in (x, y)), paired=paired) for g in range(GROUPS)
    ]
    expected = jackknife(kid(x, y, paired=paired), left_out)
    assert (result.value, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


# Blocks and files


def everything(x, y):
    estimates = (
        frechet_estimate(x, y),
        frechet_unbiased(x, y),
        kid_estimate(x, y),
        kid_estimate(x, y, paired=True),
    )
    return np.array([(e.value, e.low, e.high) for e in estimates])


def test_nothing_depends_on_the_size_of_blocks(random, monkeypatch):
    x, y = mixed(random, 250, 4), mixed(random, 250, 4)
    whole = everything(x, y)
    for rows in (7, 64):
        monkeypatch.setattr(distances, "BLOCK", rows)
        np.testing.assert_allclose(everything(x, y), whole, rtol=1e-9)


def test_memory_mapped_features_give_the_same_bits(random, tmp_path):
    sides = [random.normal(size=(250, 4)).astype(np.float32) for _ in range(2)]
    mapped = []
    for i, side in enumerate(sides):
        np.save(tmp_path / f"{i}.npy", side)
        mapped.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    assert isinstance(mapped[0], np.memmap)
    np.testing.assert_array_equal(everything(*mapped), everything(*sides))
    np.testing.assert_array_equal(
        everything(*mapped), everything(*(side.astype(np.float64) for side in sides))
    )


@pytest.mark.parametrize("paired", [False, True])
def test_kernels_of_many_rows_are_summed_by_moments_to_the_same(random, paired, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 37)  # not a multiple of the groups
    x, y = random.standard_normal((203, 3)), 2 * random.standard_normal((203 if paired else 130, 3)) + 1
    pairs = (
        distances._kernel_sums(x, x, diagonal=False),
        distances._kernel_sums(y, y, diagonal=False),
        distances._kernel_sums(x, y, diagonal=not paired),
    )
    for result, expected in zip(distances._sums_of_moments(x, y, paired=paired), pairs, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-10)
