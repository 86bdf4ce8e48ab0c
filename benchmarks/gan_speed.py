"""A training step of adversarial families against a plain PyTorch loop with the same networks, side by side.

    python benchmarks/gan_speed.py [dcgan wgan_gp pix2pix cyclegan] [--threads 2] [--width 32] [--rounds 7]
    python benchmarks/gan_speed.py --threads 1 --clock cpu     on a machine that others use too
    python benchmarks/gan_speed.py wgan_gp --profile

The plain loop is what public examples teach: float32, channels first, torch's default Adam, no parameter ever
frozen, three backward passes for DCGAN, one sample of Pix2Pix and CycleGAN for both updates. Ours is the
Trainer's step with all that it does besides (averaged weights, logged means, what the health monitor takes).
Both see the same digits, 64 a step, which are the sources of translators too, and WGAN-GP takes a G step
every five in both. Rounds alternate in one process, so that a busy machine slows both alike; the table has
the medians and the median of the rounds' ratios. Two threads need cores of their own: convolutions wait for
each other spinning, bfloat16's weight gradients above all, and on a busy machine that is all one measures.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from families import CARD, load_digits
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss
from torch.optim import Adam
from torch.profiler import ProfilerActivity, profile

from components.cluster import resources
from components.config.train import Train
from components.training.trainer import Trainer
from models.data_spec import SourceShape
from models.family import Batch
from models.registry import FAMILIES

BATCH, N_CRITIC, PENALTY, L1, CYCLE = 64, 5, 10, 100, 10
FAMILY_NAMES = ("dcgan", "wgan_gp", "pix2pix", "cyclegan")
TRANSLATORS = ("pix2pix", "cyclegan")
PAIRS = replace(CARD, source=SourceShape(CARD.channels, CARD.resolution))


class Digits:
    """The same digits, shuffled once, for both loops; the position is a function of the step."""

    def __init__(self) -> None:
        self.images, self.labels = load_digits()

    def at(self, step: int, shard: int = 0, shards: int = 1) -> Batch:
        start = step * BATCH % (len(self.images) - BATCH)
        rows = slice(start, start + BATCH)
        return Batch(BATCH, self.images[rows], self.labels[rows], source=self.images[rows])


# The plain loop.


@dataclass
class Plain:
    """A G and a D, channels first, each with its Adam."""

    generator: Any
    discriminator: Any
    adam_g: Adam
    adam_d: Adam
    latent: int = 0

    def z(self) -> Tensor:
        return torch.randn(BATCH, self.latent)


def plain(name: str, width: int) -> Plain:
    """The family's own layers, strung together as an example would."""
    family = built(name, width)
    g, d, config = family.generator, family.discriminator, family.config
    if name not in TRANSLATORS:
        shape = (-1, g.size, g.size)  # channels first, where ours come last
        g = nn.Sequential(g.project, nn.Unflatten(1, shape), *g.layers)
        d = nn.Sequential(*d.features.layers, nn.Flatten(), d.score, nn.Flatten(0))
    adam_g, adam_d = (
        Adam(network.parameters(), lr=config.lr, betas=(config.beta1, config.beta2)) for network in (g, d)
    )
    return Plain(g, d, adam_g, adam_d, getattr(config, "latent", 0))


def dcgan_step(loop: Plain, x: Tensor, step: int) -> None:
    """D on images, D on samples, then G on the same samples: a backward pass each."""
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
    loop.discriminator.zero_grad()
    binary_cross_entropy_with_logits(loop.discriminator(x), ones).backward()
    fake = loop.generator(loop.z())
    binary_cross_entropy_with_logits(loop.discriminator(fake.detach()), zeros).backward()
    loop.adam_d.step()
    loop.generator.zero_grad()
    binary_cross_entropy_with_logits(loop.discriminator(fake), ones).backward()
    loop.adam_g.step()


def wgan_gp_step(loop: Plain, x: Tensor, step: int) -> None:
    """The critic with its penalty at points between; every five steps G, on samples of its own."""
    loop.adam_d.zero_grad()
    fake = loop.generator(loop.z()).detach()  # many examples forget to, and are slower still
    t = torch.rand(BATCH, 1, 1, 1)
    middle = (t * x + (1 - t) * fake).requires_grad_(True)
    score = loop.discriminator(middle)
    (slope,) = torch.autograd.grad(score, middle, torch.ones_like(score), create_graph=True)
    penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    distance = loop.discriminator(fake).mean() - loop.discriminator(x).mean()
    (distance + PENALTY * penalty).backward()
    loop.adam_d.step()
    if (step + 1) % N_CRITIC == 0:
        loop.adam_g.zero_grad()
        (-loop.discriminator(loop.generator(loop.z())).mean()).backward()
        loop.adam_g.step()


def pix2pix_step(loop: Plain, x: Tensor, step: int) -> None:
    """D on pairs with images and with samples, then G on the same samples."""
    d = loop.discriminator
    fake = loop.generator(x, lambda *shape: torch.rand(BATCH, *shape))
    loop.adam_d.zero_grad()
    r, f = d(torch.cat([x, x], 1)), d(torch.cat([x, fake.detach()], 1))
    ones, zeros = torch.ones_like(r), torch.zeros_like(r)
    real, made = binary_cross_entropy_with_logits(r, ones), binary_cross_entropy_with_logits(f, zeros)
    ((real + made) / 2).backward()
    loop.adam_d.step()
    loop.adam_g.zero_grad()
    f = d(torch.cat([x, fake], 1))
    (binary_cross_entropy_with_logits(f, ones) + L1 * l1_loss(fake, x)).backward()
    loop.adam_g.step()


def cyclegan_step(loop: Plain, x: Tensor, step: int) -> None:
    """The generators, then the discriminators on the same samples or earlier ones of the pools."""
    y, g, d = x, loop.generator, loop.discriminator
    fake_x, fake_y = g.F(y), g.G(x)
    f_x, f_y = d.X(fake_x), d.Y(fake_y)
    ones, zeros = torch.ones_like(f_x), torch.zeros_like(f_x)
    cycle = l1_loss(g.F(fake_y), x) + l1_loss(g.G(fake_x), y)
    identity = l1_loss(g.G(y), y) + l1_loss(g.F(x), x)
    loop.adam_g.zero_grad()
    (mse_loss(f_x, ones) + mse_loss(f_y, ones) + CYCLE * (cycle + identity / 2)).backward()
    loop.adam_g.step()
    loop.adam_d.zero_grad()
    for network, real, fake in ((d.X, x, d.pool_X(fake_x)), (d.Y, y, d.pool_Y(fake_y))):
        ((mse_loss(network(real), ones) + mse_loss(network(fake), zeros)) / 2).backward()
    loop.adam_d.step()


PLAIN_STEPS: dict[str, Callable[[Plain, Tensor, int], None]] = {
    "dcgan": dcgan_step,
    "wgan_gp": wgan_gp_step,
    "pix2pix": pix2pix_step,
    "cyclegan": cyclegan_step,
}


# Both, ready to be stepped.

Step = Callable[[int], None]


def built(name: str, width: int) -> Any:
    """The family with its own defaults, newly initialised."""
    torch.manual_seed(0)
    family_class = FAMILIES[name]
    settings = {"width": width} | ({"jitter": 0} if name in TRANSLATORS else {})
    return family_class(family_class.Config.model_validate(settings), PAIRS if name in TRANSLATORS else CARD)


def theirs(name: str, data: Digits, args: argparse.Namespace) -> Step:
    loop, step_of = plain(name, args.width), PLAIN_STEPS[name]

    def step(number: int) -> None:
        x = data.at(number).image
        assert x is not None
        step_of(loop, x, number)

    return step


def ours(name: str, data: Digits, args: argparse.Namespace) -> Step:
    trainer = Trainer(built(name, args.width), Train(batch=BATCH, precision=args.precision, steps=10**6))

    def step(number: int) -> None:
        trainer.step(data)
        trainer.check_health()
        if trainer.is_logged(trainer.control.step):
            trainer.collect()

    return step


# What is measured.


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def rate(step: Step, start: int, args: argparse.Namespace) -> float:
    """Images a second by the chosen clock."""
    clock = CLOCKS[args.clock]
    began = clock()
    for number in range(start, start + args.steps):
        step(number)
    return args.steps * BATCH / (clock() - began)


def compared(name: str, data: Digits, args: argparse.Namespace) -> str:
    """A row of the table: the medians, and the median ratio of neighbouring rounds."""
    first, second = theirs(name, data, args), ours(name, data, args)
    rates: list[tuple[float, float]] = []
    for number in range(args.rounds + 1):
        start = number * args.steps
        rates.append((rate(first, start, args), rate(second, start, args)))
    rates = rates[1:]  # the first round warms up
    ratios = sorted(b / a for a, b in rates)
    medians = [statistics.median(values) for values in zip(*rates, strict=True)]
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return f"| {name} | {medians[0]:,.0f} | {medians[1]:,.0f} | {statistics.median(ratios):.2f} | {spread} |"


def show_profile(name: str, data: Digits, args: argparse.Namespace) -> None:
    """Where the time of each goes, by operator."""
    for title, step in (("plain", theirs(name, data, args)), ("Atelier", ours(name, data, args))):
        rate(step, 0, args)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            rate(step, args.steps, args)
        print(f"{name}, {title}, {args.steps} steps")
        print(
            profiler.key_averages().table(
                sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=48
            )
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("families", nargs="*", default=list(FAMILY_NAMES), metavar="|".join(FAMILY_NAMES))
    parser.add_argument("--threads", type=int, default=2, help="of both loops")
    parser.add_argument("--width", type=int, default=32, help="channels of the largest feature maps")
    parser.add_argument("--precision", default=resources.precision("auto", "cpu"), help="of ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help=f"a round; multiples of {N_CRITIC}")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: for one thread on a busy machine"
    )
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead of the table")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = Digits()
    if args.profile:
        for name in args.families:
            show_profile(name, data, args)
        return
    how = f"threads {args.threads}, width {args.width}, batch {BATCH}, {args.clock} time"
    print(f"{how}; ours in {args.precision}\n")
    print("| family | plain loop, images/s | Atelier, images/s | ratio | over the rounds |")
    print("| --- | --- | --- | --- | --- |")
    for name in args.families:
        print(compared(name, data, args), flush=True)


if __name__ == "__main__":
    main()
