"""Atelier's diffusion against two public libraries: equal minutes of training, equal digits, one judge.

    pip install --require-hashes -r requirements/peers.txt
    python benchmarks/diffusion_peers.py [--minutes 5] [--samples 1000] [--threads 2] [--only NAME ...]

    [--tuned] [--store output] [--write [docs/diffusion.md]]

    python benchmarks/diffusion_peers.py --speed [--rounds 5] [--threads 2] [--write]

denoising-diffusion-pytorch 2.3.4 trains with what its README shows (batch 32, Adam 8e-5) and all else of its
Trainer: v prediction on the sigmoid schedule, clipped gradients, ema_pytorch at .995. diffusers 0.42.1 trains
as its example for unconditional images does: batch 16, AdamW 1e-4 with betas .95 and .999, a cosine after 500
steps of warm-up, the linear schedule of 1000 steps, clipped gradients, EMAModel with its warm-up. --tuned has
both at Atelier's learning rate too. Both get their images from memory rather than from PNG files, as they
are: 28 pixels, which their U-Nets take, and not mirrored. Their U-Nets have three levels, down to 7 x 7
pixels, where Atelier's goes from 14 x 14 to 4 x 4, and about as many parameters; diffusers' has two layers a
block, as in its example, and for --speed one layer of wider channels too, which is faster. All are
unconditional.

The clock runs over training steps alone. How many there will be is needed for a decaying learning rate; it is
estimated from a few seconds of a training that is thrown away, for all alike. Samples are of the averaged
weights, by each library's own 100 steps of DDIM, Atelier's by its default sampler too. The judge is the data
set's classifier: the Frechet distance of its features to the test digits, beside that of training digits.

Each library is a stage in the store: a second call goes on with the first that is missing.

--speed only trains, ten seconds each in turn and round after round, since a machine that is shared is faster
in one minute than in the next: medians, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from gan_proof import put, table
from judge import trained_judge
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_

from components.cluster import resources
from components.common.errors import InputError
from components.common.paths import home
from components.common.seeds import derive
from components.config.train import Train
from components.data.batches import Batches
from components.data.dataset import Split, open_split, to_uint8
from components.data.local import data_version
from components.evaluation.reference import choose
from components.extractors.extractor import Extractor
from components.extractors.load import load_extractor
from components.families import catalogue
from components.families.catalogue import module_of
from components.metrics.distances import Estimate, frechet_estimate
from components.sampling import generate
from components.stages import cache, code_digest
from components.stages.cache import Done
from components.stages.spec import Spec
from components.store import Store, open_store
from components.training.trainer import Trainer
from models.data_spec import DataSpec
from models.family import Generator

DATA, DIGIT = "mnist5k", DataSpec(channels=1, resolution=28)
SEED, SAMPLE_SEED = 0, 1
DDIM_STEPS = 100
TUNED_RATE = 1e-3  # Atelier's
TRIAL, WARM = 10.0, 3  # seconds of the estimate, after so many steps that are not counted
TURN = 10.0  # seconds of a library in each round of --speed
JUDGE_STEPS = 500  # of the networks that judge: 8 epochs
ONE_LAYER = "diffusers, one layer a block"
SCHEMA = 3  # raised when a peer is trained or sampled differently: it is part of the stages' keys
PACKAGES = {
    "denoising-diffusion-pytorch": ("denoising-diffusion-pytorch", "ema-pytorch"),
    "diffusers": ("diffusers",),
}
FAMILY = "diffusion"
TRAIN = {"batch": 128, "schedule": "sqrt", "snapshot_samples": 0, "workers": 0}


class Library(Protocol):
    """A training that can be stepped, and samples of its averaged weights."""

    batch: int
    decays: bool  # whether its learning rate ends with its steps; else it trains until the time is up

    def step(self, number: int) -> None:
        """One update."""

    @property
    def parameters(self) -> int:
        """How many the network has."""

    def samplers(self) -> Mapping[str, Callable[[int], np.ndarray]]:
        """By name: n -> uint8 images (n, 1, 28, 28)."""


Make = Callable[[int], Library]
"""Steps that it will train for -> a library, newly initialised from the seed."""


# Atelier.


class Atelier:
    """One of our families and our loop, in this process."""

    decays = True

    def __init__(
        self, split: Split, card: DataSpec, config: Mapping[str, Any], settings: Train, family: str = FAMILY
    ):
        torch.manual_seed(derive(settings.seed, "weights"))
        self.batch, self.card = settings.batch, card
        self.trainer = Trainer(catalogue.build(family, dict(config), card), settings)
        self.data = Batches(split, settings.batch, settings.seed)

    def step(self, number: int) -> None:
        trainer = self.trainer
        trainer.step(self.data)
        trainer.check_health()
        if trainer.is_logged(trainer.control.step):
            trainer.collect()

    @property
    def parameters(self) -> int:
        return count(self.trainer.family.generator)

    def samplers(self) -> Mapping[str, Callable[[int], np.ndarray]]:
        config = self.trainer.family.config
        own = {"sampler": config.sampler, "sampler_steps": config.sampler_steps}
        ddim = {"sampler": "ddim", "sampler_steps": DDIM_STEPS}
        return {named(**change): functools.partial(self.draw, change) for change in (own, ddim)}

    def draw(self, change: Mapping[str, Any], n: int) -> np.ndarray:
        """Samples with some of the sampler's settings changed."""
        generator = self.trainer.calibrated()
        assert isinstance(generator, Generator)
        return generate.draw(changed(generator, change), self.card, n=n, seed=SAMPLE_SEED)


def named(sampler: str, sampler_steps: int) -> str:
    return f"{'DDIM' if sampler == 'ddim' else sampler}, {sampler_steps} steps"


def changed(generator: Any, change: Mapping[str, Any]) -> Any:
    """The generator, which samples as `change` of its settings says."""
    generator.config = generator.config.model_copy(update=dict(change))
    return generator


# The others.


class Lucidrains:
    """The loop of denoising_diffusion_pytorch.Trainer, without its folders and its FID."""

    batch, decays = 32, False

    def __init__(self, split: Split, rate: float):
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        torch.manual_seed(SEED)
        network = Unet(dim=32, dim_mults=(1, 1, 1), channels=1)
        self.model = GaussianDiffusion(
            network, image_size=DIGIT.resolution, timesteps=1000, sampling_timesteps=DDIM_STEPS
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate, betas=(0.9, 0.99))
        self.ema = EMA(self.model, beta=0.995, update_every=10)
        self.data = Batches(split, self.batch, SEED)

    def step(self, number: int) -> None:
        self.model.train()
        loss = self.model((pixels(self.data, number) + 1) / 2)
        loss.backward()
        clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()

    @property
    def parameters(self) -> int:
        return count(self.model)

    def samplers(self) -> Mapping[str, Callable[[int], np.ndarray]]:
        return {named("ddim", DDIM_STEPS): functools.partial(in_parts, self.draw)}

    def draw(self, n: int) -> Tensor:
        self.ema.ema_model.eval()
        with contextlib.redirect_stderr(io.StringIO()):  # a bar for each part
            return self.ema.ema_model.sample(batch_size=n) * 2 - 1


class Diffusers:
    """The loop of diffusers' examples/unconditional_image_generation/train_unconditional.py."""

    batch, decays = 16, True

    def __init__(self, split: Split, rate: float, steps: int, warmup: int, layers: int = 2):
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        torch.manual_seed(SEED)
        channels, groups = {1: ((32, 32, 52), 4), 2: ((24, 24, 46), 2)}[layers]  # 0.62 million both
        self.model = UNet2DModel(
            sample_size=DIGIT.resolution,
            in_channels=1,
            out_channels=1,
            layers_per_block=layers,
            block_out_channels=channels,
            norm_num_groups=groups,  # the example's 32 do not divide all of these widths
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        )
        self.noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=rate, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self.schedule = get_scheduler(
            "cosine", self.optimizer, num_warmup_steps=warmup, num_training_steps=steps
        )
        self.ema = EMAModel(
            self.model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4
        )
        self.data = Batches(split, self.batch, SEED)

    def step(self, number: int) -> None:
        x = pixels(self.data, number)
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        self.model.train()
        mse_loss(self.model(self.noising.add_noise(x, noise, t), t).sample, noise).backward()
        clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.ema.step(self.model.parameters())

    @property
    def parameters(self) -> int:
        return count(self.model)

    def samplers(self) -> Mapping[str, Callable[[int], np.ndarray]]:
        return {named("ddim", DDIM_STEPS): functools.partial(in_parts, self.draw)}

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        from diffusers import DDIMScheduler

        self.ema.store(self.model.parameters())
        self.ema.copy_to(self.model.parameters())
        self.model.eval()
        sampler = DDIMScheduler.from_config(self.noising.config)
        sampler.set_timesteps(DDIM_STEPS)
        x = torch.randn(n, *DIGIT.shape)
        for t in sampler.timesteps:
            x = sampler.step(self.model(x, t).sample, t, x).prev_sample
        self.ema.restore(self.model.parameters())
        return x


def pixels(data: Batches, step: int) -> Tensor:
    """The images of a step, in [-1, 1]."""
    image = data.at(step).image
    assert image is not None
    return image


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def in_parts(draw: Callable[[int], Tensor], n: int, size: int = 100) -> np.ndarray:
    """Samples in [-1, 1] as uint8, rounded as ours are."""
    torch.manual_seed(SAMPLE_SEED)
    parts = [draw(min(size, n - start)) for start in range(0, n, size)]
    return to_uint8(torch.cat(parts)).numpy()


# The race.


def makers(split: Split) -> dict[str, Make]:
    """All that can be compared, by name."""
    precision = resources.precision("auto", "cpu")

    def ours(steps: int) -> Library:
        return Atelier(split, DIGIT, {}, Train(**TRAIN, steps=steps, precision=precision))

    return {
        "atelier": ours,
        "denoising-diffusion-pytorch": lambda steps: Lucidrains(split, 8e-5),
        "diffusers": lambda steps: Diffusers(split, 1e-4, steps, 500),
        "denoising-diffusion-pytorch, tuned": lambda steps: Lucidrains(split, TUNED_RATE),
        ONE_LAYER: lambda steps: Diffusers(split, 1e-4, steps, 500, layers=1),
        "diffusers, tuned": lambda steps: Diffusers(split, TUNED_RATE, steps, min(500, steps // 10)),
    }


def planned(make: Make, seconds: float, trial: float = TRIAL) -> int:
    """How many steps fit into the time, by the speed of a training that is thrown away."""
    library, steps = make(10**6), 0
    for number in range(WARM):
        library.step(number)
    began = time.perf_counter()
    while (now := time.perf_counter() - began) < trial:
        library.step(WARM + steps)
        steps += 1
    return max(1, round(seconds * steps / now))


def clocked(library: Library, steps: int, seconds: float) -> tuple[int, float]:
    """Train until the time is up, or the steps of a rate that decays: (steps, seconds)."""
    began, number = time.perf_counter(), 0
    while (number < steps or not library.decays) and time.perf_counter() - began < seconds:
        library.step(number)
        number += 1
    return number, time.perf_counter() - began


def raced(attempt: Store, number: int, *, make: Make, minutes: float, n: int) -> dict[str, Any]:
    """Train a library by the clock and keep samples of each of its samplers."""
    steps = planned(make, 60 * minutes)
    library = make(steps)
    done, seconds = clocked(library, steps, 60 * minutes)
    drawn: dict[str, dict[str, Any]] = {}
    for i, (name, draw) in enumerate(library.samplers().items()):
        began = time.perf_counter()
        images = draw(n)
        drawn[name] = {"seconds": time.perf_counter() - began, "file": f"samples-{i}.npy"}
        attempt.write_bytes(drawn[name]["file"], packed(images))
    return {
        "parameters": library.parameters,
        "planned": steps,
        "steps": done,
        "images": done * library.batch,
        "train_seconds": seconds,
        "drawn": drawn,
    }


def packed(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def spec(name: str, args: argparse.Namespace, data: str) -> Spec:
    """A library's training as a stage: all that its result depends on."""
    settings: dict[str, Any] = {
        "schema": SCHEMA,
        "name": name,
        "minutes": args.minutes,
        "samples": args.samples,
        "threads": args.threads,
    }
    if name == "atelier":
        settings |= {"config": catalogue.config_of(FAMILY, {}), "train": TRAIN}
        settings |= {"precision": resources.precision("auto", "cpu")}
        code = code_digest.code(module_of(FAMILY), "components.training.trainer", "components.sampling")
        return Spec("peers", settings, code, family=name, data=data)
    settings["packages"] = {package: installed(package) for package in PACKAGES[name.partition(",")[0]]}
    return Spec("peers", settings, {}, family=name, data=data)


def installed(package: str) -> str:
    """The version of a package, which must be there."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise InputError(
            f"{package} is not installed; pip install --require-hashes -r requirements/peers.txt"
        ) from None


# The judge.


def extractor(store: Store, kind: str, seed: int = 0) -> Extractor:
    """A network trained on the digits' train split, a stage of its own: classifier or rotation."""
    done = trained_judge(store, kind, *data_version(home(), DATA, None), JUDGE_STEPS, seed)
    return load_extractor(store.local_copy(f"{done.uri}/extractor"))


class Judge:
    """The Frechet distance of features to those of the test digits."""

    def __init__(self, see: Extractor, data: Path, samples: int):
        self.see = see
        test, train = open_split(data, "test"), open_split(data, "train")
        self.n = min(samples, len(test), len(train))
        self.real = see(some(test, self.n))
        self.real_baseline = frechet_estimate(self.real, see(some(train, self.n)))

    def __call__(self, images: np.ndarray) -> Estimate:
        return frechet_estimate(self.real, self.see(images[: self.n]))


def some(split: Split, n: int) -> np.ndarray:
    """`n` images of a split, always the same ones."""
    return split.images[choose(len(split), n)]


# The table.


def show(estimate: Estimate) -> str:
    """A number, and its 95 % interval where there is one."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def rows(store: Store, done: Mapping[str, Done], judge: Judge) -> list[list[str]]:
    """A line for each sampler of each library."""
    results = {name: cache.read(store, one) for name, one in done.items()}
    rates = {name: result["images"] / result["train_seconds"] for name, result in results.items()}
    lines = []
    for name, result in results.items():
        ratio = f"{rates['atelier'] / rates[name]:.1f}" if "atelier" in rates else ""
        for sampler, drawn in result["drawn"].items():
            images = np.load(io.BytesIO(store.read_bytes(f"{done[name].uri}/{drawn['file']}")))
            outcome = judge(images)
            lines.append(
                [
                    name,
                    f"{result['parameters'] / 1e6:.2f} M",
                    f"{rates[name]:,.0f}",
                    ratio,
                    f"{result['images']:,} in {result['train_seconds']:.0f} s",
                    sampler,
                    show(outcome),
                    f"{outcome.value / judge.real_baseline.value:.1f}",
                    f"{drawn['seconds']:.0f} s",
                ]
            )
    return lines


HEADER = [
    "library",
    "parameters",
    "training, images/s",
    "speed-up of Atelier",
    "trained on",
    "sampler",
    "Frechet distance",
    "times the baseline",
    "time to sample",
]


def report(store: Store, done: Mapping[str, Done], judge: Judge, args: argparse.Namespace) -> str:
    used = {package for name in done for package in PACKAGES.get(name.partition(",")[0], ())}
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", *sorted(used)))
    precision = resources.precision("auto", "cpu")
    how = f"{args.minutes:g} minutes each, {args.threads} threads, Atelier in {precision}, {versions}."
    judged = f"{judge.n} samples against {judge.n} test digits, features of the data set's classifier"
    real_baseline = f"{judge.n} training digits have {show(judge.real_baseline)}, the real baseline."
    return f"{table(HEADER, rows(store, done, judge))}\n\n{how} {judged}; {real_baseline}"


def speeds(args: argparse.Namespace) -> str:
    """Images per second of training, of all in turn, and how many times as fast Atelier is."""
    data, _ = data_version(home(), DATA, None)
    make = makers(open_split(data, "train"))
    chosen = [name for name in make if name == "atelier" or is_chosen(name, args)]
    libraries = {name: make[name](10**6) for name in chosen}
    for library in libraries.values():
        for number in range(WARM):
            library.step(number)
    rounds = []
    for _ in range(args.rounds):
        rounds.append({name: rate(library) for name, library in libraries.items()})
        print(", ".join(f"{name} {result:,.0f}" for name, result in rounds[-1].items()), flush=True)
    lines = []
    for name in libraries:
        ratios = [result["atelier"] / result[name] for result in rounds]
        median = f"{statistics.median(result[name] for result in rounds):,.0f}"
        lines.append([name, median, spread(ratios, 1)])
    header = ["library", "training, images/s", "speed-up of Atelier (over rounds)"]
    how = f"Medians of {args.rounds} alternating rounds of {TURN:.0f} s each, {args.threads} threads."
    return f"{table(header, lines)}\n\n{how}"


def spread(ratios: Sequence[float], digits: int) -> str:
    """The median of rounds, and their range."""
    result = (statistics.median(ratios), min(ratios), max(ratios))
    return "{} ({} to {})".format(*(f"{ratio:.{digits}f}" for ratio in result))


def is_chosen(name: str, args: argparse.Namespace) -> bool:
    """Whether a library, or a variant of it, takes part."""
    library, _, variant = name.partition(", ")
    wanted = not variant or (args.speed if name == ONE_LAYER else args.tuned)
    return library in args.only and wanted


def rate(library: Library) -> float:
    """Images per second, by a turn."""
    steps, seconds = clocked(library, sys.maxsize, TURN)
    return steps * library.batch / seconds


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["atelier", *PACKAGES]
    parser.add_argument("--minutes", type=float, default=5, help="of training, each")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=names, nargs="+", default=names, metavar="|".join(names))
    parser.add_argument("--tuned", action="store_true", help="the others at Atelier's learning rate too")
    parser.add_argument("--speed", action="store_true", help="only the speed of training, in rounds")
    parser.add_argument("--rounds", type=int, default=5, help="of --speed")
    parser.add_argument("--store", default="output")
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "diffusion.md")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        text = speeds(args) if args.speed else compared(args)
        print(f"\n{text}")
        if args.write:
            put(args.write, "speed" if args.speed else "peers", text)
    except InputError as error:
        sys.exit(str(error))


def compared(args: argparse.Namespace) -> str:
    """Race whoever was not yet, then judge all."""
    store = open_store(args.store, home())
    data, data_is = data_version(home(), DATA, None)
    make = makers(open_split(data, "train"))
    chosen = [name for name in make if is_chosen(name, args)]
    specs = {name: spec(name, args, data_is) for name in chosen}  # says at once what is not installed
    done: dict[str, Done] = {}
    for name in chosen:
        print(f"{name}...", flush=True)
        body = functools.partial(raced, make=make[name], minutes=args.minutes, n=args.samples)
        done[name] = cache.run(store, specs[name], body, run_id="peers")
    return report(store, done, Judge(extractor(store, "classifier"), data, args.samples), args)


if __name__ == "__main__":
    main()
