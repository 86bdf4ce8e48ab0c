"""Settings of an experiment that contradict each other."""

from __future__ import annotations

import pytest

from components.config.experiment import Experiment


def test_held_out_needs_the_uses() -> None:
    with pytest.raises(ValueError, match="held_out_classes is part of the latent analysis"):
        Experiment(
            families={"autoencoder": {}}, evaluate={"latent_analysis": False, "held_out_classes": "all"}
        )
