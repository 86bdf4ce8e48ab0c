"""The one loop. It knows phases, never a family.

    every step: reseed, next batch, learning rate, every due phase, average
    every so often: log, validate, sample a fixed-seed grid, checkpoint, report

Everything random is a function of (seed, attempt, step, phase, shard) and the data position is a function of
the step, so there is no state to lose but what a checkpoint holds. To resume, call it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from components.common.errors import Diverged, InputError
from components.common.seeds import derive, seed
from components.config.train import Train
from components.records.health import HealthEvent, Treatment
from components.sampling.conditions import FixedConditions
from components.training import posthoc_ema
from components.training.carry_over import compatible_networks
from components.training.distributed import Buffers, Group, Replica, evaluated
from components.training.ema import EMA
from components.training.health.detector import Diagnosis
from components.training.health.monitor import HealthMonitor, sides_of
from components.training.health.probe import Probe
from components.training.protocols import Source
from components.training.schedule import learning_rate
from components.training.state import Control, State
from models.family import Batch, Family, Noise, Phase, Remedy, Terms
from models.parts.layers import calibrate, has_batch_norm

STANDING_BATCHES, STANDING_IMAGES = 4, 128  # of which BatchNorm statistics are recomputed

PART = re.compile(r"\w+_[tz]\d+")  # a part of what is observed, by noise or by latent: of training alone


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

    def reduce(self, group: Group) -> dict[str, float]:
        """The means over all processes; the next ones start from nothing."""
        means = group.mean({key: total / self.counts[key] for key, total in self.sums.items()})
        self.sums, self.counts = {}, {}
        return {key: float(value) for key, value in means.items()}


class Trainer:
    """A family in training on one process of a group."""

    def __init__(
        self,
        family: Family,
        settings: Train,
        *,
        group: Group | None = None,
        probe: Probe | None = None,
        conditions: FixedConditions | None = None,
    ):
        self.conditions = conditions or FixedConditions(family.card)
        self.settings, self.group = settings, group or Group()
        self.shards = self.group.shards(settings.micro_batches)
        self.best: Terms | None = None
        self.control, self.probe = Control(), probe
        self.monitor = HealthMonitor(settings, sides_of(family.phases), family.bands)
        self.set_family(family)

    def set_family(self, family: Family) -> None:
        """Train this family from now on, as it is."""
        settings = self.settings
        if settings.smoke:
            most = settings.steps // 2
            family.phases = [replace(p, every=min(p.every, most)) for p in family.phases]
        # channels_last is what convolutions are fastest in, on CPUs and GPUs; dense networks do not notice.
        self.family = family.to(self.group.device).to(memory_format=torch.channels_last).train()
        self.ema = EMA(family.generator, settings.ema_half_life_images, settings.ema_rampup_ratio)
        self.tracks = posthoc_ema.PowerFunctionEMAs(family.generator) if settings.ema_sigma_rel else None
        self.replica = Replica(family, self.group)
        self.buffers = Buffers(family, self.shards)
        self.base_rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in family.optimizers]
        self.logged, self.looked = Means(), Means()  # since the last row, and since the last health check
        self.monitor.set_family(sides_of(family.phases), family.bands)

    # One step.

    def step(self, data: Source) -> None:
        """Train on the next batch: every due phase, then the average."""
        step, settings = self.control.step, self.settings
        self.family.begin(step)
        self.set_learning_rates(step)
        batches = [data.at(step, shard, settings.micro_batches) for shard in self.shards]
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
        if self.settings.clip_grad_norm or self.reads_gradient(phase):
            largest = self.settings.clip_grad_norm or math.inf
            terms["grad_norm"] = nn.utils.clip_grad_norm_(parameters, largest, foreach=True).detach()
        phase.optimizer.step()
        if phase.after:
            terms = self.group.mean(terms)
            with self.buffers.shared(), torch.no_grad():
                phase.after(terms)
        self.logged.add(phase.name, terms)
        if self.monitor.examines:
            self.looked.add(phase.name, terms)

    def reads_gradient(self, phase: Phase) -> bool:
        """Whether the gradient of this update is logged, or is the phase's last before a health check."""
        after = self.control.step + 1
        return self.is_logged(after) or self.monitor.is_due_within(after, phase.every)

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
        values = self.logged.reduce(self.group)
        if not self.monitor.examines and (broken := self.broken(values)):
            raise Diverged(
                f"{broken.sentence} The last good checkpoint is kept. Lower the learning rate or clip."
            )
        return values

    def broken(self, values: Mapping[str, float]) -> Diagnosis | None:
        """The diagnosis where a logged mean is not finite; under treatment it has to wait for a look."""
        evidence = {key: value for key, value in values.items() if not math.isfinite(value)}
        if not evidence or (self.monitor.examines and self.settings.treats):
            return None
        key, value = next(iter(evidence.items()))
        within = f"within the {self.settings.log_every} steps before step {self.control.step}"
        return Diagnosis("non_finite", self.control.step, f"{key} became {value} {within}.", evidence)

    # Health.

    def check_health(self) -> tuple[dict[str, float], Diagnosis | None]:
        """The health metrics where a check is due after this step, and a diagnosis where there is one."""
        step = self.control.step
        if not self.monitor.is_due(step):
            return {}, None
        means = self.looked.reduce(self.group)
        diversity = self.group.agree(self.probe(self.family.generator) if self.probe else {})
        return self.monitor.check(step, means, self.weight_norms(), diversity)

    def weight_norms(self) -> dict[str, float]:
        """The norms of all that each role of an adversarial game trains, by role."""
        phases = {phase.name: phase for phase in self.family.phases}
        return {role: norm(phases[name].parameters) for role, name in self.monitor.sides.items()}

    def remedy(self, disease: str) -> Remedy | None:
        """The next thing to do about it, first what was not tried, where the policy allows any more."""
        treatments, settings = self.control.treatments, self.settings
        if not settings.treats or len(treatments) >= settings.max_treatments:
            return None
        tried = {treatment.remedy for treatment in treatments}
        offered = self.family.remedies(disease)
        return next((r for r in offered if r.name not in tried), next(iter(offered), None))

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

    @property
    def selects_by_loss(self) -> bool:
        """Whether the validation loss of the only phase stops training early and selects the weights."""
        return self.settings.patience is not None and len(self.family.phases) == 1

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

    def state(self) -> State:
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
            "control": self.control.state(),
            "health": {
                "doctor": self.monitor.doctor.state(),
                "probe": self.probe.state() if self.probe else {},
            },
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
        self.set_family(family)
        if lost := [name for name, fits in self.load_compatible(state).items() if not fits]:
            raise InputError(
                f"milestone at step {self.control.step}: with {', '.join(change)} changed, the {lost[0]} "
                "would have another shape"
            )
        self.control.changes |= change

    def load_state(self, state: State) -> None:
        """Go on from what `state` returned."""
        if changes := state["control"]["changes"]:
            self.set_family(self.family.changed(changes))
        self.family.load_state_dict(state["family"])
        for optimizer, saved in zip(self.family.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.ema.generator.load_state_dict(state["ema"])
        self.best = state["best"]
        if self.tracks and state["tracks"]:
            self.tracks.load_state(state["tracks"])
        self.buffers.load_state(state["shards"])
        self.control = Control.load(state["control"])
        self.monitor.doctor.load_state(state["health"]["doctor"])
        if self.probe and state["health"]["probe"]:
            self.probe.load_state(state["health"]["probe"])

    def treat(self, event: HealthEvent, remedy: Remedy, state: State | None) -> HealthEvent:
        """Go back to a healthy state with the family's settings changed; the event with what was done.

        Networks that the change leaves as they were keep weights, averages and moments; others start again,
        and all do where there is no healthy state.
        """
        now = self.control
        back = Control.load(state["control"]) if state else Control()
        changes = now.changes | dict(remedy.change)
        torch.manual_seed(derive(self.settings.seed, "weights", now.attempt + 1))
        self.set_family(self.family.changed(remedy.change))
        fits = self.load_compatible(state) if state else {}
        treatment = Treatment(
            remedy=remedy.name,
            paper=remedy.paper,
            change=dict(remedy.change),
            back_to=back.step,
            carried={
                name: "weights carry over" if fits.get(name) else "starts again"
                for name, _ in self.family.named_children()
            },
            next_attempt=now.attempt + 1,
        )
        event = event.model_copy(update={"treatment": treatment})
        self.control = replace(
            back,
            attempt=now.attempt + 1,
            seconds=now.seconds,
            healthy=(now.attempt + 1, back.step),
            events=[*now.events, event],
            changes=changes,
        )
        self.monitor.doctor.reset()
        return event

    def load_compatible(self, state: State) -> dict[str, bool]:
        """Load of a state what still fits the family; says for each network whether it did."""
        fits = compatible_networks(state["family"], self.family)
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
            if self.tracks and state["tracks"]:
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
        generator = self.ema.generator
        if has_batch_norm(generator):
            calibrate(generator, (self.standing_batch(i) for i in range(STANDING_BATCHES)))
        return generator

    def standing_batch(self, number: int) -> tuple[Batch, Noise]:
        """Condition and noise from which BatchNorm statistics are recomputed: the same in every run."""
        noise = Noise((derive("standing", number, i) for i in range(STANDING_IMAGES)), self.group.device)
        return self.place(self.conditions(number, STANDING_IMAGES)), noise


def norm(parameters: Sequence[nn.Parameter]) -> float:
    """The Euclidean norm of all of them."""
    return float(torch.stack(torch._foreach_norm([p.detach() for p in parameters])).norm())
