"""The diffusion transformer: what it starts as, what it sees, and what it must not see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from models.data_spec import DataSpec
from models.parts import dit
from models.parts.conditions import Condition
from models.parts.dit import DiT

N, L, TEXT = 3, 5, 8
CARD = DataSpec(channels=2, resolution=8)
CLASSES = DataSpec(channels=2, resolution=8, num_classes=4)
CAPTIONS = DataSpec(channels=2, resolution=8, text=TEXT)
TIMES = torch.tensor([0.1, 0.5, 0.9])


def built(card: DataSpec = CARD, **settings: int) -> DiT:
    """A small network; one that has been stirred is no longer zero anywhere."""
    torch.manual_seed(0)
    network = DiT(card, width=32, depth=2, patch=2, **settings)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    return network.eval()


def noisy(channels: int = 2) -> Tensor:
    return torch.randn(N, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def captions(there: int = 3) -> Condition:
    """Captions of L places, of which the first `there` are tokens."""
    text = torch.randn(N, L, TEXT, generator=torch.Generator().manual_seed(2))
    return Condition(text=text, text_mask=(torch.arange(L) < there).expand(N, -1))


def test_starts_as_zero_and_learns() -> None:
    torch.manual_seed(0)
    network = DiT(CLASSES, patch=2, width=32, depth=1)
    y = network(noisy(), TIMES, Condition(torch.arange(N)))
    assert y.shape == (N, 2, 8, 8) and not y.any()
    (y - 1).square().mean().backward()
    slope = network.head.out.weight.grad
    assert slope is not None and slope.any()


def test_blocks_start_as_the_identity_captions_and_all() -> None:
    torch.manual_seed(0)
    block, tokens = dit.Block(32, 1, TEXT, 0.0), torch.randn(N, 16, 32)
    torch.testing.assert_close(block(tokens, torch.randn(N, 32), captions()), tokens)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_patches_hold_the_image(side: int) -> None:
    x = noisy()
    tokens = dit.patchify(x, side)
    assert tokens.shape == (N, (8 // side) ** 2, 2 * side**2)
    assert torch.equal(dit.unpatchify(tokens, side, 8), x)
    second = x[:, :, :side, side : 2 * side].flatten(1)  # right of the first: patches are row by row
    assert torch.equal(tokens[:, 1], second)


def test_without_positions_the_order_of_patches_does_not_matter() -> None:
    network, order = built(), torch.randperm(16, generator=torch.Generator().manual_seed(3))

    def shuffled(x: Tensor) -> Tensor:
        return dit.unpatchify(dit.patchify(x, 2)[:, order], 2, 8)

    def differ() -> bool:
        x = noisy()
        a, b = shuffled(network(x, TIMES, Condition())), network(shuffled(x), TIMES, Condition())
        return not torch.allclose(a, b, atol=1e-5)

    assert differ()
    network.position.zero_()
    assert not differ()


def test_every_position_is_its_own() -> None:
    position = dit.positions(16, 32)
    assert position.shape == (256, 32)
    assert torch.cdist(position, position).fill_diagonal_(9).min() > 0.1
    grid = position.unflatten(0, (16, 16))
    assert torch.equal(grid[3, :, :16], grid[3, :1, :16].expand(16, -1))  # the row says nothing of the column
    assert torch.equal(grid[:, 3, 16:], grid[:1, 3, 16:].expand(16, -1))


def test_nothing_is_not_class_0() -> None:
    network, x = built(CLASSES), noisy()
    outputs = [network(x, TIMES, Condition(torch.full((N,), label))) for label in (0, 1, 4)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (outputs[i] - outputs[j]).abs().flatten(1).amax(1).min() > 1e-3


def test_time_is_told() -> None:
    network, x = built(), noisy()
    assert not torch.allclose(network(x, TIMES, Condition()), network(x, TIMES + 0.05, Condition()))


def test_masked_tokens_change_nothing_and_others_do() -> None:
    network, x, condition = built(CAPTIONS), noisy(), captions()
    assert condition.text is not None and condition.text_mask is not None
    y = network(x, TIMES, condition)
    other = torch.where(condition.text_mask[:, :, None], condition.text, 7.0)
    torch.testing.assert_close(network(x, TIMES, Condition(text=other, text_mask=condition.text_mask)), y)
    short = Condition(text=condition.text[:, :3], text_mask=condition.text_mask[:, :3])
    torch.testing.assert_close(network(x, TIMES, short), y, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        network(x, TIMES, Condition(text=condition.text + 1, text_mask=condition.text_mask)), y
    )


def test_attention_tells_captions_of_the_same_mean_apart() -> None:
    network, x, condition = built(CAPTIONS), noisy(), captions(there=2)
    assert condition.text is not None
    spread = condition.text.clone()
    spread[:, 0] += 1
    spread[:, 1] -= 1
    y, other = (
        network(x, TIMES, condition),
        network(x, TIMES, Condition(text=spread, text_mask=condition.text_mask)),
    )
    assert (y - other).abs().max() > 1e-3


def test_no_caption_is_finite_and_the_same_whatever_it_was() -> None:
    network, x = built(CAPTIONS), noisy()
    nothing = captions().dropped(torch.ones(N, dtype=torch.bool), 0)
    assert nothing.text is not None
    y = network(x, TIMES, nothing)
    assert y.isfinite().all()
    again = network(x, TIMES, Condition(text=nothing.text + 1, text_mask=nothing.text_mask))
    torch.testing.assert_close(again, y)
    zeros = Condition(text=torch.zeros_like(nothing.text), text_mask=captions().text_mask)
    assert not torch.allclose(network(x, TIMES, zeros), y)  # an empty word is not no word


def test_an_image_beside_is_seen() -> None:
    network, x, image = built(beside=1), noisy(), noisy(1)
    y = network(x, TIMES, Condition(image=image))
    assert y.shape == x.shape
    assert not torch.allclose(network(x, TIMES, Condition(image=image + 0.1)), y)


def test_each_image_by_itself() -> None:
    network, x, condition = built(CAPTIONS), noisy(), captions()
    assert condition.text is not None and condition.text_mask is not None
    y = network(x, TIMES, condition)
    second = Condition(text=condition.text[1:2], text_mask=condition.text_mask[1:2])
    alone = network(x[1:2], TIMES[1:2], second)
    torch.testing.assert_close(alone, y[1:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("resolution", "side"),
    [(8, 1), (16, 1), (17, 1), (28, 2), (32, 2), (34, 2), (48, 3), (64, 4), (100, 10), (256, 16)],
)
def test_patch_by_resolution(resolution: int, side: int) -> None:
    assert dit.patch_side(resolution) == side


def test_refuses_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^patch=3 must divide the resolution, 28$"):
        DiT(DataSpec(1, 28), patch=3)
    with pytest.raises(ValueError, match=r"^width=128 must be a multiple of 4 and of heads=3$"):
        DiT(DataSpec(1, 28), patch=2, width=128, heads=3)


@pytest.mark.parametrize(
    ("width", "heads"), [(32, 1), (48, 3), (128, 4), (192, 6), (384, 6), (768, 12), (800, 25), (100, 1)]
)
def test_heads_divide_the_width(width: int, heads: int) -> None:
    assert dit.heads_of(width) == heads and width % heads == 0


def test_sizes_of_the_paper() -> None:
    """Table 1's heads but for XL, and the parameters of DiT-S/2."""
    with torch.device("meta"):
        latents = DataSpec(channels=4, resolution=32)
        small, base = (DiT(latents, width=w, depth=12, patch=2) for w in (384, 768))
    heads = [next(iter(network.blocks.children())).attention.heads for network in (small, base)]
    assert heads == [6, 12]
    count = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (small, base)]
    assert count == pytest.approx([33, 130], rel=0.03)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_gradients_are_those_of_differences() -> None:
    """Along one random direction of all parameters and of the image at once."""
    network = built(DataSpec(channels=1, resolution=4, num_classes=2, text=TEXT))
    x, condition = torch.randn(2, 1, 4, 4), captions()
    assert condition.text is not None and condition.text_mask is not None
    mask = condition.text_mask[:2] & torch.tensor(
        [[True], [False]]
    )  # the second has no caption, and no class
    condition = Condition(torch.tensor([0, 2]), condition.text[:2].double(), mask)
    x.requires_grad_()
    moved: list[Tensor] = [x, *network.parameters()]
    way = [torch.randn(p.shape) for p in moved]

    def value() -> Tensor:
        return network(x, torch.tensor([0.2, 0.7]), condition).square().mean()

    def at(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(moved, way, strict=True):
                p.add_(step * d)
            result = value().item()
            for p, d in zip(moved, way, strict=True):
                p.sub_(step * d)
        return result

    slopes = torch.autograd.grad(value(), moved)
    slope = sum(float((g * d).sum()) for g, d in zip(slopes, way, strict=True))
    assert all(g.any() for g in slopes)
    h = 1e-5
    assert (at(h) - at(-h)) / (2 * h) == pytest.approx(slope, rel=1e-5)


def test_half_precision_stays_near() -> None:
    network, x = built(CLASSES), noisy()
    condition = Condition(torch.arange(N))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        half = network(x, TIMES, condition)
    full = network(x, TIMES, condition)
    assert half.isfinite().all()
    assert (half.float() - full).norm() < 0.05 * full.norm()


def test_learns_a_pattern() -> None:
    """One image of noise becomes another: the loss falls to a fraction in a few steps."""
    torch.manual_seed(0)
    network: nn.Module = DiT(CARD, width=32, depth=1, patch=2)
    optimizer, x, y = torch.optim.Adam(network.parameters(), 3e-3), noisy(), noisy().flip(0)
    losses = []
    for _ in range(60):
        loss = (network(x, TIMES, Condition()) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
