"""Synthetic images help where they are good and real ones few, and not where they are noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.data.dataset import ShardedArray, Split, open_split
from components.evaluation import synthetic
from components.records.synthetic import Accuracy, SizeResult, SyntheticEvaluation
from flows import views
from flows.cli import app

STEPS = 60


@pytest.fixture(scope="module")
def splits(digits: Path) -> tuple[Split, Split]:
    return open_split(digits, "train"), open_split(digits, "test")


def compared(splits: tuple[Split, Split], added: Split) -> SizeResult:
    train, test = splits
    _, (result,) = synthetic.compare(train, test, added, 10, sizes=[20], seeds=2, steps=STEPS)
    return result


def test_more_images_of_the_same_kind_help(splits: tuple[Split, Split]) -> None:
    result = compared(splits, splits[0])
    assert result.verdict == "helps" and result.both.value > result.real.value + 0.1
    assert result.gain.value == pytest.approx(result.both.value - result.real.value)
    assert result.gain.low is not None and result.gain.low > 0


def test_images_with_wrong_classes_hurt(splits: tuple[Split, Split]) -> None:
    train, _ = splits
    assert train.labels is not None
    wrong = Split(train.images, (train.labels + 1) % 10)
    result = compared(splits, wrong)
    assert result.verdict == "hurts" and result.gain.high is not None and result.gain.high < 0


def test_small_training_sets_have_each_class_and_its_frequency(splits: tuple[Split, Split]) -> None:
    labels = np.array([0] * 80 + [1] * 19 + [2])
    train = Split(ShardedArray([np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)]), labels)
    assert sorted(synthetic.subset(train, 3, 0).labels) == [0, 1, 2]
    small = synthetic.subset(train, 50, 0)
    assert small.labels is not None and abs(np.bincount(small.labels)[0] - 40) <= 2
    rows = small.images[:].ravel()
    assert (labels[rows] == small.labels).all() and len(set(rows)) == 50
    assert (synthetic.subset(train, 50, 0).images[:].ravel() == rows).all()
    assert (synthetic.subset(train, 50, 1).images[:].ravel() != rows).any()


def test_both_are_seen_equally_often() -> None:
    real = Split(ShardedArray([np.zeros((2, 1, 1, 1), np.uint8)]), np.array([0, 1]))
    made = Split(ShardedArray([np.ones((5, 1, 1, 1), np.uint8)]), np.arange(5))
    both = synthetic.mixed(real, made)
    assert both.labels is not None and both.labels.tolist() == [0, 1, 0, 1, 0, 0, 1, 2, 3, 4]
    assert both.images[:].ravel().tolist() == [0] * 5 + [1] * 5
    assert len(synthetic.mixed(made, real)) == 10


def test_intervals_hold_the_mean_and_narrow_with_more_images() -> None:
    random = np.random.RandomState(1)
    wide, narrow = (synthetic.accuracy(random.rand(3, n) < 0.7) for n in (50, 5000))
    for result in (wide, narrow):
        assert result.low is not None and result.high is not None and result.low < result.value < result.high
    assert (narrow.high or 0) - (narrow.low or 0) < 0.1 < (wide.high or 0) - (wide.low or 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sizes": [5]}, "--sizes 5: a training set has an image of each of the 10 classes"),
        ({"sizes": [1001]}, "at most all 1,000 training images"),
        ({"seeds": 1}, "--seeds 1: at least 2"),
        ({"steps": 0}, "--steps 0: at least 1"),
    ],
)
def test_impossible_numbers_are_refused(
    splits: tuple[Split, Split], change: dict[str, object], sentence: str
) -> None:
    arguments: dict[str, object] = {"sizes": [20], "seeds": 2, "steps": 10, **change}
    with pytest.raises(InputError, match=sentence):
        synthetic.check(splits[0], 10, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has no classes"):
        synthetic.check(Split(splits[0].images), 10, [20], 2, 10)


def test_the_command_prints_a_table_or_json(
    digits: Path,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(synthetic, "data_version", lambda home, name, revision: (digits, "v1"))
    train = open_split(digits, "train")
    np.savez(tmp_path / "x.npz", arr_0=train.images[:50].transpose(0, 2, 3, 1), arr_1=train.labels[:50])  # type: ignore[index]
    command = ["evaluate-synthetic", f"{tmp_path}/x.npz", "--data", "digits8", "--seeds", "2", "--steps", "5"]
    for more in (["--sizes", "20"], ["--sizes", "20,30", "--json"], ["--sizes", "many"]):
        with pytest.raises(SystemExit) as ended:
            app.main([*command, *more])
        code, (out, err) = ended.value.code or 0, capsys.readouterr()
        if more[-1] == "many":
            assert code == 2 and "--sizes many: numbers of images are needed" in err
        elif more[-1] == "--json":
            content = json.loads(out)
            assert [row["size"] for row in content["sizes"]] == [20, 30] and content["source"] == "x.npz"
        else:
            assert code == 0 and "gain" in out and "50 synthetic images of x.npz" in out


def test_a_gain_is_called_one_only_beyond_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    some = Accuracy(value=0.5, low=0.4, high=0.6)
    for low, high, verdict in (
        (0.01, 0.2, "helps"),
        (-0.2, -0.01, "hurts"),
        (-0.1, 0.1, "no difference shown"),
    ):
        row = SizeResult(size=20, real=some, both=some, gain=Accuracy(value=0.0, low=low, high=high))
        assert row.verdict == verdict
        views.show_synthetic(
            SyntheticEvaluation(
                source="x", images=5, data="d", version="v", test_images=9, seeds=2, steps=3,
                synthetic=some, sizes=[row],
            )
        )  # fmt: skip
        assert verdict in capsys.readouterr().out
