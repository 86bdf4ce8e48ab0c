"""The tasks of families: from what a sample is made, what it is compared with, and how it is shown.

Only families of the same task compete with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """A task of a family.

    Attributes:
        title: its heading on a page.
        description: its sentence on a page.
        made_from: noise alone; the image that is to be found again; or a source, which the data has or which
            the family makes of the image.
        has_target: whether each sample has an image that it should be, to be compared with pixel by pixel.
        selects: the metric, lower the better, that snapshots of a training are compared by.
        metrics: what is computed of samples: how close each comes to its target; how close the set comes to
            the real images; and, of samples of captions, how often theirs is found again.
        baselines: what the metrics are computed of besides, for comparison: the source itself, the source
            enlarged by bicubic interpolation, or the image of the training pair whose source is nearest.
        sheet: the columns of a picture that shows samples.
        columns: the metrics that a terminal shows; a page shows all.
        verb: what a family does with an image, in a sentence.
        smaller_source: whether a source has fewer pixels than a sample.
    """

    title: str
    description: str
    made_from: Literal["noise", "image", "source"]
    has_target: bool
    selects: Literal["frechet_distance", "mse"]
    metrics: tuple[Literal["pairs", "set", "retrieval"], ...]
    baselines: tuple[Literal["identity", "bicubic", "nearest_pair"], ...]
    sheet: tuple[Literal["source", "output", "target"], ...]
    columns: tuple[str, ...]
    verb: str
    smaller_source: bool = False

    @property
    def paired(self) -> bool:
        """Whether source i belongs to image i."""
        return self.has_target

    @property
    def real(self) -> str:
        """What the row of the real baseline is called in a table."""
        return "perfect" if self.has_target else "real images"


OF_PAIRS = ("reconstruction_fid", "reconstruction_frechet_distance", "mse", "psnr", "ssim", "psnr_y", "lpips")
OF_SETS = ("fid", "frechet_distance", "kid")

TASKS = {
    "generate": Task(
        "Generating",
        "Images from noise (and a label, where the family takes one), judged as a set.",
        made_from="noise",
        has_target=False,
        selects="frechet_distance",
        metrics=("set", "retrieval"),
        baselines=(),
        sheet=("output",),
        columns=(
            *OF_SETS,
            "precision",
            "recall",
            "conditional_accuracy",
            "retrieval_top5",
            "memorization_rate",
        ),
        verb="generates",
    ),
    "reconstruct": Task(
        "Reconstructing",
        "Test images encoded and decoded again; a different task, so never ranked with generators.",
        made_from="image",
        has_target=True,
        selects="mse",
        metrics=("pairs",),
        baselines=(),  # the image itself would be perfect
        sheet=("output", "target"),
        columns=OF_PAIRS,
        verb="reconstructs",
    ),
    "translate": Task(
        "Translating",
        "Images turned from one domain into another.",
        made_from="source",
        has_target=True,
        selects="mse",
        metrics=("pairs",),
        baselines=("identity", "nearest_pair"),
        sheet=("source", "output", "target"),
        columns=OF_PAIRS,
        verb="changes",
    ),
    "translate_unpaired": Task(
        "Translating without pairs",
        "Images turned from one domain into another, of which no pairs are known in training; judged as a "
        "set, and against pairs where test images have them.",
        made_from="source",
        has_target=False,
        selects="frechet_distance",
        metrics=("set",),
        baselines=("identity",),
        sheet=("source", "output"),
        columns=(*OF_SETS, "cycle_error", "mse", "backward_kid"),
        verb="changes",
    ),
    "upscale": Task(
        "Upscaling",
        "Small images made large.",
        made_from="source",
        has_target=True,
        selects="mse",
        metrics=("pairs",),
        baselines=("bicubic",),
        sheet=("source", "output", "target"),
        columns=OF_PAIRS,
        verb="enlarges",
        smaller_source=True,
    ),
}
"""In the order of a page."""

DEFAULT = "generate"  # of results that say none, which older versions wrote
