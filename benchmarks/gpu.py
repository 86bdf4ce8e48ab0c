"""Every family on a GPU: does it compute what the CPU computes, does it resume, how fast is it?

    python benchmarks/gpu.py                          all families, at most eight minutes
    python benchmarks/gpu.py stylegan2 diffusion      these alone
    python benchmarks/gpu.py vae --device cpu         where there is no GPU: tries the script itself

Needs torch, pydantic, numpy and safetensors, and no network. Each family has a line in each of two tables; a
line says what failed, and the next one follows. The exit status is 1 if anything failed.

Agreement, at 32 pixels, with the default networks:

    cpu        largest difference of a loss from that on the CPU in float32, relative to the losses' size, in
               the first two steps; tolerance 1e-3
    samples    the same for pixels of samples of the same weights, of 255; tolerance 2
    bfloat16   as `cpu`, of bfloat16 from float32 on the GPU; tolerance .05
    resume     whether four steps, and two steps twice by way of a checkpoint, leave the same bits

All random numbers of these come from the CPU, so that both devices draw the same.

Speed, at the papers' sizes, in bfloat16:

    images/s   of the training step
    loop       times the images/s of a plain loop over the same phases: contiguous memory, no average of the
               weights, no shards, batches that lie on the GPU
    feeding    times the images/s with batches that lie on the GPU: 1 means that feeding costs nothing
    compiled   times the images/s of the same step with torch.compile of the networks (with --compile)
    peak       share of the GPU's bfloat16 peak, by the operations of PyTorch's FlopCounterMode
    memory     largest memory of tensors, GiB
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from components.config.train import Train
from components.data.dataset import ShardedArray, Split
from components.families.catalogue import build, task_of, untrained
from components.sampling.conditions import FixedConditions
from components.training.distributed import Group
from components.training.trainer import Trainer
from models.data_spec import DataSpec, SourceShape
from models.family import Batch, Noise
from models.registry import FAMILIES

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
STEPS, ROUNDS, WARM_UP = 10, 3, 3
AGREEMENT = ("cpu", "samples", "bfloat16", "resume")
SPEED = ("size", "images/s", "loop", "feeding", "compiled", "peak", "memory")


@dataclass(frozen=True)
class Size:
    """Where a family is timed: pixels and channels of images, settings, images of a batch."""

    resolution: int
    batch: int
    channels: int = 3
    config: Mapping[str, Any] = field(default_factory=dict)


SIZES = {  # of the papers; the rest at 64 pixels
    "autoencoder": Size(32, 512),
    "vae": Size(32, 512),
    "gan": Size(28, 512, 1),
    "stylegan2": Size(256, 16, config={"channel_base": 16384}),
    "stylegan3": Size(256, 8, config={"channel_base": 16384}),
    "stylegan": Size(256, 16, config={"channel_base": 8192, "first_resolution": 256}),
    "pix2pix": Size(256, 16),
    "cyclegan": Size(256, 4),
    "rrdb": Size(128, 16),
    "esrgan": Size(128, 16),
    "palette": Size(64, 32),
    "kl_vae": Size(256, 4),
}
OTHERS = Size(64, 64)
SMALL = Size(32, 8)


class Data:
    """Random batches of a family's kind, a pure function of the step."""

    def __init__(self, family: str, card: DataSpec, batch: int, device: torch.device | str = "cpu"):
        self.card, self.batch, self.device = card, batch, device
        self.paired = task_of(family).paired

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return a batch; the same four in turn."""
        generator, card, n = torch.Generator().manual_seed(step % 4), self.card, self.batch // shards

        def images(*shape: int) -> Tensor:
            return torch.rand((n, *shape), generator=generator) * 2 - 1

        return Batch(
            n,
            images(*card.shape),
            label=torch.arange(n) % card.num_classes if card.num_classes else None,
            source=images(*card.source.shape) if card.source else None,
        ).to(self.device)


class Resident:
    """Four batches that lie on the device."""

    def __init__(self, data: Data, device: torch.device):
        self.batches = [data.at(step).to(device) for step in range(4)]

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        """Return a batch; the same four in turn."""
        return self.batches[step % 4]


class RandomOnCPU(TorchDispatchMode):
    """Draw all random numbers on the CPU, so that the same seed draws the same on every device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        tensors = [a for a in args if isinstance(a, Tensor)]
        device = kwargs.get("device") or (tensors[0].device if tensors else torch.device("cpu"))
        cpu_args, cpu_kwargs = tree_map(lambda v: v.cpu() if isinstance(v, Tensor) else v, (args, kwargs))
        if "device" in cpu_kwargs:
            cpu_kwargs["device"] = torch.device("cpu")
        result = func(*cpu_args, **cpu_kwargs)
        if func._schema.is_mutable:  # such as normal_
            return args[0].copy_(cpu_args[0])
        return tree_map(lambda v: v.to(device) if isinstance(v, Tensor) else v, result)


def card_of(name: str, size: Size) -> DataSpec:
    """Return the card of data of a size, with what the family needs."""
    family = FAMILIES[name]
    source = SourceShape(
        size.channels, size.resolution // 4 if task_of(name).smaller_source else size.resolution
    )
    return DataSpec(
        size.channels,
        size.resolution,
        10,
        source=source if "source" in family.needs else None,
    )


def split_of(card: DataSpec, n: int = 8) -> Split:
    """Return random images with labels and sources, of which samples are made where a family needs them."""
    random, source = np.random.default_rng(0), None
    images = random.integers(0, 256, (n, *card.shape), np.uint8)
    if card.source:
        source = ShardedArray([random.integers(0, 256, (n, *card.source.shape), np.uint8)])
    return Split(ShardedArray([images]), np.arange(n) % card.num_classes, sources=source)


def trainer(name: str, size: Size, device: torch.device, precision: str) -> Trainer:
    """Return a family in training, with the weights of seed 0, each of whose phases is due at every step."""
    torch.manual_seed(0)
    card = card_of(name, size)
    settings = Train.model_validate(
        {"steps": 1000, "batch": size.batch, "precision": precision, "log_every": 1000, "workers": 0}
    )
    family = build(name, with_features(name, size.config), card, untrained(name, card, {}), settings)
    made = Trainer(
        family,
        settings,
        group=Group(device=device),
        conditions=FixedConditions(card, split_of(card), task_of(name)),
    )
    torch.manual_seed(0)
    return made


def with_features(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without a perceptual loss, whose network has weights of its own."""
    return {**config, **({"perceptual": 0.0} if name == "esrgan" else {})}


def losses(made: Trainer, data: Data, steps: int = 2) -> dict[str, float]:
    """Return the mean of each term of the first steps: two, since some last layers begin at 0."""
    with RandomOnCPU():
        for _ in range(steps):
            made.step(data)
    return made.logged.reduce(made.group, made.weight)


def difference(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return the largest difference, relative to the size of the larger value or 1."""
    return max(abs(a[k] - b[k]) / max(abs(a[k]), abs(b[k]), 1.0) for k in a)


def samples(made: Trainer) -> Tensor:
    """Return eight samples of fixed seeds, as pixels from 0 to 255 on the CPU."""
    generator = made.family.generator.eval()
    with torch.no_grad():
        images = generator.sample(made.place(made.conditions(0, 8)), Noise(range(8), made.group.device))
    generator.train()
    return (images.float().cpu().clamp(-1, 1) + 1) * 127.5


def equal(a: Any, b: Any) -> bool:
    """Whether two nested states have the same bits."""
    if isinstance(a, Tensor):
        return torch.equal(a.nan_to_num(7), b.nan_to_num(7)) if a.is_floating_point() else torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b) or a != a


def resumes(name: str, device: torch.device, data: Data) -> bool:
    """Whether a training continued from a checkpoint ends with the bits of one that was not interrupted."""
    whole, first, rest = (trainer(name, SMALL, device, "float32") for _ in range(3))
    for _ in range(4):
        whole.step(data)
    for _ in range(2):
        first.step(data)
    rest.load_state(copy.deepcopy(first.state()))
    for _ in range(2):
        rest.step(data)
    return equal(whole.state(), rest.state())


def agreement(name: str, device: torch.device) -> tuple[str, ...]:
    """Return the family's line of the first table; a value out of tolerance is marked by !."""
    data = Data(name, card_of(name, SMALL), SMALL.batch)
    cpu = torch.device("cpu")
    there, here, low = (
        trainer(name, SMALL, d, p) for d, p in ((device, "float32"), (cpu, "float32"), (device, "bfloat16"))
    )
    pixels = float((samples(there) - samples(here)).abs().max())
    expected, result, coarse = losses(here, data), losses(there, data), losses(low, data)
    return (
        marked(difference(result, expected), 1e-3),
        marked(pixels, 2.0),
        marked(difference(coarse, result), 0.05),
        "yes" if resumes(name, device, data) else "no!",
    )


def marked(value: float, tolerance: float) -> str:
    """Return a value as text, marked if it is above the tolerance or not finite."""
    return f"{value:.2g}" + ("" if value <= tolerance else "!")


def rate(step: Callable[[], None], images: int, device: torch.device) -> float:
    """Return images per second of a step: the median of rounds."""
    steps, warm_up = (STEPS, WARM_UP) if device.type == "cuda" else (1, 0)
    for _ in range(warm_up):
        step()
    rates = []
    for _ in range(ROUNDS):
        synchronise(device)
        began = time.perf_counter()
        for _ in range(steps):
            step()
        synchronise(device)
        rates.append(steps * images / (time.perf_counter() - began))
    return statistics.median(rates)


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def plain_loop(made: Trainer, data: Resident) -> Callable[[], None]:
    """Return a step of a plain loop over a family's phases, in contiguous memory."""
    family = made.family.to(memory_format=torch.contiguous_format)
    count = 0

    def step() -> None:
        nonlocal count
        batch = data.at(count)
        for phase in family.phases:
            if phase.is_due(count):
                made.train_only(phase.parameters)
                phase.optimizer.zero_grad()
                with made.autocast():
                    result = phase.loss(batch)
                terms = result[0] if isinstance(result, tuple) else result
                torch.stack([term.mean() for term in terms.values()]).sum().backward()
                phase.optimizer.step()
        count += 1

    return step


def speed(name: str, device: torch.device, compiles: bool) -> tuple[str, ...]:
    """Return the family's line of the second table."""
    size = SIZES.get(name, OTHERS) if device.type == "cuda" else SMALL
    data = Data(name, card_of(name, size), size.batch)
    resident = Resident(data, device)
    made = trainer(name, size, device, "bfloat16")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    fed = rate(lambda: made.step(data), size.batch, device)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    lying = rate(lambda: made.step(resident), size.batch, device)
    with FlopCounterMode(display=False) as counter:
        made.step(resident)
    flops = counter.get_total_flops() / size.batch * fed
    compiled = "-"
    if compiles:
        with compiled_networks(made):
            compiled = f"{rate(lambda: made.step(resident), size.batch, device) / lying:.2f}"
    plain = rate(plain_loop(trainer(name, size, device, "bfloat16"), resident), size.batch, device)
    peak = next((p for gpu, p in PEAKS.items() if gpu in gpu_name(device)), None)
    share = f"{100 * flops / peak:.1f} %" if peak else f"{flops / 1e12:.3g} TFLOPS"
    where = f"{size.resolution} px, batch {size.batch}"
    return where, f"{fed:.0f}", f"{fed / plain:.2f}", f"{fed / lying:.2f}", compiled, share, f"{memory:.1f}"


@contextmanager
def compiled_networks(made: Trainer) -> Iterator[None]:
    """Compile the forward passes of the networks for the block."""
    networks = [child for child in made.family.children() if any(True for _ in child.parameters())]
    forwards = [network.forward for network in networks]
    for network in networks:
        network.forward = torch.compile(network.forward)
    try:
        yield
    finally:
        for network, forward in zip(networks, forwards, strict=True):
            network.forward = forward


def gpu_name(device: torch.device) -> str:
    """Return the name of the GPU, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def table(
    title: str, columns: tuple[str, ...], names: list[str], line: Callable[[str], Any], end: float
) -> int:
    """Print a table of markdown, a line for each family as soon as it is known; return how many failed."""
    print(f"\n{title}\n\n| family | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}", flush=True)
    failed = 0
    for name in names:
        if time.monotonic() > end:
            print(f"| {name} | not tried: the time is over |", flush=True)
            continue
        try:
            cells = line(name)
            failed += any(cell.endswith("!") for cell in cells)
        except Exception as error:  # a line says what failed, and the next one follows
            text = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            cells, failed = (f"FAILED: {text}",), failed + 1
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return failed


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="default: all")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="families that are not reached are listed")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes")
    args = parser.parse_args()
    if unknown := [name for name in args.families if name not in FAMILIES]:
        parser.error(f"no family {unknown[0]}; there are {', '.join(FAMILIES)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch can use no GPU here; --device cpu tries the script itself")
    device, names = torch.device(args.device), args.families or list(FAMILIES)
    if args.device == "cpu":
        torch.set_num_threads(1)
    began = time.monotonic()
    print(f"{gpu_name(device)}, torch {torch.__version__}")
    half, end = began + 30 * args.minutes, began + 60 * args.minutes
    failed = table("Agreement", AGREEMENT, names, lambda name: agreement(name, device), half)
    failed += table("Speed", SPEED, names, lambda name: speed(name, device, args.compile), end)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
