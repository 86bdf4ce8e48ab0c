"""What of a network goes on after a change of settings."""

from __future__ import annotations

from components.training.carry_over import compatible_networks
from tests import tiny


def test_a_network_carries_over_whole_or_not_at_all() -> None:
    one = tiny.trainer("dcgan").family
    other = one.changed({"minibatch_stddev": 2})
    assert compatible_networks(one.state_dict(), other) == {"generator": True, "discriminator": False}
    assert compatible_networks(one.state_dict(), one.changed({"lr": 0.1})) == {
        "generator": True,
        "discriminator": True,
    }
