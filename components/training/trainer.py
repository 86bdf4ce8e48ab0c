"""One training step of any family, with the validation, health metrics, selection and state of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from components.common.errors import Diverged, InputError
from components.common.seeds import derive
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

CALIBRATION_BATCHES, CALIBRATION_IMAGES = 4, 128  # from which BatchNorm statistics are recomputed

BREAKDOWN = re.compile(r"\w+_[tz]\d+")  # values by noise level or latent: logged in training only


class Means:
    """Running means of the values that phases log; they stay on the device until `reduce`."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, phase: str, terms: Terms) -> None:
        """Add the values of one update of a phase."""
        for name, value in terms.items():
            key = f"{phase}/{name}"
            self.sums[key] = self.sums[key] + value if key in self.sums else value
            self.counts[key] = self.counts.get(key, 0) + 1

    def reduce(self, group: Group, weight: float) -> dict[str, float]:
        """Return the means over all processes, this one with its weight, and start afresh."""
        means = group.mean({key: total / self.counts[key] for key, total in self.sums.items()}, weight)
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
        if self.group.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # float32 is float32; the fast precision is bfloat16
        self.shards = self.group.shards(settings.micro_batches)
        self.per_process = settings.micro_batches / self.group.size  # shards, on average
        self.weight = len(self.shards) / self.per_process  # of this process in means over all shards
        self.best: Terms | None = None
        self.control, self.probe = Control(), probe
        self.monitor = HealthMonitor(settings, sides_of(family.phases), family.bands)
        self.set_family(family)

    def set_family(self, family: Family) -> None:
        """Train this family from now on, with its present weights."""
        settings = self.settings
        if settings.smoke:
            half = settings.steps // 2
            family.phases = [replace(p, every=min(p.every, half)) for p in family.phases]
        # Convolutions are fastest in channels_last, on CPUs and GPUs; dense networks are unaffected.
        self.family = family.to(self.group.device).to(memory_format=torch.channels_last).train()
        self.ema = EMA(family.generator, settings.ema_half_life_images, settings.ema_rampup_ratio)
        self.tracks = posthoc_ema.PowerFunctionEMAs(family.generator) if settings.ema_sigma_rel else None
        self.replica = Replica(family, self.group)
        self.buffers = Buffers(family, self.shards)
        self.base_rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in family.optimizers]
        self.logged, self.since_check = Means(), Means()  # since the last row and the last health check
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
        """Make one optimizer update with the mean gradient of the phase's loss over all shards."""
        parameters = phase.parameters
        self.train_only(parameters)
        phase.optimizer.zero_grad(set_to_none=True)
        terms_of_shards: list[Terms] = []
        for shard, batch in zip(self.shards, batches, strict=True):
            attempt_and_step = self.control.attempt, self.control.step
            seed(derive(self.settings.seed, *attempt_and_step, index, shard), self.group.device)
            with self.replica.accumulating(last=shard == self.shards[-1]), self.buffers.of(shard, index):
                with self.autocast():
                    loss, terms = self.replica(index, batch)
                (loss / self.per_process).backward()  # DDP takes the mean over processes
            terms_of_shards.append(terms)
        terms = terms_of_shards[0]
        if len(terms_of_shards) > 1:
            terms = {name: torch.stack([shard[name] for shard in terms_of_shards]).mean() for name in terms}
        if self.settings.clip_grad_norm or self.reads_gradient(phase):
            largest = self.settings.clip_grad_norm or math.inf
            terms["grad_norm"] = nn.utils.clip_grad_norm_(parameters, largest, foreach=True).detach()
        phase.optimizer.step()
        if phase.after:
            terms = self.group.mean(terms, self.weight)
            with self.buffers.shared(), torch.no_grad():
                phase.after(terms)
        self.logged.add(phase.name, terms)
        if self.monitor.examines:
            self.since_check.add(phase.name, terms)

    def reads_gradient(self, phase: Phase) -> bool:
        """Whether the gradient norm of this update is logged, or is the last before a health check."""
        after = self.control.step + 1
        return self.is_logged(after) or self.monitor.is_due_within(after, phase.every)

    def train_only(self, parameters: Sequence[nn.Parameter]) -> None:
        """Let exactly these parameters require gradients."""
        if len(self.family.phases) == 1:
            return
        chosen = {id(p) for p in parameters}
        for p in self.family.parameters():
            p.requires_grad_(id(p) in chosen)

    def place(self, batch: Batch) -> Batch:
        """Return the batch on the device, images in the memory format of the networks."""
        if self.group.device.type == "cuda":  # from pinned memory, the copy runs beside the step before
            batch = batch.map(lambda t: t if t.is_cuda else t.pin_memory())
        return batch.to(self.group.device).map(
            lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        )

    def set_learning_rates(self, step: int) -> None:
        """Set the learning rates of all optimizers: base rate times schedule, times the family's factor."""
        s = self.settings
        factor = learning_rate(s.schedule, step, s.steps, s.warmup_steps) * self.family.lr_factor
        for optimizer, rates in zip(self.family.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the settings; bfloat16 has float32's range, so needs no scaler."""
        return torch.autocast(
            self.group.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"
        )

    @property
    def images(self) -> int:
        """The images trained on so far, over all workers."""
        return self.control.step * self.settings.batch

    # Logging.

    def is_logged(self, step: int) -> bool:
        """Whether a row of metrics is due after `step` steps."""
        s = self.settings
        return step % s.log_every == 0 or step % s.checkpoint_every == 0 or step == s.steps

    def is_resumable(self, step: int) -> bool:
        """Whether a checkpoint after `step` steps misses no mean of a row or a health check that follows."""
        return self.is_logged(step) and (not self.monitor.examines or self.monitor.is_due(step))

    def collect(self) -> dict[str, float]:
        """Return the means since the last row.

        Raises:
            Diverged: a mean is not finite, and health is not monitored.
        """
        values = self.logged.reduce(self.group, self.weight)
        if not self.monitor.examines and (diagnosis := self.non_finite(values)):
            raise Diverged(
                f"{diagnosis.sentence} The last good checkpoint is kept. Lower the learning rate or clip."
            )
        return values

    def non_finite(self, values: Mapping[str, float]) -> Diagnosis | None:
        """Return a diagnosis if a logged mean is not finite; None under treatment: health checks decide."""
        evidence = {key: value for key, value in values.items() if not math.isfinite(value)}
        if not evidence or (self.monitor.examines and self.settings.treats):
            return None
        key, value = next(iter(evidence.items()))
        within = f"within the {self.settings.log_every} steps before step {self.control.step}"
        return Diagnosis("non_finite", self.control.step, f"{key} became {value} {within}.", evidence)

    # Health.

    def check_health(self) -> tuple[dict[str, float], Diagnosis | None]:
        """Return the health metrics, empty if no check is due after this step, and the diagnosis or None."""
        step = self.control.step
        if not self.monitor.is_due(step):
            return {}, None
        means = self.since_check.reduce(self.group, self.weight)
        diversity = self.group.agree(self.probe(self.family.generator) if self.probe else {})
        return self.monitor.check(step, means, self.weight_norms(), diversity)

    def weight_norms(self) -> dict[str, float]:
        """Return the norm of all trained parameters of generator and discriminator, by role."""
        phases = {phase.name: phase for phase in self.family.phases}
        return {role: norm(phases[name].parameters) for role, name in self.monitor.sides.items()}

    def remedy(self, disease: str) -> Remedy | None:
        """Return the next remedy, untried ones first; None if there is none or the policy allows no more."""
        treatments, settings = self.control.treatments, self.settings
        if not settings.treats or len(treatments) >= settings.max_treatments:
            return None
        tried = {treatment.remedy for treatment in treatments}
        remedies = self.family.remedies(disease)
        return next((r for r in remedies if r.name not in tried), next(iter(remedies), None))

    # Validation.

    @torch.no_grad()
    def validate(self, batches: Sequence[Batch]) -> tuple[dict[str, float], dict[str, float]]:
        """Return the phase's terms and observed values for the averaged weights on held-out batches.

        The noise is the same each time. The terms add up to the loss.
        """
        (phase,) = self.family.phases
        sums: tuple[dict[str, float], dict[str, float]] = ({}, {})
        images = sum(len(batch) for batch in batches)
        with self.ema.in_place_in(self.family), self.autocast():
            self.family.eval()
            for i, batch in enumerate(batches):
                seed(derive(self.settings.seed, "validation", i), self.group.device)
                terms, observed = evaluated(phase, self.place(batch))
                totals = {name: value for name, value in observed.items() if not BREAKDOWN.fullmatch(name)}
                for total, values in zip(sums, (terms, totals), strict=True):
                    for name, value in values.items():
                        total[name] = total.get(name, 0.0) + float(value.float().mean()) * len(batch) / images
        self.family.train()
        return self.group.agree(sums)

    @property
    def selects_by_loss(self) -> bool:
        """Whether the validation loss of the only phase stops training early and selects the weights."""
        return self.settings.patience is not None and len(self.family.phases) == 1

    def select(self, score: float) -> None:
        """Store the weights if their score is the lowest so far; stop after `patience` that are not."""
        control, patience = self.control, self.settings.patience
        if score < control.best_score:
            control.best_score, control.best_step, control.bad_validations = score, control.step, 0
            self.best = {k: v.clone() for k, v in self.ema.generator.state_dict().items()}
            return
        control.bad_validations += 1
        control.stopped = patience is not None and control.bad_validations >= patience

    # State.

    def state(self) -> State:
        """Return the state of all processes on which the next step depends."""
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
                "doctor": self.monitor.detector.state(),
                "probe": self.probe.state() if self.probe else {},
            },
        }

    def adjust(self, change: Mapping[str, Any]) -> None:
        """Continue with some settings of the family changed and the same weights, averages and moments.

        Raises:
            InputError: the family does not accept a value, or a network would change its shape.
        """
        state = self.state()
        try:
            family = self.family.changed(change)
        except ValueError as error:
            raise InputError(f"setting_changes at step {self.control.step}: {error}") from None
        self.set_family(family)
        if reshaped := [name for name, fits in self.load_compatible(state).items() if not fits]:
            raise InputError(
                f"setting_changes at step {self.control.step}: with {', '.join(change)} changed, the "
                f"{reshaped[0]} would have another shape"
            )
        self.control.changes |= change

    def load_state(self, state: State) -> None:
        """Continue from the result of `state`."""
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
        self.monitor.detector.load_state(state["health"]["doctor"])
        if self.probe and state["health"]["probe"]:
            self.probe.load_state(state["health"]["probe"])

    def treat(self, event: HealthEvent, remedy: Remedy, state: State | None) -> HealthEvent:
        """Go back to a healthy state with the family's settings changed; return the event with the treatment.

        Networks whose shapes do not change keep weights, averages and moments; the others start again, as all
        do if there is no healthy state.
        """
        control = self.control
        healthy = Control.load(state["control"]) if state else Control()
        change = remedy.change_at(healthy.step)
        torch.manual_seed(derive(self.settings.seed, "weights", control.attempt + 1))
        self.set_family(self.family.changed(change))
        fits = self.load_compatible(state) if state else {}
        treatment = Treatment(
            remedy=remedy.name,
            paper=remedy.paper,
            change=change,
            back_to=healthy.step,
            carried={
                name: "weights carry over" if fits.get(name) else "starts again"
                for name, _ in self.family.named_children()
            },
            next_attempt=control.attempt + 1,
        )
        event = event.model_copy(update={"treatment": treatment})
        self.control = replace(
            healthy,
            attempt=control.attempt + 1,
            seconds=control.seconds,
            healthy=(control.attempt + 1, healthy.step),
            events=[*control.events, event],
            changes=control.changes | change,
        )
        self.monitor.detector.reset()
        return event

    def load_compatible(self, state: State) -> dict[str, bool]:
        """Load the networks of a state that fit the family; return for each network whether it fits."""
        fits = compatible_networks(state["family"], self.family)
        compatible = {key: v for key, v in state["family"].items() if fits.get(key.split(".")[0], True)}
        self.family.load_state_dict(compatible, strict=False)
        networks = dict(self.family.named_children())
        new = {id(p) for name, fit in fits.items() if not fit for p in networks[name].parameters()}
        for optimizer, saved in zip(self.family.optimizers, state["optimizers"], strict=True):
            current = optimizer.state_dict()
            same_kind = current["param_groups"][0].keys() == saved["param_groups"][0].keys()
            if same_kind and not any(id(p) in new for g in optimizer.param_groups for p in g["params"]):
                optimizer.load_state_dict({**current, "state": saved["state"]})
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
        """Return the averaged generator with the best or the last weights.

        The best weights replace the last ones, so ask for the last ones first.
        """
        if which == "best" and self.best is not None:
            self.ema.generator.load_state_dict(self.best)
        return self.calibrated()

    def calibrated(self) -> nn.Module:
        """Return the averaged generator with BatchNorm statistics recomputed from fixed seeds."""
        generator = self.ema.generator
        if has_batch_norm(generator):
            batches = 1 if self.settings.smoke else CALIBRATION_BATCHES
            calibrate(generator, (self.calibration_batch(i) for i in range(batches)))
        return generator

    def calibration_batch(self, number: int) -> tuple[Batch, Noise]:
        """Return condition and noise for recomputing BatchNorm statistics; the same in every run."""
        noise = Noise((derive("standing", number, i) for i in range(CALIBRATION_IMAGES)), self.group.device)
        return self.place(self.conditions(number, CALIBRATION_IMAGES)), noise


def norm(parameters: Sequence[nn.Parameter]) -> float:
    """Return the Euclidean norm of all parameters together."""
    return float(torch.stack(torch._foreach_norm([p.detach() for p in parameters])).norm())


def seed(value: int, device: torch.device) -> None:
    """Seed the random generators that a step uses: those of the CPU and of `device`.

    torch.manual_seed seeds every kind of device, and records a stack trace for each kind that is missing.
    That takes a tenth of the step of a small network.
    """
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(value)
