"""Statistics of a step over the shards of all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(statistics: Tensor) -> Tensor:
    """Concatenate the statistics of all processes' shards, which are too large to be terms of a loss."""
    if not (dist.is_available() and dist.is_initialized()):
        return statistics
    parts = [torch.empty_like(statistics) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, statistics)
    return torch.cat(parts)
