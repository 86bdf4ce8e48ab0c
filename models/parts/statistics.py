"""Statistics of a step over the shards of all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(statistics: Tensor) -> Tensor:
    """Concatenate the statistics of all processes' shards, which are too large to be terms of a loss."""
    if not (dist.is_available() and dist.is_initialized()):
        return statistics
    own = torch.tensor([len(statistics)], device=statistics.device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    most = int(max(counts))  # processes may have one shard more than others, and gather equal shapes
    padded = torch.cat([statistics, statistics.new_zeros(most - len(statistics), *statistics.shape[1:])])
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])
