"""What a training makes of a diagnosis: tell, stop, or go back and treat."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from components.common.errors import RunError
from components.config.train import Train
from components.data.batches import Batches
from components.records.health import HealthEvent, Treatment
from components.sampling.conditions import FixedConditions
from components.store import Store
from components.store.uploader import Uploader
from components.training.distributed import Group
from components.training.health.detector import AnomalyDetector, Diagnosis
from components.training.health.monitor import sides_of
from components.training.health.probe import Probe
from components.training.log import NullLog
from components.training.loop import train
from components.training.run_log import RunLog
from components.training.state import Trained
from components.training.trainer import Trainer
from models.family import Phase
from tests import tiny, two_ranks
from tests.tiny import equal

pytestmark = pytest.mark.slow


def sick(monkeypatch: pytest.MonkeyPatch, *moments: tuple[int, int], disease: str = "mode_collapse") -> None:
    """A doctor that finds a disease at these attempts and steps, and all well otherwise."""
    check = Trainer.check_health

    def finds(self: Trainer) -> tuple[dict[str, float], Diagnosis | None]:
        vitals, _ = check(self)
        control = self.control
        if (control.attempt, control.step) not in moments:
            return vitals, None
        return vitals, Diagnosis(disease, control.step, "Samples are all alike.", {"diversity": 0.1})

    monkeypatch.setattr(Trainer, "check_health", finds)
    monkeypatch.setattr(AnomalyDetector, "healthy", property(lambda self: True))


def settings(health: str, **changes: Any) -> Train:
    return tiny.settings(
        **{"steps": 12, "health": health, "health_every": 1, "checkpoint_every": 2} | changes
    )


def run(
    chosen: Train, name: str = "dcgan", resume: dict[str, Any] | None = None
) -> tuple[Trainer, tiny.Memory, Trained]:
    torch.set_num_threads(1)
    trainer, log = tiny.trainer(name, chosen), tiny.Memory()
    trained = train(trainer, Batches(tiny.split(), chosen.batch, chosen.seed), log, resume=resume)
    return trainer, log, trained


def test_observed_training_is_the_undisturbed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calm, _, _ = run(settings("observe", health_every=5))
    sick(monkeypatch, (1, 5), (1, 7))
    observed, log, trained = run(settings("observe"))
    assert equal(calm.family.state_dict(), observed.family.state_dict())
    assert equal(calm.ema.generator.state_dict(), observed.ema.generator.state_dict())
    assert [e.step for e in log.events] == [5, 7] == [e.step for e in trained.control.events]
    assert {e.action for e in log.events} == {"observed"} and log.events[0].treatment is None


def test_vitals_are_logged_and_reduced() -> None:
    _, log, _ = run(settings("observe"))
    vitals = {key.removeprefix("health/") for key in log.rows[-1] if key.startswith("health/")}
    networks, measures = ("discriminator", "generator"), ("loss", "grad_norm", "weight_norm")
    norms = {f"{network}_{measure}" for network in networks for measure in measures}
    assert vitals == {"D(x)", "D(G(z))", "auc", *norms}


def test_families_with_one_phase_are_not_examined() -> None:
    _, log, _ = run(settings("treat"), "vae")
    assert not any(key.startswith("health/") for row in log.rows for key in row)


def test_phases_of_other_names_are_examined_by_their_roles() -> None:
    """As StyleGAN2 calls them, with a third that plays no role of its own."""
    _, named, _ = run(settings("observe"))
    trainer, log = tiny.trainer("dcgan", settings("observe")), tiny.Memory()
    family = trainer.family
    d, g = (replace(phase, name=phase.name[0].upper(), role=phase.name) for phase in family.phases)
    family.phases = (d, g, Phase("G_path", lambda batch: {"none": torch.zeros(8)}, g.optimizer, every=20))
    assert (
        sides_of(family.phases) == {"discriminator": "D", "generator": "G"}
        and sides_of((d, family.phases[2])) == {}
    )
    trainer.set_family(family)
    train(trainer, Batches(tiny.split(), 8, 0), log)
    assert "D/auc" in log.rows[-1]
    for row, expected in zip(log.rows, named.rows, strict=True):
        vitals = {key: value for key, value in expected.items() if key.startswith("health/")}
        assert vitals and vitals.items() <= row.items()


def test_stop_says_why_and_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 5))
    trainer, log = tiny.trainer("dcgan", settings("stop")), tiny.Memory()
    data = Batches(tiny.split(), 8, 0)
    with pytest.raises(RunError, match="health: stop at step 5: mode collapse: Samples are all alike"):
        train(trainer, data, log)
    assert log.events[-1].action == "stopped"
    with pytest.raises(RunError, match="stop at step 5"):
        run(settings("stop"), resume=log.saved[5])


def test_treatment_goes_back_and_changes_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 5))
    trainer, log, trained = run(settings("treat", max_treatments=1))
    (treatment,) = trained.control.treatments
    assert treatment.back_to == 4 and treatment.next_attempt == 2 == trained.control.attempt
    assert treatment.remedy == "minibatch discrimination"
    assert trainer.family.config.minibatch_discrimination == 16  # type: ignore[attr-defined]
    assert treatment.carried == {"generator": "weights carry over", "discriminator": "starts again"}
    before, after = log.moments[1, 4], log.moments[2, 4]
    generator = {k: v for k, v in after["family"].items() if k.startswith("generator")}
    assert equal(generator, {k: v for k, v in before["family"].items() if k.startswith("generator")})
    assert equal(before["ema"], after["ema"]) and equal(before["optimizers"][1], after["optimizers"][1])
    assert after["optimizers"][0]["state"] == {}
    assert trained.control.step == 12
    assert [e.action for e in log.events] == ["treated"]


def test_settings_alone_leave_every_network_and_its_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 5), disease="oscillation")
    _, log, trained = run(settings("treat", max_treatments=1))
    (treatment,) = trained.control.treatments
    assert treatment.remedy == "lower learning rates"
    assert set(treatment.carried.values()) == {"weights carry over"}
    assert equal(log.moments[1, 4]["family"], log.moments[2, 4]["family"])
    states = [[o["state"] for o in log.moments[a, 4]["optimizers"]] for a in (1, 2)]
    assert equal(*states)
    rates = [log.moments[a, 4]["optimizers"][0]["param_groups"][0]["lr"] for a in (1, 2)]
    assert rates[1] == pytest.approx(rates[0] / 4)


@pytest.mark.parametrize("back", [0, 500, 1500])
def test_noise_as_a_treatment_starts_at_full_height(back: int) -> None:
    trainer = tiny.trainer("wgan_gp", settings("treat"))
    trainer.control.step = back
    (noise,) = trainer.family.remedies("vanishing_gradients")
    event = trainer.treat(HealthEvent(step=back + 5, attempt=1), noise, trainer.state())
    assert event.treatment and event.treatment.change == {"instance_noise": 0.2, "instance_noise_from": back}
    resumed = tiny.trainer("wgan_gp", settings("treat"))
    resumed.load_state(trainer.state())
    for family in (trainer.family, resumed.family):
        for steps, sigma in {0: 0.2, 500: 0.1, 1000: 0.0}.items():
            family.begin(back + steps)
            assert family.sigma == pytest.approx(sigma)


def test_what_was_tried_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 3), (2, 4), (3, 5), disease="oscillation")
    _, _, trained = run(settings("treat", max_treatments=3))
    taken = [treatment.remedy for treatment in trained.control.treatments]
    assert taken == ["lower learning rates", "R1 penalty", "spectral normalisation"]


def test_without_a_healthy_checkpoint_training_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 1))
    _, log, trained = run(settings("treat", max_treatments=1))
    (treatment,) = trained.control.treatments
    assert treatment.back_to == 0 and set(treatment.carried.values()) == {"starts again"}
    assert (2, 0) in log.moments


def test_the_same_seed_takes_the_same_treatments_however_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 5), (2, 8))
    chosen = settings("treat", max_treatments=2)
    whole, log, trained = run(chosen)
    assert len(trained.control.treatments) == 2
    for moment in [(1, 2), (1, 4), (2, 4), (2, 6), (3, 6), (3, 10)]:
        rest, _, again = run_from(log, chosen, moment)
        assert equal(whole.family.state_dict(), rest.family.state_dict()), moment
        assert again.control.treatments == trained.control.treatments


def run_from(
    log: tiny.Memory, chosen: Train, moment: tuple[int, int]
) -> tuple[Trainer, tiny.Memory, Trained]:
    """Go on from a moment, with no more than the checkpoints that were there by then."""
    trainer, other = tiny.trainer("dcgan", chosen), tiny.Memory()
    other.moments = {m: state for m, state in log.moments.items() if m <= moment}
    data = Batches(tiny.split(), chosen.batch, chosen.seed)
    return trainer, other, train(trainer, data, other, resume=log.load(moment))


def treated(group: Group, path: str) -> None:
    """One of two processes whose training is treated; the first leaves its state in a file."""
    with pytest.MonkeyPatch.context() as patch:
        sick(patch, (1, 5))
        trainer = tiny.trainer("dcgan", settings("treat"), group=group)
        log = tiny.Memory() if group.rank == 0 else NullLog()
        train(trainer, Batches(tiny.split(), 8, 0), log)
    if group.rank == 0:
        treatments = [treatment.to_json() for treatment in trainer.control.treatments]
        torch.save({"family": trainer.family.state_dict(), "treated": treatments}, path)


def test_two_workers_are_treated_like_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two_ranks.on_two_ranks(treated, str(tmp_path / "state.pt"))
    together = torch.load(tmp_path / "state.pt", weights_only=True)
    sick(monkeypatch, (1, 5))
    alone, _, trained = run(settings("treat"))
    assert [Treatment(**treated) for treated in together["treated"]] == trained.control.treatments != []
    for key, value in alone.family.state_dict().items():
        torch.testing.assert_close(together["family"][key], value, rtol=2e-3, atol=2e-4)


def test_treatments_are_bounded_and_end_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    sick(monkeypatch, (1, 3), (2, 3), (3, 4))
    with pytest.raises(RunError, match="after 2 treatments .minibatch discrimination, unrolled"):
        run(settings("treat", max_treatments=2))


def test_the_page_can_tell_every_attempt_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from components.sampling import generate

    sick(monkeypatch, (1, 5))
    store, chosen = Store(tmp_path), settings("treat", max_treatments=1)
    trainer = tiny.trainer("dcgan", chosen)
    with Uploader(store) as uploader:
        draw = lambda generator: generate.draw(generator, tiny.CARD, n=4, seed=1)  # noqa: E731
        log = RunLog(store, uploader, draw, chosen.steps)
        train(trainer, Batches(tiny.split(), 8, 0), log)
    assert not uploader.failed
    parts = store.list("metrics")
    assert "part-0000005-0000005.jsonl" in parts and "part-0000005-0000006-a2.jsonl" in parts
    rows = [json.loads(line) for part in parts for line in store.read_text(f"metrics/{part}").splitlines()]
    assert {(row["attempt"], row["step"]) for row in rows} == {
        *((1, step) for step in range(1, 6)),
        *((2, step) for step in range(5, 13)),
    }
    event = store.read_json("health/event-1-0000005.json")
    assert event["treatment"]["back_to"] == 4 and store.exists(event["picture"])
    assert store.read_json("health/watch.json")["policy"] == "treat"
    assert len(store.list("checkpoints")) <= 4  # two, the healthy one, and one still on its way when pruning


def test_the_probe_changes_nothing_and_is_seen() -> None:
    chosen = settings("observe")
    plain, _, _ = run(chosen)
    torch.manual_seed(0)
    trainer, log = tiny.trainer("dcgan", chosen), tiny.Memory()
    real = tiny.split().images[:]
    probe = Probe(
        FixedConditions(tiny.CARD), lambda x: x.flatten(1), torch.from_numpy(real) / 127.5 - 1, n=32
    )
    trainer.probe = probe
    train(trainer, Batches(tiny.split(), 8, 0), log)
    assert equal(plain.family.state_dict(), trainer.family.state_dict())
    assert {"health/diversity", "health/sample_drift"} <= log.rows[-1].keys()
