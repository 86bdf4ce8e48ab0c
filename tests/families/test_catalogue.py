"""What is known of each family without training it."""

from __future__ import annotations

import pytest

from components.families.catalogue import task_of
from models.registry import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_task_of_the_table(family: str) -> None:
    task = task_of(family)
    assert (task.selects == "mse") is task.has_target
    assert task.made_from != "noise" or not task.has_target
