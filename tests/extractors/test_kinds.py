"""What tells extractors apart before they are made."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from components.common.hashing import digest
from components.config.evaluate import Custom
from components.extractors import pretrained
from components.extractors.kinds import default_steps, identity

SOURCE = '''
import torch

class Colours(torch.nn.Module):
    """Mean colours, turned by a matrix."""

    def __init__(self):
        super().__init__()
        self.matrix = torch.nn.Linear(3, 5)

    def forward(self, x):
        return self.matrix(x.mean((2, 3)))
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text(SOURCE)
    torch.manual_seed(1)
    linear = nn.Linear(3, 5)
    save_file({f"matrix.{k}": v for k, v in linear.state_dict().items()}, tmp_path / "mine.safetensors")
    return tmp_path


def custom(project, **changes):
    fields = {
        "name": "colours",
        "network": "mine.py:Colours",
        "weights": "mine.safetensors",
        "sha256": digest(project / "mine.safetensors", "sha256"),
        "dim": 5,
        "resize": 16,
        "mean": [0.5, 0.25, 0.5],
        "std": [0.5, 0.5, 1.0],
    }
    return Custom(**fields | changes)


def test_identity_tells_pretrained_extractors_apart(project):
    fields = custom(project).model_dump()
    others = [
        {"name": "other"},
        {"sha256": "0" * 64},
        {"dim": 6},
        {"resize": 32},
        {"mean": [0.0]},
        {"std": [1.0]},
        {"torchscript": True},
    ]
    identities = [identity("inception"), identity("efficientnet"), identity("custom", fields)]
    identities += [identity("custom", fields | other) for other in others]
    (project / "mine.py").write_text(SOURCE + "\n")
    identities.append(identity("custom", fields))
    assert len({json.dumps(each, sort_keys=True) for each in identities}) == len(identities)
    assert identity("classifier") == identity("rotation") == {}
    assert identity("inception")["weights"] == pretrained.INCEPTION_SHA256


def test_where_the_weights_lie_is_no_part_of_the_identity(project):
    fields = custom(project).model_dump()
    assert identity("custom", fields) == identity("custom", fields | {"weights": "/elsewhere.safetensors"})


def test_a_small_set_is_trained_on_for_as_many_steps_as_a_network_needs_to_learn():
    assert default_steps(289) == 400 and default_steps(60_000) == 8 * (60_000 // 64)
