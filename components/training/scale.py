"""Estimate what a training takes on hardware that is not there: shapes, memory, operations and traffic.

Networks and batches are on PyTorch's meta device, where tensors have shapes and no memory, so the losses of a
large config are evaluated and differentiated on a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from components.common.errors import InputError, sentence
from components.config.train import Train
from components.data.text.package import LONGEST
from components.families.catalogue import build, untrained
from components.training.distributed import evaluated, mean
from models.data_spec import DataSpec
from models.family import Batch, Family

META = torch.device("meta")
FLOAT = 4  # bytes
GB = 10**9


@dataclass(frozen=True)
class Scale:
    """The requirements of one family's training; bytes and operations are those of one worker."""

    family: str
    workers: int
    batch: int  # images of a step, over all workers
    shard: int  # images that a worker computes at a time
    shards: int  # of the busiest worker in a step, one after the other
    steps: int
    parameters: int
    state: int  # bytes of weights, gradients, optimizers and averages
    activations: int  # bytes that the largest phase keeps for its gradient
    operations: float  # of a step, floating-point
    traffic: float  # bytes of a step, sent in the sum of gradients

    @property
    def memory(self) -> int:
        """Bytes at the largest phase."""
        return self.state + self.activations

    @property
    def images(self) -> int:
        """The images of the whole training."""
        return self.steps * self.batch

    def hours(self, tflops: float) -> float:
        """Return the hours of the training if each worker computes so many 10^12 operations a second."""
        return self.operations * self.steps / (tflops * 1e12) / 3600


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of products and convolutions, also in second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=returned)
        return returned


def estimate(name: str, blocks: Mapping[str, Mapping[str, Any]], card: DataSpec, settings: Train) -> Scale:
    """Return what the training of a family takes.

    The activations are those that PyTorch keeps for the backward pass; what convolutions need in passing, and
    fragments, come on top. In bfloat16 they count half.

    Args:
        name: the family.
        blocks: the settings of all families, without those of training.
        card: the shape of the data for the family.
        settings: of the training.

    Raises:
        InputError: the shapes of the networks and of the data do not fit, or a loss depends on values.
    """
    shard, workers = settings.batch // settings.micro_batches, max(1, settings.most_workers)
    shards = -(-settings.micro_batches // workers)
    try:
        with META:
            family = build(name, blocks[name], card, untrained(name, card, blocks), settings)
            family.begin(settings.steps - 1)
            batch = batch_of(shard, card)
            phases = [measured(family, index, batch) for index in range(len(family.phases))]
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise InputError(f"{name}: cannot be estimated without data ({sentence(error)})") from None
    every = [phase.every for phase in family.phases]
    parameters = sum(p.numel() for p in family.parameters())
    half = 2 if settings.precision == "bfloat16" else 1
    return Scale(
        name,
        workers,
        settings.batch,
        shard,
        shards,
        settings.steps,
        parameters,
        state=state_bytes(family),
        activations=max(memory for memory, _ in phases) // half,
        operations=sum(shards * flops / n for (_, flops), n in zip(phases, every, strict=True)),
        traffic=sum(2 * (workers - 1) / workers * parameters * FLOAT / n for n in every),
    )


def batch_of(n: int, card: DataSpec) -> Batch:
    """Return a batch of meta tensors as the card describes."""
    return Batch(
        n,
        torch.zeros(n, *card.shape),
        torch.zeros(n, dtype=torch.long) if card.num_classes else None,
        torch.zeros(n, *card.source.shape) if card.source else None,
        torch.zeros(n, LONGEST, card.text) if card.text else None,
        torch.ones(n, LONGEST, dtype=torch.bool) if card.text else None,
    )


def measured(family: Family, index: int, batch: Batch) -> tuple[int, int]:
    """Return the bytes that a phase's loss keeps for its gradient, and the operations of both."""
    phase = family.phases[index]
    chosen = {id(p) for p in phase.parameters}
    for p in family.parameters():
        p.requires_grad_(id(p) in chosen)
    own = {p.untyped_storage()._cdata for p in family.parameters()}
    held: dict[int, Tensor] = {}  # by storage; held, so that no other takes its place

    def keep(tensor: Tensor) -> Tensor:
        if (storage := tensor.untyped_storage()._cdata) not in own:
            held[storage] = tensor
        return tensor

    with Operations() as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            terms, _ = evaluated(phase, batch)
            loss = torch.stack([mean(term) for term in terms.values()]).sum()
        loss.backward()
    for group in phase.optimizer.param_groups:
        group["fused"] = False  # that step is for real devices
    phase.optimizer.step()
    phase.optimizer.zero_grad(set_to_none=True)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values()), counter.total


def state_bytes(family: Family) -> int:
    """Return the bytes of weights, gradients, optimizers that have made a step, and the average."""
    optimizers = {id(optimizer): optimizer for optimizer in family.optimizers}.values()
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    moments = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    parameters = list(family.parameters())
    return size(parameters) * 2 + size(moments) + size(list(family.generator.parameters()))


def size(tensors: Sequence[Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
