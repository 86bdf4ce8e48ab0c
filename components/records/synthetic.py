"""Record of the evaluation of a synthetic data set: whether it helps a classifier."""

from __future__ import annotations

from components.records.base import Number, Record


class Accuracy(Record):
    """A mean over test images and seeds, with its 95 % interval; of a gain, a difference of two."""

    value: float
    low: Number = None
    high: Number = None


class SizeResult(Record):
    """Classifiers trained on a small real training set, alone and together with synthetic images.

    Attributes:
        size: its images.
        real: accuracy with these alone.
        both: accuracy with the synthetic ones too.
        gain: of both over real, on the same test images, real images and seeds.
    """

    size: int
    real: Accuracy
    both: Accuracy
    gain: Accuracy

    @property
    def verdict(self) -> str:
        """Whether the synthetic images help: only if the whole interval of the gain is on one side of 0."""
        if self.gain.low is not None and self.gain.low > 0:
            return "helps"
        return "hurts" if self.gain.high is not None and self.gain.high < 0 else "no difference shown"


class SyntheticEvaluation(Record):
    """The accuracy on real test images of classifiers trained on real images, synthetic ones, and both.

    Attributes:
        source: the last part of the synthetic data's name.
        images: how many synthetic images were used.
        data: the real data set.
        version: its version.
        test_images: of its test split.
        seeds: how many trainings of each kind.
        steps: of each training.
        synthetic: accuracy with the synthetic images alone.
        sizes: of the small real training sets.
    """

    source: str
    images: int
    data: str
    version: str
    test_images: int
    seeds: int
    steps: int
    synthetic: Accuracy
    sizes: list[SizeResult] = []
