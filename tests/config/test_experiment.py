"""Settings of an experiment that contradict each other."""

from __future__ import annotations

import pytest

from components.config.experiment import Experiment


def test_held_out_needs_the_uses() -> None:
    with pytest.raises(ValueError, match="held_out is part of the latent analysis"):
        Experiment(families={"autoencoder": {}}, evaluate={"uses": False, "held_out": "all"})
