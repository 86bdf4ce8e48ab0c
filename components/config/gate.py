"""The section `gate`: when a result becomes the champion of its data set and task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.config.base import Section


class Gate(Section):
    """The conditions on which a result becomes the champion of its data set and task."""

    # automatic: a blessed result is promoted; manual: it waits for a person; never: it is judged only.
    review: Literal["automatic", "manual", "never"] = "automatic"
    review_days: float = Field(14, gt=0, le=365)  # until a result that waits expires
    # Largest share of samples nearer to a training image than 99 % of held-out images are.
    max_memorization: float = Field(0.05, ge=0, le=1)
    # Precision and recall have collapsed below this share of the champion's, if by more than noise, or
    # below the second share of what real images score.
    min_share_of_champion: float = Field(0.75, ge=0, le=1)
    min_share_of_real: float = Field(0.1, ge=0, le=1)

    @property
    def rules(self) -> dict[str, float]:
        """The settings that verdicts depend on."""
        return self.model_dump(exclude={"review", "review_days"})
