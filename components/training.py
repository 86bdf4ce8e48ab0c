"""The one loop. It knows phases, never a family.

    every step: reseed, next batch, learning rate, every due phase, average
    every so often: log, validate, sample a fixed-seed grid, checkpoint, report

Everything random is a function of (seed, attempt, step, phase, shard) and the data position is a function of
the step, so there is no state to lose but what a checkpoint holds. To resume, call it again.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from components import posthoc
from components.config import Train
from components.data.dataset import Split, latents_of, to_float
from components.distributed import Buffers, Group, Replica, derive, evaluated, seed
from components.ema import EMA
from components.errors import Diverged, InputError
from components.health import Diagnosis, Probe
from components.watch import Watch, carried, event, stopped
from models.family import Batch, Card, Family, Noise, Phase, Remedy, Terms
from models.layers import calibrate, has_batch_norm

STANDING_BATCHES, STANDING_IMAGES = 4, 128
PART = re.compile(r"\w+_[tz]\d+")  # a part of what is observed, by noise or by latent: of training alone

Report = Callable[[int, dict[str, float], str | None], None]
"""Called on every process as often as on the others.

Report(step, metrics, name of a checkpoint just written).
"""


class Source(Protocol):
    """Where batches come from: position is a function of the step."""

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """The part of step's batch that belongs to `shard`."""


class Log(Protocol):
    """Where a run writes; only the first process has one that does."""

    def row(self, step: int, values: dict[str, float]) -> None:
        """Add a line of metrics."""

    def grid(self, step: int, generator: nn.Module) -> None:
        """Draw the fixed-seed samples of this step."""

    def event(self, found: dict[str, Any], generator: nn.Module) -> None:
        """Keep a diagnosis, with the fixed-seed samples it is about."""

    def load(self, moment: tuple[int, int]) -> dict[str, Any]:
        """The state saved at an (attempt, step); needed of the first process only."""

    def watch(self, how: dict[str, Any]) -> None:
        """Say under which policy, how often and with which bands a doctor looks."""

    def go_back(self, step: int, attempt: int) -> None:
        """What follows belongs to a later attempt, which starts after `step` steps."""

    def judge(self, step: int, generator: nn.Module) -> dict[str, float]:
        """Quality of other fixed-seed samples of this step, on validation; empty where nothing judges."""

    def save_tracks(self, moment: tuple[int, int], snapshot: Terms) -> None:
        """Store what averages of other lengths are made from."""

    def stored_tracks(self, moments: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the moments of which such a snapshot is there."""

    def load_tracks(self, moment: tuple[int, int]) -> Terms:
        """What was stored of an (attempt, step)."""

    def save(self, step: int, state: dict[str, Any]) -> str:
        """Store a checkpoint and all lines so far; returns its name."""

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Say where the run is; called every step, and cheap."""


@dataclass
class Control:
    """What steers a run across steps besides weights; saved with them."""

    step: int = 0
    attempt: int = 1  # raised when training goes back to an earlier step; it enters the seeds
    seconds: float = 0.0  # of training, over all interruptions
    best_score: float = math.inf  # lower is better
    best_step: int = 0  # 0: nothing selects
    bad_validations: int = 0
    stopped: bool = False
    healthy: tuple[int, int] | None = None  # attempt and step of the last checkpoint without any complaint
    events: list[dict[str, Any]] = field(default_factory=list)  # diagnoses
    treatments: list[dict[str, Any]] = field(default_factory=list)  # what was done about them
    changes: dict[str, Any] = field(default_factory=dict)  # settings of the family that treatments changed
    curve: list[dict[str, float]] = field(default_factory=list)  # step and quality of every judged snapshot


@dataclass
class Trained:
    """What training leaves besides its weights, which Trainer.weights gives."""

    control: Control
    images: int
    terms: dict[str, float] = field(default_factory=dict)


def learning_rate(schedule: str, step: int, steps: int, warmup_steps: int = 0) -> float:
    """The factor of the base learning rate at `step`, from 0.

    A pure function, so there is no scheduler to save.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    left = 1 - (step - warmup_steps) / max(1, steps - warmup_steps)
    return {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left))),
        "sqrt": math.sqrt(left),
    }[schedule]


class Means:
    """Means of what the phases observe until they are taken; nothing is read from the device before."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, phase: str, terms: Terms) -> None:
        """Another update of a phase."""
        for name, value in terms.items():
            key = f"{phase}/{name}"
            self.sums[key] = self.sums[key] + value if key in self.sums else value
            self.counts[key] = self.counts.get(key, 0) + 1

    def take(self, group: Group) -> dict[str, float]:
        """The means over all processes; the next ones start from nothing."""
        means = group.mean({key: total / self.counts[key] for key, total in self.sums.items()})
        self.sums, self.counts = {}, {}
        return {key: float(value) for key, value in means.items()}


class Trainer:
    """A family in training on one process of a group."""

    def __init__(
        self, family: Family, settings: Train, *, group: Group | None = None, probe: Probe | None = None
    ):
        self.settings, self.group = settings, group or Group()
        self.shards = self.group.shards(settings.shards)
        self.best: Terms | None = None
        self.control = Control()
        self.take_up(family)
        self.watch = Watch(self, probe)

    def take_up(self, family: Family) -> None:
        """Train this family from now on, as it is."""
        settings = self.settings
        if settings.smoke:
            most = settings.steps // 2
            family.phases = [replace(p, every=min(p.every, most)) for p in family.phases]
        # channels_last is what convolutions are fastest in, on CPUs and GPUs; dense networks do not notice.
        self.family = family.to(self.group.device).to(memory_format=torch.channels_last).train()
        self.ema = EMA(family.generator, settings.ema_half_life_images, settings.ema_ramp_up)
        self.tracks = posthoc.Tracks(family.generator) if settings.ema_lengths else None
        self.replica = Replica(family, self.group)
        self.buffers = Buffers(family, self.shards)
        self.base_rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in family.optimizers]
        self.logged, self.looked = Means(), Means()  # since the last row, and since the doctor's last look

    # One step.

    def step(self, data: Source) -> None:
        """Train on the next batch: every due phase, then the average."""
        step, settings = self.control.step, self.settings
        self.family.begin(step)
        self.set_learning_rates(step)
        batches = [data.at(step, shard, settings.shards) for shard in self.shards]
        batches = [self.place(batch) for batch in batches]
        for index, phase in enumerate(self.family.phases):
            if phase.is_due(step):
                self.update(index, phase, batches)
        self.buffers.settle()
        self.control.step += 1
        self.ema.update(settings.batch, self.images)
        if self.tracks:
            self.tracks.update(self.family.generator, self.control.step)

    def update(self, index: int, phase: Phase, batches: Sequence[Batch]) -> None:
        """One optimizer update: the mean gradient of the phase's loss over all shards."""
        parameters = phase.parameters
        self.train_only(parameters)
        phase.optimizer.zero_grad(set_to_none=True)
        seen: list[Terms] = []
        for shard, batch in zip(self.shards, batches, strict=True):
            moment = self.control.attempt, self.control.step
            seed(derive(self.settings.seed, *moment, index, shard), self.group.device)
            with self.replica.accumulating(last=shard == self.shards[-1]), self.buffers.of(shard, index):
                with self.autocast():
                    loss, terms = self.replica(index, batch)
                (loss / len(batches)).backward()
            seen.append(terms)
        if len(seen) > 1:
            seen = [{name: torch.stack([s[name] for s in seen]).mean() for name in seen[0]}]
        (terms,) = seen
        after = self.control.step + 1
        if (
            self.settings.clip
            or self.is_logged(after)
            or any(self.watch.is_due(after + i) for i in range(phase.every))
        ):
            largest = self.settings.clip or math.inf
            terms["grad_norm"] = nn.utils.clip_grad_norm_(parameters, largest, foreach=True).detach()
        phase.optimizer.step()
        if phase.after:
            terms = self.group.mean(terms)
            with self.buffers.shared(), torch.no_grad():
                phase.after(terms)
        self.logged.add(phase.name, terms)
        if self.watch.examines:
            self.looked.add(phase.name, terms)

    def train_only(self, parameters: Sequence[nn.Parameter]) -> None:
        """While a phase's loss runs, exactly its parameters require gradients."""
        if len(self.family.phases) == 1:
            return
        chosen = {id(p) for p in parameters}
        for p in self.family.parameters():
            p.requires_grad_(id(p) in chosen)

    def place(self, batch: Batch) -> Batch:
        """The batch on the device, images in the layout of the networks."""
        return batch.to(self.group.device).map(
            lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        )

    def set_learning_rates(self, step: int) -> None:
        """Base rate times schedule, for every optimizer."""
        s = self.settings
        factor = learning_rate(s.schedule, step, s.steps, s.warmup_steps)
        for optimizer, rates in zip(self.family.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def autocast(self) -> torch.autocast:
        """bfloat16 where the settings say so; no scaler, since bfloat16 has float32's range."""
        return torch.autocast(
            self.group.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"
        )

    @property
    def images(self) -> int:
        """Images seen so far, over all workers."""
        return self.control.step * self.settings.batch

    # What is logged.

    def is_logged(self, step: int) -> bool:
        """Whether a line of metrics is due after `step` steps."""
        s = self.settings
        return step % s.log_every == 0 or step % s.checkpoint_every == 0 or step == s.steps

    def collect(self) -> dict[str, float]:
        """Means since the last line; raises Diverged where one is not finite and there is no doctor."""
        values = self.logged.take(self.group)
        if not self.watch.examines and (broken := self.broken(values)):
            raise Diverged(
                f"{broken.sentence} The last good checkpoint is kept. Lower the learning rate or clip."
            )
        return values

    def broken(self, values: Mapping[str, float]) -> Diagnosis | None:
        """The diagnosis where a logged mean is not finite; under treatment it has to wait for a look."""
        evidence = {key: value for key, value in values.items() if not math.isfinite(value)}
        if not evidence or (self.watch.examines and self.settings.treats):
            return None
        key, value = next(iter(evidence.items()))
        within = f"within the {self.settings.log_every} steps before step {self.control.step}"
        return Diagnosis("non_finite", self.control.step, f"{key} became {value} {within}.", evidence)

    # Validation.

    @torch.no_grad()
    def validate(self, batches: Sequence[Batch]) -> tuple[dict[str, float], dict[str, float]]:
        """The phase's terms, and what it observes, of the averaged weights on held-out batches.

        Always with the same noise. The terms add up to the loss.
        """
        (phase,) = self.family.phases
        sums: tuple[dict[str, float], dict[str, float]] = ({}, {})
        images = sum(len(batch) for batch in batches)
        with self.ema.in_place_in(self.family), self.autocast():
            self.family.eval()
            for i, batch in enumerate(batches):
                seed(derive(self.settings.seed, "validation", i), self.group.device)
                terms, seen = evaluated(phase, self.place(batch))
                whole = {name: value for name, value in seen.items() if not PART.fullmatch(name)}
                for total, values in zip(sums, (terms, whole), strict=True):
                    for name, value in values.items():
                        total[name] = total.get(name, 0.0) + float(value.float().mean()) * len(batch) / images
        self.family.train()
        return self.group.agree(sums)

    def select(self, score: float) -> None:
        """Keep the weights if they are the best so far; after too many that are not, stop."""
        control, patience = self.control, self.settings.patience
        if score < control.best_score:
            control.best_score, control.best_step, control.bad_validations = score, control.step, 0
            self.best = {k: v.clone() for k, v in self.ema.generator.state_dict().items()}
            return
        control.bad_validations += 1
        control.stopped = patience is not None and control.bad_validations >= patience

    # State.

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, of every process."""
        shards: dict[int, Terms] = {}
        for part in self.group.gather(self.buffers.state()):
            shards |= part
        return {
            "family": self.family.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.family.optimizers],
            "ema": self.ema.generator.state_dict(),
            "best": self.best,
            "tracks": self.tracks.state() if self.tracks else None,
            "shards": shards,
            "control": vars(self.control).copy(),
            "watch": self.watch.state(),
        }

    def adjust(self, change: Mapping[str, Any]) -> None:
        """Go on with some settings of the family changed: weights, averages and moments stay.

        Raises:
            InputError: the family does not accept a value, or a network would change its shape.
        """
        state = self.state()
        try:
            family = self.family.changed(change)
        except ValueError as error:
            raise InputError(f"milestone at step {self.control.step}: {error}") from None
        self.take_up(family)
        if lost := [name for name, fits in self.carry_over(state).items() if not fits]:
            raise InputError(
                f"milestone at step {self.control.step}: with {', '.join(change)} changed, the {lost[0]} "
                "would have another shape"
            )
        self.control.changes |= change

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        if changes := state["control"]["changes"]:
            self.take_up(self.family.changed(changes))
        self.family.load_state_dict(state["family"])
        for optimizer, saved in zip(self.family.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.ema.generator.load_state_dict(state["ema"])
        self.best = state["best"]
        if self.tracks:
            self.tracks.load_state(state["tracks"])
        self.buffers.load_state(state["shards"])
        self.control = Control(**state["control"])
        self.watch.load_state(state["watch"])

    def treat(self, found: dict[str, Any], remedy: Remedy, state: dict[str, Any] | None) -> dict[str, Any]:
        """Go back to a healthy state with the family's settings changed; the event with what was done.

        Networks that the change leaves as they were keep weights, averages and moments; others start again,
        and all do where there is no healthy state.
        """
        now = self.control
        back = Control(**state["control"]) if state else Control()
        changes = now.changes | dict(remedy.change)
        torch.manual_seed(derive(self.settings.seed, "weights", now.attempt + 1))
        self.take_up(self.family.changed(remedy.change))
        fits = self.carry_over(state) if state else {}
        treatment = {
            "remedy": remedy.name,
            "paper": remedy.paper,
            "change": dict(remedy.change),
            "back_to": back.step,
            "carried": {
                name: "weights carry over" if fits.get(name) else "starts again"
                for name, _ in self.family.named_children()
            },
            "next_attempt": now.attempt + 1,
        }
        found = found | {"treatment": treatment}
        self.control = replace(
            back,
            attempt=now.attempt + 1,
            seconds=now.seconds,
            healthy=(now.attempt + 1, back.step),
            events=[*now.events, found],
            treatments=[*now.treatments, treatment],
            changes=changes,
        )
        self.watch.doctor.reset()
        return found

    def carry_over(self, state: dict[str, Any]) -> dict[str, bool]:
        """Load of a state what still fits the family; says for each network whether it did."""
        fits = carried(state["family"], self.family)
        kept = {key: v for key, v in state["family"].items() if fits.get(key.split(".")[0], True)}
        self.family.load_state_dict(kept, strict=False)
        networks = dict(self.family.named_children())
        lost = {id(p) for name, fit in fits.items() if not fit for p in networks[name].parameters()}
        for optimizer, saved in zip(self.family.optimizers, state["optimizers"], strict=True):
            own = optimizer.state_dict()
            same = own["param_groups"][0].keys() == saved["param_groups"][0].keys()  # the same kind
            if same and not any(id(p) in lost for g in optimizer.param_groups for p in g["params"]):
                optimizer.load_state_dict({**own, "state": saved["state"]})
        self.best = state["best"] if fits["generator"] else None
        if fits["generator"]:
            self.ema.generator.load_state_dict(state["ema"])
            if self.tracks:
                self.tracks.load_state(state["tracks"])
        for shard in self.shards:
            of_shard = {k: v for k, v in state["shards"][shard].items() if fits[k.split(".")[0]]}
            self.buffers.put(shard, of_shard)
        return fits

    def weights(self, which: str) -> nn.Module:
        """The averaged generator as it was best, or as it is at last; once best, it is no longer last."""
        if which == "best" and self.best is not None:
            self.ema.generator.load_state_dict(self.best)
        return self.calibrated()

    def calibrated(self) -> nn.Module:
        """The averaged generator, its BatchNorm statistics recomputed for its weights from fixed seeds."""
        generator, card = self.ema.generator, self.family.card
        if has_batch_norm(generator):
            calibrate(
                generator, (standing_batch(card, i, self.group.device) for i in range(STANDING_BATCHES))
            )
        return generator


def standing_batch(card: Card, number: int, device: torch.device) -> tuple[Batch, Noise]:
    """Condition and noise from which BatchNorm statistics are recomputed: the same in every run."""
    n = STANDING_IMAGES
    label = torch.arange(n, device=device) % card.num_classes if card.num_classes else None
    return Batch(n, label=label), Noise((derive("standing", number, i) for i in range(n)), device)


def train(
    trainer: Trainer,
    data: Source,
    log: Log,
    *,
    validation: Sequence[Batch] = (),
    resume: dict[str, Any] | None = None,
    report: Report = lambda step, metrics, checkpoint: None,
    stop_at: int | None = None,
) -> Trained:
    """Train to the end of the settings, or until validation no longer improves.

    Args:
        trainer: the family and its settings.
        data: batches by step.
        log: where rows, grids and checkpoints go.
        validation: held-out batches; used where the family has one phase, whose loss then is a measure.
        resume: a checkpoint's state to go on from.
        report: told at every checkpoint.
        stop_at: a step at which to stop for now, to be resumed from its checkpoint.

    Raises:
        Diverged: a term is not finite; the last good checkpoint stays.
    """
    settings = trainer.settings
    if resume is None:
        snapshot(trainer, log)
    else:
        trainer.load_state(resume)
        refuse_again(trainer)
    control = trainer.control
    grids, watch = grid_steps(settings), trainer.watch
    if watch.examines:
        log.watch(watch.described)
    validates = bool(validation) and len(trainer.family.phases) == 1
    by_loss = validates and settings.patience is not None  # what stops a training early also selects
    changes = {milestone.step: milestone.change for milestone in settings.milestones}
    row: dict[str, float] = {}
    began = time.perf_counter() - control.seconds
    end = settings.steps if stop_at is None else min(stop_at, settings.steps)
    while control.step < end and not control.stopped:
        if control.step in changes:
            trainer.adjust(changes[control.step])
        trainer.step(data)
        step = control.step
        control.seconds = time.perf_counter() - began
        log.progress(step, row)
        checked: dict[str, float] = {}
        if validates and (step % settings.validate_every == 0 or step == settings.steps):
            terms, seen = trainer.validate(validation)
            checked = terms | seen
            if by_loss:
                trainer.select(sum(terms.values()))
        drawn = step in grids or control.stopped
        vitals, diagnosis = watch.look() if watch.is_due(step) else ({}, None)
        if trainer.is_logged(step) or checked or drawn or vitals:
            row = trainer.collect() | {f"validation/{k}": v for k, v in checked.items()}
            diagnosis = diagnosis or trainer.broken(row)
            row |= {f"health/{k}": v for k, v in vitals.items()}
            judged = snapshot(trainer, log) if drawn else {}
            if judged and not by_loss:
                trainer.select(judged["score"])
            row |= {f"judged/{k}": v for k, v in judged.items() if k != "score"}
            log.row(step, {"images": trainer.images, "seconds": control.seconds, **row})
        if diagnosis and respond(trainer, log, diagnosis):
            control = trainer.control
            continue
        saved = step % settings.checkpoint_every == 0 or step == settings.steps or control.stopped
        if saved and watch.healthy:
            control.healthy = (control.attempt, step)
        if saved:
            name = log.save(step, trainer.state())
            report(step, row | {"seconds": time.perf_counter() - began}, name)
    return Trained(control, trainer.images, row)


def respond(trainer: Trainer, log: Log, diagnosis: Diagnosis) -> bool:
    """Do about a diagnosis what the policy says; whether training has gone back to an earlier step.

    Raises:
        Diverged: the policy is to stop, or nothing is left to try; the last healthy checkpoint stays.
    """
    control, watch = trainer.control, trainer.watch
    remedy, generator = watch.remedy(diagnosis.disease), trainer.calibrated()
    action = "treated" if remedy else watch.otherwise(diagnosis.disease)
    found = event(diagnosis, control.attempt, action)
    if remedy is None:
        control.events.append(found)
        log.event(found, generator)
        if action == "stopped":
            log.save(control.step, trainer.state())
            refuse_again(trainer)
        return False
    state = trainer.group.agree(log.load(control.healthy)) if control.healthy else None
    found = trainer.treat(found, remedy, state)
    log.event(found, generator)
    control = trainer.control
    log.go_back(control.step, control.attempt)
    log.watch(watch.described)
    log.save(control.step, trainer.state())
    return True


def refuse_again(trainer: Trainer) -> None:
    """A training that the doctor stopped stays so: raises Diverged with why and what had been tried."""
    control = trainer.control
    if control.events and control.events[-1]["action"] == "stopped":
        raise stopped(control.events[-1], trainer.settings.health, control.treatments)


def snapshot(trainer: Trainer, log: Log) -> dict[str, float]:
    """Draw the samples of this step and judge them: `score`, lower is better, and what it was chosen from.

    Decisions rest on it, so all processes hear what the first one found. Empty where nothing judges.
    """
    generator, control = trainer.calibrated(), trainer.control
    log.grid(control.step, generator)
    if trainer.tracks and control.step:
        moment = trainer.tracks.mark(control.attempt, control.step)
        log.save_tracks(moment, posthoc.flat(trainer.tracks.parameters))
    judged: dict[str, float] = trainer.group.agree(log.judge(control.step, generator))
    if judged:
        values = {name: value for name, value in judged.items() if name != "score"}
        control.curve.append({"step": control.step, **values})
    return judged


@torch.no_grad()
def try_lengths(trainer: Trainer, log: Log) -> dict[str, Any]:
    """Judge averages of other lengths as snapshots are judged; one that beats the ordinary becomes the best.

    The ordinary average is the one that would be kept without: of the best snapshot, or of the last step. For
    the first process, after training; the averaged generator is afterwards what it was.

    Returns:
        `won`: the length that did, None where it was the ordinary; `curve`: length and quality, and `missed`,
        how far the profile is from that of the length; `snapshots`: how many they were made from.
    """
    assert trainer.tracks
    control, generator, settings = trainer.control, trainer.ema.generator, trainer.settings
    last = {name: value.clone() for name, value in generator.state_dict().items()}
    ordinary = trainer.weights("best" if settings.keep == "best" else "last")
    curve: list[dict[str, Any]] = [{"length": None, **log.judge(control.step, ordinary)}]
    generator.load_state_dict(last)
    won, lowest, best = None, curve[0]["score"], trainer.best
    if math.isnan(lowest):
        lowest = math.inf
    moments = log.stored_tracks(trainer.tracks.moments)
    lengths = settings.ema_lengths if moments else ()
    made = posthoc.averages(lengths, moments, map(log.load_tracks, moments), control.step)
    for length, (parameters, missed) in zip(lengths, made, strict=True):
        for name, mine in generator.named_parameters():
            mine.copy_(parameters[name])
        judged = log.judge(control.step, trainer.calibrated())
        curve.append({"length": length, "missed": missed, **judged})
        if judged["score"] < lowest:
            won, lowest = length, judged["score"]
            best = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.load_state_dict(last)
    if won is not None:
        trainer.best, control.best_step = best, control.step
    return {"won": won, "curve": curve, "snapshots": len(moments)}


def grid_steps(settings: Train) -> set[int]:
    """The steps after which samples are drawn: evenly spaced, the last one among them."""
    return {round(settings.steps * (i + 1) / settings.sample_grids) for i in range(settings.sample_grids)}


def held_out(split: Split, size: int, limit: int = 1000) -> list[Batch]:
    """Up to `limit` images of a split as batches of `size`, in their order."""
    images = min(len(split), limit)
    return [split_batch(split, range(start, min(start + size, images))) for start in range(0, images, size)]


def split_batch(split: Split, index: range) -> Batch:
    """The images `index` of a split as one batch."""
    rows = list(index)
    text, mask = (None, None) if split.text is None else split.text[rows].tensors()
    return Batch(
        n=len(rows),
        image=to_float(split.images[rows]),
        label=None if split.labels is None else torch.from_numpy(split.labels[rows]),
        source=None if split.sources is None else to_float(split.sources[rows]),
        text=text,
        text_mask=mask,
        latent=latents_of(split, rows),
    )
