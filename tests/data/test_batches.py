"""Batches: a function of seed and step, of one domain, of pairs, and of two domains of unequal size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from components.data.batches import Batches
from components.data.dataset import ShardedArray, Split, to_uint8
from components.data.text.encode_captions import rows_of
from components.data.text.encoded import EncodedCaptions, SplitCaptions


def numbered(n: int, channels: int = 1, side: int = 4) -> ShardedArray:
    """Images whose first pixel is their number, in two files."""
    images = np.random.default_rng(n).integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(n)
    return ShardedArray([images[: n // 3], images[n // 3 :]])


def domains(images: int = 50, sources: int = 21) -> Split:
    return Split(numbered(images), np.arange(images) % 10, sources=numbered(sources, channels=3, side=2))


def one_domain(n: int = 50, labelled: bool = True) -> Split:
    captions = [f"image {i}" for i in range(n)]
    return Split(numbered(n), np.arange(n) % 10 if labelled else None, captions)


def numbers(tensor: torch.Tensor | None) -> list[int]:
    assert tensor is not None
    return to_uint8(tensor)[:, 0, 0, 0].tolist()


def unpaired(split: Split, **options: Any) -> Batches:
    return Batches(split, 16, seed=3, paired=False, **options)


def test_a_pair_stays_together() -> None:
    batch = Batches(domains(50, 50), 16, seed=0).at(7)
    assert numbers(batch.source) == numbers(batch.image)
    with pytest.raises(AssertionError, match="one source an image"):
        Batches(domains(), 16, seed=0)


def test_each_domain_has_epochs_and_an_order_of_its_own() -> None:
    batches = unpaired(domains())
    steps = [batches.at(step) for step in range(21)]  # 336 = 16 * 21 images
    for count, of_step in ((50, [batch.image for batch in steps]), (21, [batch.source for batch in steps])):
        stream = [number for tensor in of_step for number in numbers(tensor)]
        epochs = [stream[start : start + count] for start in range(0, len(stream) - count + 1, count)]
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    same_size = unpaired(domains(50, 50)).at(0)
    assert numbers(same_size.source) != numbers(same_size.image)


def test_the_order_of_the_images_does_not_depend_on_the_sources() -> None:
    alone = Batches(Split(numbered(50), np.arange(50) % 10), 16, seed=3, flips=True).at(5)
    beside = unpaired(domains(), flips=True).at(5)
    assert alone.image is not None and beside.image is not None and alone.label is not None
    assert torch.equal(alone.image, beside.image) and numbers(beside.image)
    assert beside.label is not None and torch.equal(alone.label, beside.label)


@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_a_batch_of_two_domains_is_a_function_of_seed_and_step(shards: int) -> None:
    batches = unpaired(domains(), flips=True)
    for step in range(4):
        batches.at(step)
    again = unpaired(domains(), flips=True)  # as after an interruption, on any number of workers
    parts = [again.at(5, shard, shards) for shard in range(shards)]
    for name in ("image", "source", "label"):
        whole = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(batches.at(5), name), whole), name


def test_unpaired_images_are_mirrored_independently() -> None:
    def mirrored(name: str, paired: bool) -> torch.Tensor:
        plain, flipped = (
            getattr(Batches(domains(50, 50), 200, 0, flips, paired).at(3), name) for flips in (False, True)
        )
        return (plain.flip(-1) == flipped).flatten(1).all(1)

    assert torch.equal(mirrored("image", True), mirrored("source", True))
    assert torch.equal(mirrored("image", True), mirrored("image", False))
    assert 70 < int(mirrored("source", False).sum()) < 130
    assert not torch.equal(mirrored("image", False), mirrored("source", False))


def test_a_split_gives_any_rows_as_a_batch() -> None:
    split = domains()
    batch = split.batch([3, 1], [20, 0])
    assert numbers(batch.image) == [3, 1] and numbers(batch.source) == [20, 0] and len(batch) == 2
    assert batch.label is not None and batch.label.tolist() == [3, 1]
    assert numbers(split.batch(range(2, 4)).source) == [2, 3]
    assert split.most_samples == 21 and Split(numbered(50)).most_samples == 50


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    batches = Batches(one_domain(), 16, seed=3, flips=True)
    straight = [batches.at(step) for step in range(9)]
    alone = Batches(one_domain(), 16, seed=3, flips=True).at(8)
    assert torch.equal(straight[8].image, alone.image) and torch.equal(straight[8].label, alone.label)
    assert not torch.equal(alone.image, Batches(one_domain(), 16, seed=4, flips=True).at(8).image)


def test_labels_belong_to_their_images() -> None:
    batch = Batches(one_domain(), 16, seed=0).at(2)
    assert batch.label.dtype == torch.int64
    assert batch.label.tolist() == [number % 10 for number in numbers(batch.image)]
    assert Batches(one_domain(labelled=False), 16, seed=0).at(2).label is None


def test_captions_belong_to_their_images() -> None:
    batches = Batches(one_domain(), 16, seed=0)
    assert batches.captions(3, 1, 2) == [f"image {i}" for i in numbers(batches.at(3, 1, 2).image)]


def test_every_epoch_covers_every_image_once_in_a_new_order() -> None:
    batches = Batches(one_domain(50), 16, seed=0)
    stream = [i for step in range(25) for i in numbers(batches.at(step).image)]
    epochs = [stream[start : start + 50] for start in range(0, 400, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 8


def test_a_batch_may_be_larger_than_the_split() -> None:
    assert sorted(numbers(Batches(one_domain(5), 20, seed=0).at(7).image)) == sorted(list(range(5)) * 4)


@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_shards_are_equal_slices_of_the_whole_batch(shards: int) -> None:
    batches = Batches(one_domain(), 16, seed=1, flips=True)
    parts = [batches.at(5, s, shards) for s in range(shards)]
    assert {len(part) for part in parts} == {16 // shards}
    assert torch.equal(torch.cat([part.image for part in parts]), batches.at(5).image)
    assert torch.equal(torch.cat([part.label for part in parts]), batches.at(5).label)


def test_flips_mirror_about_half_of_the_images_and_nothing_else() -> None:
    plain, flipped = (Batches(one_domain(), 200, seed=0, flips=flips).at(3).image for flips in (False, True))
    mirrored = (plain.flip(-1) == flipped).flatten(1).all(1)
    assert ((plain == flipped).flatten(1).all(1) | mirrored).all()
    assert 70 < mirrored.sum() < 130


def captioned(n: int = 50) -> Split:
    """Images of one to three captions; the token of a caption is its number."""
    lists = [[f"{i} {k}" for k in range(1 + i % 3)] for i in range(n)]
    place = {text: row for row, text in enumerate(text for texts in lists for text in texts)}
    table = EncodedCaptions(
        np.arange(len(place), dtype=np.float16)[:, None, None], np.ones((len(place), 1), bool)
    )
    rows = rows_of(lists, place)
    first = [texts[0] for texts in lists]
    text = SplitCaptions(table, rows[:, 0], rows)
    return Split(numbered(n), captions=first, text=text, all_captions=lists)


def test_training_draws_a_caption_by_step_and_image_and_evaluation_takes_the_first() -> None:
    split = captioned()
    batches, drawn = Batches(split, 10, seed=4), set()
    place = {
        text: row for row, text in enumerate(text for texts in split.all_captions or [] for text in texts)
    }
    for step in range(60):
        batch, captions = batches.at(step), batches.captions(step) or []
        assert batch.text is not None
        assert batch.text.flatten().tolist() == [place[caption] for caption in captions]
        assert [int(caption.split()[0]) for caption in captions] == numbers(batch.image)
        drawn |= set(captions)
    assert len(drawn) == len(place), "each is drawn at some time"
    assert (
        Batches(split, 10, seed=4).captions(7)
        == batches.captions(7)
        != Batches(split, 10, seed=5).captions(7)
    )
    halves = [batches.captions(7, shard, 2) or [] for shard in range(2)]
    assert halves[0] + halves[1] == batches.captions(7)
    first = split.batch([4, 5]).text
    assert first is not None and first.flatten().tolist() == [place["4 0"], place["5 0"]]


def test_one_caption_an_image_is_stored_as_before() -> None:
    assert rows_of([["a"], ["b"], ["a"]], {"a": 0, "b": 1}).tolist() == [0, 1, 0]
    assert rows_of([["a"], ["b", "a"]], {"a": 0, "b": 1}).tolist() == [[0, -1], [1, 0]]
