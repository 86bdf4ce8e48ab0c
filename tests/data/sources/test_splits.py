from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from components.common.errors import InputError
from components.data.card import DatasetCard, Sources
from components.data.sources.splits import LEAST, assign, check, evaluable, rank, ranked
from components.evaluation.comparability import MIN_IMAGES

IMAGES = some.lists(
    some.tuples(some.text("abcdefgh", min_size=1, max_size=2), some.integers(0, 3)), max_size=80
)


@given(IMAGES, some.randoms())
def test_any_images_are_split_by_group_whatever_their_order(images, random):
    groups, strata = [group for group, _ in images], [stratum for _, stratum in images]
    split_of = dict(zip(groups, assign(groups, strata), strict=True))
    assert [split_of[group] for group in groups] == assign(groups, strata), "a group is parted"
    counts = Counter(split_of.values())
    groups_in_all = len(split_of)
    test = min(max(LEAST, round(groups_in_all * 0.2)), groups_in_all)
    assert counts["test"] == test
    assert counts["validation"] == min(max(LEAST, round(groups_in_all * 0.08)), groups_in_all - test)
    random.shuffle(images)
    shuffled = assign([group for group, _ in images], [stratum for _, stratum in images])
    assert dict(zip([group for group, _ in images], shuffled, strict=True)) == split_of


@given(IMAGES, some.sets(some.text("abcdefgh", min_size=1, max_size=2)))
def test_any_kept_groups_go_to_training_and_no_other_moves(images, always):
    groups, strata = [group for group, _ in images], [stratum for _, stratum in images]
    cut = assign(groups, strata)
    expected = ["train" if group in always else split for group, split in zip(groups, cut, strict=True)]
    assert assign(groups, strata, always_train=always) == expected


@given(IMAGES, some.data())
def test_what_a_source_states_is_never_taken_from_its_test_split(images, data):
    groups, strata = [group for group, _ in images], [stratum for _, stratum in images]
    names = some.sampled_from(["train", "test"])
    stated = data.draw(some.lists(names, min_size=len(images), max_size=len(images)))
    splits = assign(groups, strata, stated)
    if "test" in stated:
        assert [split == "test" for split in splits] == [split == "test" for split in stated]


def test_fractions_are_kept_in_total_and_in_every_stratum():
    groups, strata = [f"g{i}" for i in range(500)], [i % 5 for i in range(500)]
    result = assign(groups, strata)
    assert Counter(result) == {"train": 360, "validation": 40, "test": 100}
    assert Counter(zip(strata, result, strict=True))[3, "test"] == 20


def test_many_small_classes_still_fill_every_split():
    result = assign([f"g{i}" for i in range(300)], [i // 3 for i in range(300)])
    assert Counter(result) == {"train": 216, "validation": 24, "test": 60}


def test_the_split_of_an_image_does_not_depend_on_the_order():
    groups, strata = [f"g{i}" for i in range(90)], [i % 3 for i in range(90)]
    forward = dict(zip(groups, assign(groups, strata), strict=True))
    backward = dict(zip(groups[::-1], assign(groups[::-1], strata[::-1]), strict=True))
    assert forward == backward


def test_a_group_is_never_parted_even_across_classes():
    groups, strata = [f"g{i // 4}" for i in range(200)], [i % 2 for i in range(200)]
    pairs = set(zip(groups, assign(groups, strata), strict=True))
    assert len(pairs) == 50


def test_a_source_without_validation_gives_some_of_its_training():
    stated = ["train"] * 100 + ["test"] * 40
    result = assign([str(i) for i in range(140)], [0] * 140, stated)
    assert Counter(result) == {"train": 92, "validation": 8, "test": 40} and result[100:] == stated[100:]


def test_kept_groups_go_to_training_and_no_other_moves():
    groups, strata = [f"g{i // 2}" for i in range(200)], [i % 5 for i in range(200)]
    before = dict(zip(groups, assign(groups, strata), strict=True))
    always = {name for split in ("test", "validation", "train") for name in [held(before, split)]}
    after = dict(zip(groups, assign(groups, strata, always_train=always), strict=True))
    assert after == before | dict.fromkeys(always, "train") != before


def held(split_of, split):
    return next(name for name, where in split_of.items() if where == split)


def test_stated_splits_are_kept():
    stated = ["train", "validation", "test"]
    assert assign(list("abc"), [0, 0, 0], stated) == stated


def test_splits_that_are_not_stated_are_cut_from_the_others():
    names = [str(i) for i in range(200)]
    result = assign(names, [0] * 200, ["train"] * 100 + ["validation"] * 100)
    assert Counter(result) == {"train": 80, "validation": 100, "test": 20}
    result = assign(names, [0] * 200, ["validation"] * 100 + ["test"] * 100)
    assert Counter(result) == {"train": 90, "validation": 10, "test": 100} and set(result[100:]) == {"test"}


def test_every_split_has_what_evaluation_needs_or_the_images_that_are_missing_are_counted():
    assert LEAST == MIN_IMAGES
    for count in (24, 50, 93, 94):
        for classes in (1, 5, count):
            check(Counter(assign([str(i) for i in range(count)], [i % classes for i in range(count)])))
    with pytest.raises(InputError, match=r"7 train, 8 validation, 8 test; .* so 1 are missing \(1 train\)"):
        check(Counter(assign([str(i) for i in range(23)], [0] * 23)))


def test_a_prepared_set_with_too_few_images_is_refused_before_a_run():
    counts = {"train": 30, "validation": 8, "test": 8}
    about = {"name": "x", "title": "x", "source": "x", "licence": "x", "credit": "x", "resolution": 8}
    card = DatasetCard(**about, channels=1, counts=counts)
    assert evaluable(card) is card
    sources = Sources(resolution=8, channels=1, counts=counts | {"test": 5})
    with pytest.raises(InputError, match=r"so 3 are missing \(3 test\)"):
        evaluable(card.model_copy(update={"sources": sources}))


@given(some.lists(some.text("abcdefgh", max_size=2), max_size=30))
def test_names_are_ranked_as_a_stable_sort_of_their_ranks_would(names):
    assert ranked(names).tolist() == sorted(range(len(names)), key=lambda i: rank(names[i]))
