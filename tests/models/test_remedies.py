"""Remedies in training: with every family, interrupted, on two processes; and which is offered when."""

from __future__ import annotations

import copy
import functools
import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError

from components.data.batches import Batches
from components.families.catalogue import build, untrained
from components.training.health.detector import TITLES
from components.training.trainer import Trainer
from models.adversarial import Adversarial
from models.data_spec import DataSpec
from models.dcgan import DCGAN, DCGANConfig
from models.family import Remedy
from models.registry import FAMILIES
from tests import tiny, two_ranks

ADVERSARIAL = [name for name, kind in FAMILIES.items() if issubclass(kind, Adversarial)]
EVERY = pytest.mark.parametrize("name", ADVERSARIAL)

CHANGES: dict[str, dict[str, Any]] = {
    "minimax": {"loss": "minimax"},
    "least_squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "relativistic": {"loss": "relativistic"},
    "rmsprop": {"optimizer": "rmsprop"},
    "n_critic": {"n_critic": 2, "n_generator": 1},
    "n_generator": {"n_critic": 1, "n_generator": 2},
    "two_rates": {"lr_discriminator": 8e-4},
    "clip_weights": {"clip_weights": 0.05},
    "gradient_penalty": {"gradient_penalty": 10.0, "norm": "none"},
    "r1": {"r1": 1.0, "norm": "none"},
    "r1_r2": {"r1": 1.0, "r2": 0.5, "norm": "none"},
    "spectral_norm": {"spectral_norm": True, "norm": "none"},
    "minibatch_discrimination": {"minibatch_discrimination": 4},
    "minibatch_stddev": {"minibatch_stddev": 4},
    "unrolled": {"unrolled_steps": 2},
    "instance_noise": {"instance_noise": 0.3, "instance_noise_steps": 5},
    "label_smoothing": {"label_smoothing": 0.1},
    "diffaugment": {"augment": ["colour", "translation", "cutout"]},
    "ada": {
        "augment": ["colour", "translation", "cutout", "geometry"],
        "augment_p": 0.3,
        "ada_target": 0.6,
        "ada_steps": 10,
    },
    "wasserstein_penalty": {
        "loss": "wasserstein",
        "gradient_penalty": 10.0,
        "norm": "none",
        "clip_weights": None,
    },
}

CONTRADICTORY = {
    ("wgan", "spectral_norm"),  # its weights are clipped
    ("sngan", "clip_weights"),
    ("wgan_gp", "unrolled"),  # penalties in the inner steps
    ("r3gan", "unrolled"),
    ("stylegan", "unrolled"),
    ("stylegan2", "unrolled"),
    ("stylegan3", "unrolled"),
    ("wgan", "label_smoothing"),  # losses without labels
    ("wgan_gp", "label_smoothing"),
    ("r3gan", "label_smoothing"),
    ("esrgan", "label_smoothing"),
    ("wgan", "ada"),  # scores whose sign means little
    ("wgan_gp", "ada"),
    ("r3gan", "ada"),
    ("esrgan", "ada"),
}
COMPOSED = [
    (name, change) for name in ADVERSARIAL for change in CHANGES if (name, change) not in CONTRADICTORY
]


RISKY = ("spectral_norm", "ada", "instance_noise", "unrolled")  # with a state that a checkpoint holds
BRIEF = tiny.settings(steps=5, checkpoint_every=2)


@functools.cache
def trained(name: str, change: str) -> tuple[Trainer, tiny.Memory]:
    """A family trained with a remedy, once per process; whoever changes what it returns copies it first."""
    return tiny.run(name, BRIEF, change=CHANGES[change])


@pytest.mark.parametrize(("name", "change"), sorted(CONTRADICTORY))
def test_few_remedies_contradict_a_family(name: str, change: str) -> None:
    with pytest.raises(ValidationError):
        FAMILIES[name].Config(**{**tiny.CONFIGS[name], **CHANGES[change]})


updated: set[str] = set()  # configurations that `update` was called with


def update(name: str, change: dict[str, Any]) -> None:
    """Assert that one update in each phase moves both networks of a family by finite numbers."""
    made = tiny.trainer(name, BRIEF, change=change)
    config = f"{name} {made.family.config}"
    if config in updated:
        return
    updated.add(config)
    before = copy.deepcopy(made.family.state_dict())
    data = Batches(tiny.split(card=made.family.card), BRIEF.batch, BRIEF.seed)
    batches = [made.place(data.at(0, shard, BRIEF.micro_batches)) for shard in made.shards]
    made.family.begin(0)
    for index, phase in enumerate(made.family.phases):
        made.update(index, phase, batches)
    after = made.family.state_dict()
    moved = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved >= {"discriminator", "generator"}, change
    assert all(value.isfinite().all() for value in after.values()), change
    assert all(math.isfinite(value) for value in made.collect().values()), change


@EVERY
def test_remedies_compose_with_every_family(name: str) -> None:
    for change in [change for other, change in COMPOSED if other == name]:
        update(name, CHANGES[change])


@pytest.mark.parametrize(
    ("name", "change"), [c for c in COMPOSED if c[0] in ("gan", "cgan", "r3gan", "pix2pix") and c[1] in RISKY]
)
def test_interrupted_remedies_go_on_bit_for_bit(name: str, change: str) -> None:
    """On dense, on convolutional and on residual networks, and on patches."""
    _, whole = trained(name, change)
    _, rest = tiny.run(name, BRIEF, resume=copy.deepcopy(whole.saved[2]), change=CHANGES[change])
    assert tiny.equal(whole.saved[5], rest.saved[5])


@pytest.mark.parametrize("change", CHANGES)
def test_golden_losses_of_remedies(change: str, request: pytest.FixtureRequest) -> None:
    """On dense and on convolutional networks; a refactoring leaves them as they are."""
    rows: list[dict[str, float]] = []
    for name in ("gan", "dcgan"):
        _, log = trained(name, change)
        rows += [{f"{name}: {key}": value for key, value in row.items()} for row in tiny.losses(log)]
    golden = tiny.GOLDEN / f"remedy-{change}.txt"
    tiny.compare_golden(golden, rows, request.config.getoption("--golden"))


# Two processes.

SPREAD = [
    ("gan", "gradient_penalty"),
    ("gan", "r1_r2"),
    ("sngan", "spectral_norm"),
    ("sngan", "unrolled"),
    ("gan", "minibatch_discrimination"),
    ("gan", "ada"),
    ("wgan", "clip_weights"),
    ("pix2pix", "r1_r2"),
]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left what they trained."""
    trainings = [
        two_ranks.Training(f"{name}-{change}", name, BRIEF, tiny.card_of(name), CHANGES[change])
        for name, change in SPREAD
    ]
    return two_ranks.train_all(trainings, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "change"), SPREAD)
def test_remedies_on_two_ranks_equal_one(name: str, change: str, together: Path) -> None:
    two_ranks.compare(together, f"{name}-{change}", trained(name, change)[0])


@pytest.mark.slow
def test_p_has_moved_on_two_ranks(together: Path) -> None:
    """Else that they agree on it would say nothing."""
    state = torch.load(together / "gan-ada.pt", weights_only=True)["state"]
    assert abs(float(state["augment_p"]) - CHANGES["ada"]["augment_p"]) > 0.05


# Which remedy is offered against which disease.

OFFERED: dict[str, list[str]] = {
    "mode_collapse": [
        "minibatch discrimination",
        "unrolled discriminator steps",
        "Wasserstein loss with gradient penalty",
    ],
    "vanishing_gradients": [
        "discriminator no faster than the generator",
        "fewer discriminator steps",
        "Wasserstein loss with gradient penalty",
        "instance noise",
    ],
    "generator_too_strong": [
        "more discriminator steps",
        "slower generator",
        "Wasserstein loss with gradient penalty",
    ],
    "oscillation": [
        "calmer moments of Adam",
        "discriminator no faster than the generator",
        "lower learning rates",
        "R1 penalty",
        "spectral normalisation",
    ],
    "divergence": [
        "calmer moments of Adam",
        "discriminator no faster than the generator",
        "lower learning rates",
        "spectral normalisation",
        "R1 penalty",
    ],
    "non_finite": [
        "calmer moments of Adam",
        "discriminator no faster than the generator",
        "lower learning rates",
        "spectral normalisation",
    ],
}
DISEASES = pytest.mark.parametrize("disease", OFFERED)
LOWER = "lower learning rates"  # the only one that may be taken again and again


def family(name: str, **change: Any) -> Adversarial:
    card = tiny.card_of(name)
    upstream = untrained(name, card, tiny.CONFIGS)
    return cast(Adversarial, build(name, {**tiny.CONFIGS[name], **change}, card, upstream))


def course(made: Adversarial, disease: str, most: int = 12) -> list[tuple[Remedy, Adversarial]]:
    """The first remedy offered, applied, and again; each with the family as it is then."""
    taken: list[tuple[Remedy, Adversarial]] = []
    while len(taken) < most and (offered := made.remedies(disease)):
        made = made.changed(offered[0].change)
        taken.append((offered[0], made))
    return taken


def test_there_is_something_against_every_disease() -> None:
    assert OFFERED.keys() == TITLES.keys()


@DISEASES
def test_remedies_come_in_the_order_of_the_literature(disease: str) -> None:
    """Of settings with both faults that are mended first: absurd moments, and a D that is too fast."""
    made = family("gan", beta1=0.9, lr=2e-4, lr_discriminator=4e-4)
    assert [remedy.name for remedy in made.remedies(disease)] == OFFERED[disease]


@EVERY
def test_a_disease_nobody_knows_has_no_remedy(name: str) -> None:
    assert not family(name).remedies("hiccups")


@EVERY
@DISEASES
def test_whatever_is_offered_changes_something_and_is_accepted(name: str, disease: str) -> None:
    made = family(name)
    offered = made.remedies(disease)
    assert offered and [r.name for r in offered] == [
        n for n in OFFERED[disease] if n in {r.name for r in offered}
    ]
    for remedy in offered:
        assert "https://arxiv.org/abs/" in remedy.paper
        changed = made.changed(remedy.change).config.model_dump()
        assert changed != made.config.model_dump()
        assert {key: changed[key] for key in remedy.change} == dict(remedy.change)


@EVERY
@DISEASES
def test_what_was_done_is_not_offered_again(name: str, disease: str) -> None:
    done: list[tuple[str, dict[str, Any]]] = []
    for remedy, made in course(family(name), disease):
        done.append((remedy.name, dict(remedy.change)))
        again = [r.name for r in made.remedies(disease) if (r.name, dict(r.change)) in done]
        # Unrolling takes the place of minibatch discrimination; what was tried, a training does not repeat.
        assert not set(again) - {LOWER, "minibatch discrimination"}, f"after {[name for name, _ in done]}"


@EVERY
@pytest.mark.parametrize("disease", ["mode_collapse", "vanishing_gradients", "generator_too_strong"])
def test_remedies_end(name: str, disease: str) -> None:
    assert len(course(family(name), disease)) < 12


@EVERY
@DISEASES
def test_a_course_of_treatment_trains(name: str, disease: str) -> None:
    """As many as `train.max_treatments` allows by default, each on top of the ones before."""
    for _, made in course(family(name), disease, most=3):
        update(name, made.config.model_dump())


def test_each_remedy_in_figures() -> None:
    def change(disease: str, remedy: str, name: str = "gan", **settings: Any) -> dict[str, Any]:
        (result,) = (r for r in family(name, **settings).remedies(disease) if r.name == remedy)
        return dict(result.change)

    fewer, more = "fewer discriminator steps", "more discriminator steps"
    assert change("vanishing_gradients", fewer) == {"n_generator": 2}
    assert change("vanishing_gradients", fewer, "sngan") == {"n_critic": 1}
    assert change("generator_too_strong", more) == {"n_critic": 2}
    assert change("generator_too_strong", more, n_critic=2) == {"n_critic": 5}
    assert change("generator_too_strong", more, n_generator=2) == {"n_generator": 1}
    assert change("generator_too_strong", "slower generator") == {"lr": 5e-5, "lr_discriminator": 2e-4}
    assert change("oscillation", LOWER, lr_discriminator=4e-4) == {"lr": 5e-5, "lr_discriminator": 1e-4}
    assert change("oscillation", OFFERED["oscillation"][1], lr_discriminator=0.01) == {
        "lr_discriminator": 2e-4
    }
    assert change("oscillation", "calmer moments of Adam", beta1=0.9) == {"beta1": 0.5, "beta2": 0.999}
    assert change("oscillation", "calmer moments of Adam", beta2=0.1) == {"beta1": 0.5, "beta2": 0.999}


@EVERY
def test_the_wasserstein_remedy_is_the_whole_recipe(name: str) -> None:
    for remedy, made in course(family(name), "mode_collapse"):
        if remedy.name.startswith("Wasserstein"):
            config = made.config
            assert (config.loss, config.gradient_penalty, config.norm) == ("wasserstein", 10, "none")
            assert (config.clip_weights, config.label_smoothing, config.unrolled_steps) == (None, 0, 0)
            assert (config.optimizer, config.beta2, config.n_generator) == ("adam", 0.9, 1)
            assert config.n_critic >= 3 and config.lr_d == config.lr


def test_remedies_fit_a_network_of_any_size() -> None:
    made = DCGAN(DCGANConfig(width=4), DataSpec(3, 32))
    for remedy in made.remedies("mode_collapse"):
        assert [n for n, _ in made.changed(remedy.change).named_children()] == ["generator", "discriminator"]
