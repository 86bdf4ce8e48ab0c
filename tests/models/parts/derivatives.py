"""Functions compared with slow ones that do the same: values, gradients and second derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[..., Tensor]


def assert_equal_derivatives(fast: Function, slow: Function, *inputs: Tensor) -> None:
    """Assert that both have the same values and first and second derivatives, by all inputs, in float64."""
    torch.manual_seed(1)
    inputs = tuple(x.detach().double().requires_grad_() for x in inputs)
    y = slow(*inputs)
    directions = torch.randn_like(y), *(torch.randn_like(x) for x in inputs)
    result, expected = (derivatives(f, inputs, *directions) for f in (fast, slow))
    for order, pairs in enumerate(zip(result, expected, strict=True)):
        torch.testing.assert_close(*pairs, msg=lambda m, order=order: f"derivative {order}: {m}")


def derivatives(
    f: Function, inputs: tuple[Tensor, ...], direction: Tensor, *directions: Tensor
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The values of f, its gradients, and the gradients of the size and direction of these."""
    y = f(*inputs)
    assert y.dtype == torch.float64
    first = torch.autograd.grad((y * direction).sum() + y.square().sum(), inputs, create_graph=True)
    along = torch.stack([(g * d).sum() for g, d in zip(first, directions, strict=True)]).sum()
    second = torch.autograd.grad(along, inputs)
    return y.detach(), tuple(g.detach() for g in first), second
