"""Steps and samples that fit into minutes, and the file that says where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.common.errors import InputError
from components.families.starters import suitable
from components.pipeline import first_config
from components.pipeline.first_config import Candidate, fitted, rounded, written
from components.training.rates import Rates
from flows import setup
from tests.families.test_starters import card

DATA = card()
CLASSIFIER = 0.02  # seconds of a step


def candidates(*rates: tuple[float, float], variants: int = 6, labelled: bool = False) -> list[Candidate]:
    starters, _ = suitable(DATA)
    return [
        Candidate(starter, Rates(*costs), [1.0] * variants if starter is starters[0] else [], labelled)
        for starter, costs in zip(starters, rates, strict=False)
    ]


def test_steps_are_rounded_down_to_two_digits() -> None:
    assert [rounded(n) for n in (0.5, 7.9, 99, 101, 1999, 45_678.9)] == [0, 7, 99, 100, 1900, 45_000]


@given(
    st.lists(st.tuples(st.floats(1e-3, 0.3), st.floats(1e-4, 0.2)), min_size=1, max_size=4),
    st.floats(10, 600),
    st.integers(1, 8),
)
def test_what_fits_takes_no_longer_than_its_share(
    rates: list[tuple[float, float]], minutes: float, cores: int
) -> None:
    config = fitted(DATA, candidates(*rates), minutes, cores, CLASSIFIER)
    assert 1 <= len(config.trainings) <= first_config.FAMILIES
    for training in config.trainings:
        assert training.steps >= training.candidate.starter.least_steps
    assert config.training <= first_config.TRAINING * minutes * 60 * 1.2
    dearest = max(training.candidate.rates.sample for training in config.trainings)
    if dearest < 0.01:
        assert config.evaluation <= first_config.EVALUATION * minutes * 60 * 1.01
    assert config.judging.samples <= DATA.counts["test"]


def test_slow_families_are_left_out_and_the_next_takes_their_place() -> None:
    config = fitted(
        DATA, candidates((60.0, 1.0), (0.01, 0.001), (0.01, 0.001), (0.01, 0.001)), 20, 2, CLASSIFIER
    )
    names = [training.candidate.starter.family for training in config.trainings]
    assert names == ["r3gan", "dcgan", "vae"]
    assert config.refused["diffusion"].startswith("0 steps would fit, and it needs 1,000 (--minutes ")


def test_two_families_with_enough_steps_are_better_than_three_without() -> None:
    costs = candidates((0.17, 0.05), (0.7, 0.001), (0.7, 0.001), (0.15, 0.001))
    config = fitted(DATA, costs, 8, 2, CLASSIFIER)
    chosen = {training.candidate.starter.family: training.steps for training in config.trainings}
    assert list(chosen) == ["diffusion", "r3gan"] and chosen["diffusion"] >= 1000
    assert list(config.refused) == ["dcgan", "vae"]
    assert config.refused["dcgan"].startswith("8 minutes are too few for another family, and ")


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.integers(1, 3), st.integers(3, 30))
def test_the_minutes_that_are_advised_train_as_many_steps(
    diffusion: float, gan: float, cores: int, minutes: int
) -> None:
    costs = candidates((diffusion, 0.01), (gan, 0.001), (0.05, 0.001), (0.03, 0.001))
    config = fitted(DATA, costs, minutes, cores, CLASSIFIER)
    for sentence in first_config.too_few(config):
        longer = int(sentence.split("--minutes ")[1].split()[0])
        assert longer > minutes
        again = fitted(DATA, costs, longer, cores, CLASSIFIER)
        assert not first_config.too_few(again)
        assert again.trainings[0].candidate == config.trainings[0].candidate, "the best stays"


def test_every_family_that_suits_is_chosen_or_left_out_with_a_reason_and_what_adds_it(
    tmp_path: Path, home: Path
) -> None:
    config = fitted(DATA, candidates(*[(0.01, 0.001)] * 4), 20, 2, CLASSIFIER)
    assert [training.candidate.starter.family for training in config.trainings] == [
        "diffusion",
        "r3gan",
        "dcgan",
    ]
    start = (
        "a first config has 3 families at most, and others suit the data better; for `atelier anomaly`, "
        "add `vae: "
    )
    assert list(config.refused) == ["vae"] and config.refused["vae"].startswith(start)
    text, block = written(config, "m", "init", "x.yaml"), config.refused["vae"].split("`")[3]
    path = tmp_path / "x.yaml"
    path.write_text(text.replace("families:\n", f"families:\n  {block}\n"))
    added = setup.experiment(path, []).training("vae")
    assert added.schedule == "cosine" and added.steps >= 300 and f"# Left out: vae: {start[:20]}" in text


def test_steps_too_few_for_recognisable_pictures_are_said_with_what_would_do() -> None:
    short, long = (fitted(DATA, candidates((0.5, 0.01)), minutes, 1, CLASSIFIER) for minutes in (20, 60))
    (sentence,) = first_config.too_few(short)
    assert (
        sentence.startswith("diffusion: ")
        and "; --minutes 34 trains as many, and so does data of " in sentence
    )
    assert sentence in written(short, "a machine", "init", "x.yaml") and not first_config.too_few(long)
    least = first_config.needed_minutes(short.trainings[0].candidate, 1, 1, 2000)
    assert not first_config.too_few(fitted(DATA, candidates((0.5, 0.01)), least, 1, CLASSIFIER))


def test_too_few_minutes_name_how_many_are_needed() -> None:
    slow = candidates((9.0, 1.0), (3.0, 0.1))
    with pytest.raises(
        InputError, match=r"--minutes 1 is too short .* 3 s a step; give at least --minutes 30"
    ):
        fitted(DATA, slow, 1, 2, CLASSIFIER)
    assert len(fitted(DATA, slow, 30, 2, CLASSIFIER).trainings) == 1


def test_slow_sampling_is_evaluated_with_fewer_samples() -> None:
    quick, slow = (fitted(DATA, candidates((0.05, sample)), 20, 1, CLASSIFIER) for sample in (0.001, 0.5))
    assert (quick.judging.samples, quick.judging.ablation_samples) == (100, 100)
    assert quick.trainings[0].snapshots == 8
    assert slow.judging.ablation_samples == 50 and slow.trainings[0].snapshot_samples == 64
    assert slow.evaluation <= 0.2 * 20 * 60


def test_classifiers_take_their_share_at_most() -> None:
    """With a fixed number of steps, they took longer than a training of minutes."""
    costs = candidates((0.05, 0.001), (0.05, 0.001), labelled=True)
    quick, slow = (fitted(DATA, costs, 8, 2, step) for step in (0.01, 0.2))
    assert (quick.judging.extractor_steps, quick.judging.classifier_steps) == (None, 400)
    assert (slow.judging.extractor_steps, slow.judging.classifier_steps) == (200, 100)
    assert slow.evaluation <= first_config.EVALUATION * 8 * 60
    assert slow.extractor == 300 * 0.2 <= 1.5 * first_config.EXTRACTOR * 8 * 60
    assert "extractor_steps: 200  # fewer than 400" in written(slow, "a machine", "init", "x.yaml")
    assert "classifier_steps" not in written(quick, "a machine", "init", "x.yaml")


def test_the_file_is_accepted_and_says_where_its_numbers_come_from(tmp_path: Path, home: Path) -> None:
    costs = candidates((0.2, 0.05), (0.1, 0.001), (9.0, 0.1))
    config = fitted(DATA, costs, 20, 2, CLASSIFIER, {"other": "it is slow"})
    text = written(config, "2 CPU cores", "atelier init x --minutes 20", "x.yaml")
    path = tmp_path / "x.yaml"
    path.write_text(text)
    experiment = setup.experiment(path, [])
    assert experiment.data.name == "x" and list(experiment.families) == ["diffusion", "r3gan"]
    steps = {training.candidate.starter.family: training.steps for training in config.trainings}
    assert {f: experiment.training(f).steps for f in experiment.families} == steps
    assert yaml.safe_load(text)["evaluate"] == {
        "samples": 100,
        "ablation_samples": config.judging.ablation_samples,
    }
    for words in (
        "400 training images of 32 pixels in colour, no classes",
        "written   by `atelier init x --minutes 20`",
        "command   atelier run x.yaml",
        "0.2 s a step, 0.05 s a sample",
        "Left out: other: it is slow.",
    ):
        assert words in text
