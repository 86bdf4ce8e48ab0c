"""The command of a scheduled run names its schedule."""

from __future__ import annotations

from components.records.scheduled import command_of, schedule_of


def test_a_command_says_which_schedule_it_was() -> None:
    assert schedule_of(command_of("nightly", "configs/nightly.yaml")) == "nightly"
    assert schedule_of("atelier run nightly.yaml") == schedule_of("") == ""
