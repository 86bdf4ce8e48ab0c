"""Train on a group of processes with results that do not depend on their number.

The global batch is cut into shards. Randomness, batch statistics and buffers belong to a shard, not to a
process; gradients and terms are means over shards. So the same shards give the same training on one worker or
many, within float tolerance.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.family import Batch, Family, Phase, Terms


@dataclass(frozen=True)
class Group:
    """This process among its peers."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    def shards(self, count: int) -> list[int]:
        """Return the shards of this process, of `count` in all; no process has two more than another."""
        assert count >= self.size, f"{self.size} workers need as many shards, not {count}"
        return list(range(self.rank * count // self.size, (self.rank + 1) * count // self.size))

    def mean(self, values: Terms, weight: float) -> Terms:
        """Return the means of the values over all processes, whose weights have a mean of 1."""
        if self.size == 1 or not values:
            return values
        stacked = weight * torch.stack([v.float() for v in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, stacked / self.size, strict=True))

    def agree(self, value: Any) -> Any:
        """Return the first process's value on all processes, so that all decide alike."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, value: bool) -> bool:
        """Return on all processes whether the value is true on some process."""
        if self.size == 1:
            return value
        number = torch.tensor(float(value), device=self.device)
        dist.all_reduce(number)
        return bool(number)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of ranks, on all processes."""
        if self.size == 1:
            return [value]
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, value)
        return boxes


class Losses(nn.Module):
    """A family as a module for DDP: forward(phase, batch) returns the loss of that phase.

    One DDP around this module averages the gradients of every phase, including penalties. One DDP per network
    would silently leave a penalty-only step unaveraged.
    """

    def __init__(self, family: Family):
        super().__init__()
        self.family = family

    def forward(self, phase: int, batch: Batch) -> tuple[Tensor, Terms]:
        """Return the sum of the terms' means, and the means of all terms and observed values, detached."""
        terms, observed = evaluated(self.family.phases[phase], batch)
        means = {name: mean(term) for name, term in terms.items()}
        logged = {name: mean(value.detach()) for name, value in {**means, **observed}.items()}
        return functools.reduce(torch.add, means.values()), logged


def evaluated(phase: Phase, batch: Batch) -> tuple[Terms, Terms]:
    """Return the terms of a phase's loss and its observed values, which may be empty."""
    returned = phase.loss(batch)
    return returned if isinstance(returned, tuple) else (returned, {})


def mean(values: Tensor) -> Tensor:
    """Return the mean in float32; a single number is returned as it is, in float32."""
    return values.float().mean() if values.ndim else values.float()


class Replica:
    """A family's losses on this process; gradients are synchronised on the last of its shards."""

    def __init__(self, family: Family, group: Group):
        losses = Losses(family)
        self.module: nn.Module = losses
        if group.size > 1:
            with warnings.catch_warnings():
                # broadcast_buffers=False is deprecated in favour of a setting that broadcasts at the start,
                # which would mix the buffers of shards.
                warnings.simplefilter("ignore", FutureWarning)
                self.module = DistributedDataParallel(
                    losses,
                    device_ids=[group.device] if group.device.type == "cuda" else None,
                    broadcast_buffers=False,
                    gradient_as_bucket_view=True,  # what is averaged is not copied, and takes no memory twice
                    find_unused_parameters=len(family.phases) > 1,
                )

    def __call__(self, phase: int, batch: Batch) -> tuple[Tensor, Terms]:
        """Return the loss and logged values of one shard."""
        return self.module(phase, batch)

    def accumulating(self, last: bool) -> AbstractContextManager[None]:
        """Return the context for forward and backward of a shard; only the last synchronises gradients."""
        if last or not isinstance(self.module, DistributedDataParallel):
            return nullcontext()
        return self.module.no_sync()


class Buffers:
    """Separate buffers for each shard; buffers of networks that a phase does not train stay unchanged."""

    def __init__(self, family: Family, shards: Sequence[int]):
        self.family = family
        # Buffers of the family itself (a path-length mean, ADA's p) change in `after` only, so all shards
        # share them.
        self.live = {name: buffer for name, buffer in family.named_buffers() if "." in name}
        self.of_shard = {shard: self._copy(self.live) for shard in shards} if len(shards) > 1 else {}
        self.shards = list(shards)
        self._frozen = [self._untrained(phase) for phase in family.phases]

    @contextmanager
    def of(self, shard: int, phase: int) -> Iterator[None]:
        """Use the buffers of `shard`; restore those of networks that `phase` does not train."""
        if self.of_shard:
            self._load(self.of_shard[shard])
        before = self._copy(self._frozen[phase])
        try:
            yield
        finally:
            self._load(before)
            if self.of_shard:
                self.of_shard[shard] = self._copy(self.live)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Apply changes of buffers by a phase's `after` (a codebook) to all shards."""
        before = self._copy(self.live) if self.of_shard else {}
        yield
        changed = {
            name: self.live[name] for name, old in before.items() if not torch.equal(old, self.live[name])
        }
        for shard in self.of_shard:
            self.of_shard[shard] |= self._copy(changed)

    def settle(self) -> None:
        """Use the first shard's buffers between steps, so that the EMA copies the same with any workers."""
        if self.of_shard:
            self._load(self.of_shard[self.shards[0]])

    def state(self) -> dict[int, Terms]:
        """Return the buffers of each shard of this process."""
        return self.of_shard or {self.shards[0]: self._copy(self.live)}

    def load_state(self, state: dict[int, Terms]) -> None:
        """Restore the buffers from the merged results of `state` of all processes."""
        if self.of_shard:
            self.of_shard = {shard: self._copy(state[shard]) for shard in self.shards}
        self._load(state[self.shards[0]])

    def put(self, shard: int, buffers: Terms) -> None:
        """Replace some buffers of a shard."""
        if self.of_shard:
            self.of_shard[shard] |= self._copy(buffers)
        if shard == self.shards[0]:
            self._load(buffers)

    def _untrained(self, phase: Phase) -> Terms:
        trained = {id(p) for p in phase.parameters}
        frozen = [
            name
            for name, child in self.family.named_children()
            if not any(id(p) in trained for p in child.parameters())
        ]
        return {name: b for name, b in self.live.items() if name.split(".")[0] in frozen}

    @staticmethod
    def _copy(buffers: Terms) -> Terms:
        return {name: buffer.clone() for name, buffer in buffers.items()}

    def _load(self, buffers: Terms) -> None:
        for name, value in buffers.items():
            self.live[name].copy_(value)
