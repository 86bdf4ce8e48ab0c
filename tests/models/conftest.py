import pytest
import torch


@pytest.fixture
def seeded() -> None:
    """The same random numbers whatever ran before, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
