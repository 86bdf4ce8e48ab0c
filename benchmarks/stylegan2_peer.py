"""A training step of StyleGAN2 at 32 pixels against stylegan2-pytorch, and what lazy regularisation costs.

    pip install --no-deps --target PEER stylegan2-pytorch==1.9.0
    python benchmarks/stylegan2_peer.py --peer PEER [--batch 16] [--rounds 5] [--threads 1]

Both update D and then G once, without their regularisers, in float32: the peer by its own hinge loss, ours
by the non-saturating one. Both have 32 channels at 32 pixels, 64 at 16 and 128 below, a style of 128 numbers
and 4 mapping layers. The peer has a second convolution at 4 pixels in G and a third at each resolution in D,
which the paper's networks do not have; numbers of parameters are printed. Of the peer only networks are used.
Its dependencies (a command line, a tracker, kornia, vector quantisation) are replaced by empty modules, and
kornia's blur by an equal convolution; the assertion that there is a GPU is left out. The clock is the CPU
time of the process, rounds alternate, and the table has medians.

The last line is our whole step: R1 every 16 steps and path lengths every 4, and their share of its time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad, relu
from torch.optim import Adam

from components.config.train import Train
from components.families.catalogue import build
from components.training.trainer import Trainer
from models.data_spec import DataSpec
from models.family import Batch

LATENT, LAYERS, WIDEST = 128, 4, 128
EMPTY = (
    *("fire", "aim", "einops", "kornia", "kornia.filters", "torchvision", "torchvision.transforms"),
    *("vector_quantize_pytorch", "stylegan2_pytorch"),
)
ATTRIBUTES = {
    "einops": ("rearrange", "repeat"),
    "torchvision": ("transforms",),
    "vector_quantize_pytorch": ("VectorQuantize",),
}


def blur(images: Tensor, kernel: Tensor, normalized: bool = True) -> Tensor:
    """Return kornia's filter2d: a correlation of each channel, with reflected borders."""
    kernel = (kernel / kernel.abs().sum()).to(images)
    channels = images.shape[1]
    return conv2d(
        pad(images, [1] * 4, mode="reflect"), kernel[None].expand(channels, 1, 3, 3), groups=channels
    )


def peer_module(folder: Path) -> Any:
    """Load the peer's one file with empty modules in place of its dependencies."""
    for name in EMPTY:
        module = sys.modules[name] = ModuleType(name)
        vars(module).update(dict.fromkeys(ATTRIBUTES.get(name, ())))
    vars(sys.modules["kornia.filters"])["filter2d"] = blur
    package = folder / "stylegan2_pytorch"
    sys.modules["stylegan2_pytorch"].__path__ = [str(package)]
    source = (package / "stylegan2_pytorch.py").read_text()
    module = ModuleType("peer")
    source = source.replace("assert torch.cuda.is_available()", "assert True #")
    exec(compile(source, str(package), "exec"), vars(module))
    return module


def peer_step(peer: Any, batch: int) -> Callable[[], None]:
    """Return the peer's update of D and then of G."""
    mapping = peer.StyleVectorizer(LATENT, LAYERS)
    g = peer.Generator(32, LATENT, network_capacity=16, fmap_max=WIDEST)
    d = peer.Discriminator(32, network_capacity=8, fmap_max=WIDEST)
    report("stylegan2-pytorch", [mapping, g], [d])
    adam_g = Adam([*g.parameters(), *mapping.parameters()], lr=1e-4, betas=(0.5, 0.9))
    adam_d = Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.9))
    images = torch.rand(batch, 3, 32, 32)

    def samples() -> Tensor:
        styles = mapping(torch.randn(batch, LATENT))[:, None].expand(-1, g.num_layers, -1)
        result: Tensor = g(styles, torch.rand(batch, 32, 32, 1))
        return result

    def step() -> None:
        adam_d.zero_grad()
        fake, real = d(samples().detach())[0], d(images)[0]
        (relu(1 + real) + relu(1 - fake)).mean().backward()
        adam_d.step()
        adam_g.zero_grad()
        d(samples())[0].mean().backward()
        adam_g.step()

    return step


def our_trainer(batch: int) -> Trainer:
    """Return the trainer of the same sizes."""
    train = Train(steps=1000, batch=batch, precision="float32", workers=0, log_every=1000)
    sizes = {"latent": LATENT, "width": LATENT, "mapping_depth": LAYERS, "channel_base": 1024}
    family = build("stylegan2", sizes | {"channel_max": WIDEST, "mixing": 0}, DataSpec(3, 32), settings=train)
    report("Atelier", [family.generator], [family.discriminator])
    return Trainer(family, train)


def report(name: str, generator: list[Any], discriminator: list[Any]) -> None:
    counts = [sum(p.numel() for m in side for p in m.parameters()) for side in (generator, discriminator)]
    print(f"{name}: {counts[0]:,} parameters in G and {counts[1]:,} in D")


def seconds(step: Callable[[], None]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="where pip has put stylegan2-pytorch")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trainer = our_trainer(args.batch)
    batch = trainer.place(Batch(args.batch, torch.rand(args.batch, 3, 32, 32) * 2 - 1))
    phases = {phase.name: (i, phase) for i, phase in enumerate(trainer.family.phases)}

    def update(name: str) -> None:
        trainer.update(*phases[name], [batch])

    steps: dict[str, Callable[[], None]] = {n: lambda n=n: update(n) for n in phases}  # type: ignore[misc]
    steps["peer"] = peer_step(peer_module(args.peer), args.batch)
    for step in steps.values():
        step()
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(args.rounds)]
    every = {name: phase.every for name, (_, phase) in phases.items()}
    main_phases = [name for name, n in every.items() if n == 1]
    ours = [sum(r[name] for name in main_phases) for r in rounds]
    peer = [r["peer"] for r in rounds]
    ratios = [p / o for p, o in zip(peer, ours, strict=True)]
    rates = [args.batch / statistics.median(times) for times in (peer, ours)]
    print(f"images per second: stylegan2-pytorch {rates[0]:.1f}, Atelier {rates[1]:.1f}")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    times = {name: statistics.median(r[name] for r in rounds) / n for name, n in every.items()}
    whole = sum(times.values())
    lazy = sum(t for name, t in times.items() if name not in main_phases) / whole
    print(f"with lazy regularisation {args.batch / whole:.1f} images per second; its share is {lazy:.1%}")


if __name__ == "__main__":
    main()
