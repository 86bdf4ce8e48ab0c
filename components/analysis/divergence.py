"""Models that have diverged: of codes that are no numbers, there is nothing else to say."""

from __future__ import annotations

import numpy as np

from components.analysis.view import Subject, View, table


def diverged(subject: Subject) -> View | None:
    """Return how many codes are not finite, where some are not."""
    bad = {split: int((~np.isfinite(codes).all(1)).sum()) for split, codes in subject.codes.items()}
    if not any(bad.values()):
        return None
    rows = [(f"{split} images", [f"{n} of {subject.count(split)}"]) for split, n in bad.items()]
    return View(
        "diverged",
        "The model has diverged",
        "Its codes of some images are not finite (NaN or infinity), so that nothing can be measured of them: "
        "train it with a lower learning rate, or clip.",
        [table((("codes that are not finite", None),), rows, rivals=False)],
    )
