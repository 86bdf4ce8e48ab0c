"""Autoencoders on 5,000 digits: reconstruction, likelihood, and the speed of training beside pythae's.

    python benchmarks/autoencoders.py mse   [--config configs/cpu/autoencoder.yaml]
    python benchmarks/autoencoders.py nats  [--config configs/cpu/vae.yaml] [--draws 1000]
    python benchmarks/autoencoders.py speed [--rounds 5] [--epochs 60] [--batches 64 256 1024]

    [--on-validation] [--threads 2] [--set key=value ...] [--write [docs/autoencoders.md]]

mse: the dense autoencoder of a config, trained on 4,000 digits (train and validation) for the steps that the
config names, against as many principal components of the same 4,000, on 1,000 test digits. nats: the VAE of a
config, trained alike, its likelihood bounded by importance sampling; a mixture of Bernoullis stands beside.
Once for digits that are binarised stochastically, and once by a threshold.
--on-validation trains on the 3,600 of the train split and looks at the 400 of validation: that is how
settings are chosen. speed: the same network, batch, optimizer and epochs by our loop and by pythae 0.1.2's,
in turn, each in the precision that it has by default; the medians of ratios and their range, batch by batch.
pythae asks for a backport of dataclasses to Python 3.6, so it is installed alone:

    pip install --no-deps --require-hashes -r requirements/pythae.txt
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from diffusion_digits import settings_of as read_settings
from diffusion_peers import Atelier, spread
from gan_proof import put, table
from torch import nn

from components.analysis.likelihood import (
    BernoulliMixture,
    best_mixture,
    binarised,
    bound,
    log_weights,
    mixture_of,
    negated,
)
from components.analysis.views import Subject
from components.common.errors import InputError
from components.common.memory import keep_freed
from components.common.paths import home
from components.config.train import Train
from components.data.dataset import ShardedArray, Split, open_split, to_float
from components.data.local import data_version
from components.families import catalogue
from components.metrics.image_pairs import absolute_errors, squared_errors
from components.metrics.intervals import mean_estimate
from models.data_spec import DataSpec
from models.family import Generator

DATA, CARD = "mnist5k", DataSpec(1, 28, 10)
SHOWN = (1, 10, 100)  # draws, besides all of them
BINARISED = {"stochastic": "stochastically", "threshold": "by a threshold"}
Splits = dict[str, Split]


def splits(args: argparse.Namespace) -> Splits:
    """What is trained on, what settings are chosen by, and what is reported on."""
    data, _ = data_version(home(), DATA, None)
    result = {name: open_split(data, name) for name in ("train", "validation", "test")}
    if args.on_validation:
        return result | {"test": result["validation"]}
    both = [result["train"], result["validation"]]
    labels = np.concatenate([np.asarray(split.labels) for split in both])
    return result | {
        "train": Split(ShardedArray([np.concatenate([split.images[:] for split in both])]), labels)
    }


def settings_of(args: argparse.Namespace, family: str) -> tuple[Mapping[str, Any], Train]:
    """A family's own settings and those of its training."""
    own, chosen = read_settings(args.config, family)
    changes = dict(change.split("=", 1) for change in args.set)
    asked = {name: yaml.safe_load(value) for name, value in changes.items()}
    of_training = {name: value for name, value in asked.items() if name in Train.model_fields}
    of_family = {name: value for name, value in asked.items() if name not in Train.model_fields}
    settings = chosen.model_dump() | {"torch_threads": args.threads} | of_training
    return catalogue.config_of(family, {**own, **of_family}), Train(**settings)


def fitted(family: str, own: Mapping[str, Any], chosen: Train, split: Split) -> tuple[Generator, float]:
    """The averaged weights after all steps, and the seconds that they took."""
    made = Atelier(split, CARD, own, chosen, family)
    began = time.perf_counter()
    for number in range(chosen.steps):
        made.step(number)
    seconds = time.perf_counter() - began
    generator = made.trainer.calibrated()
    assert isinstance(generator, Generator)
    return generator.eval(), seconds


# Reconstruction


def mse(args: argparse.Namespace) -> str:
    """Test errors beside those of principal components."""
    digits = splits(args)
    own, chosen = settings_of(args, "autoencoder")
    generator, seconds = fitted("autoencoder", own, chosen, digits["train"])
    subject = Subject(generator, CARD, digits)
    test = subject.images("test")
    backs = {
        "autoencoder": subject.reconstruct(test),
        f"PCA, {own['latent']} components": subject.by_pca(test),
    }
    errors = {name: squared_errors(test, back) for name, back in backs.items()}
    rows = []
    for name, back in backs.items():
        estimate, absolute = mean_estimate(errors[name]), absolute_errors(test, back)
        interval = f"{estimate.low:.4f} to {estimate.high:.4f}"
        ratio = f"{errors[name].mean() / list(errors.values())[-1].mean():.3f}"
        rows.append([name, f"{estimate.value:.5f}", interval, f"{absolute.mean():.4f}", ratio])
    header = ["", "mean square error", "95 %", "mean absolute error", "relative to PCA"]
    how = f"{seconds:.0f} s of training on {args.threads} threads, {chosen.steps:,} steps of {chosen.batch}"
    n = f"{len(digits['train']):,} training digits, {len(test):,} test digits"
    return f"{table(header, rows)}\n\n{how}; {n}; pixels from 0 to 1, rounded to 8 bits."


# Likelihood


def nats(args: argparse.Namespace) -> str:
    """Bounds of log p(x) and a mixture of Bernoullis, a line for each way to make images binary."""
    digits = splits(args)
    lines, trainings = zip(*(likelihood(args, digits, way) for way in BINARISED), strict=True)
    header = ["binarised", *(f"K = {k:,}" for k in (*SHOWN, args.draws)), "mixture of Bernoullis"]
    n = f"{len(digits['train']):,} training digits, {len(digits['test']):,} test digits"
    unit = "Upper bounds on -log p(x) in nats per image, 95 % interval in parentheses"
    published = "Published figures are of 60,000 digits, and of digits binarised stochastically."
    return f"{table(header, list(lines))}\n\n{unit}. {trainings[0]}; {n}. {published}"


def likelihood(args: argparse.Namespace, digits: Splits, way: str) -> tuple[list[str], str]:
    """The line of a VAE trained on images made binary this way, and what its training was."""
    own, chosen = settings_of(args, "vae")
    own = {**own, "binarise": way}
    generator, seconds = fitted("vae", own, chosen, digits["train"])
    subject = Subject(generator, CARD, digits)
    weights = log_weights(subject, args.draws)
    bounds = {k: negated(mean_estimate(bound(weights, k))) for k in (*SHOWN, args.draws)}
    binary = binarised(subject)
    assert binary is not None, "the config binarises"
    mixture = mixture_of_all(binary["train"], len(digits["validation"]), subject.random)
    reference = mean_estimate(-mixture.log_p(binary["test"]))
    line = [BINARISED[way], *(f"{e.value:.2f}" for e in bounds.values())]
    last = bounds[args.draws]
    line[-1] += f" ({last.low:.2f} to {last.high:.2f})"
    line.append(f"{reference.value:.2f}, {len(mixture.weight)} components")
    how = f"{seconds:.0f} s of training on {args.threads} threads, {chosen.steps:,} steps of {chosen.batch}"
    return line, how


def mixture_of_all(x: np.ndarray, held: int, random: np.random.RandomState) -> BernoulliMixture:
    """Fitted to binary images x (N, D), of as many components as the last `held` of them like best unseen."""
    components = len(best_mixture(x[:-held], x[-held:], random).weight)
    return mixture_of(x, components, random)


# Speed


def speed(args: argparse.Namespace) -> str:
    """Images per second of both loops, in turn, each time in a process of its own."""
    ways = {"Atelier": by_us, "pythae": by_pythae, "torch alone": by_hand}
    runs: dict[int, list[dict[str, float]]] = {batch: [] for batch in args.batches}
    for _ in range(args.rounds):
        for batch in args.batches:
            args.batch = batch
            runs[batch].append({name: alone(way, args) for name, way in ways.items()})
            print(batch, *(f"{name} {rate:,.0f}" for name, rate in runs[batch][-1].items()), flush=True)
    rows = []
    for batch, rounds in runs.items():
        rates = [f"{statistics.median(one[name] for one in rounds):,.0f}" for name in ways]
        rows.append([str(batch), *rates, times(rounds, "Atelier"), times(rounds, "torch alone")])
    own, chosen, _ = dense(args)
    header = ["batch", *(f"{name}, images/s" for name in ways)]
    header += [f"{name}, times pythae's speed (over rounds)" for name in ("Atelier", "torch alone")]
    how = f"{own['widths']} units and {own['latent']} numbers, {args.epochs} epochs"
    protocol = (
        f"medians of {args.rounds} alternating rounds, {args.threads} threads; Atelier in {chosen.precision}"
    )
    alike = "torch alone: the same network, loss, precision and AdamW in a bare loop"
    return f"{table(header, rows)}\n\n{how}; {protocol}; {alike}."


def times(rounds: Sequence[Mapping[str, float]], name: str) -> str:
    """How many times as fast as pythae: the median of rounds, and their range."""
    return spread([one[name] / one["pythae"] for one in rounds], 2)


def alone(way: Callable[[argparse.Namespace], float], args: argparse.Namespace) -> float:
    """What it returns in a process of its own, since keeping freed memory is a setting of a process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(way, args).result()


def dense(args: argparse.Namespace) -> tuple[dict[str, Any], Train, Split]:
    """The settings and the data of all: ReLU and images as they are, since pythae has no other way."""
    torch.set_num_threads(args.threads)
    split = splits(args)["train"]
    own, chosen = settings_of(args, "autoencoder")
    steps = args.epochs * -(-len(split) // args.batch)
    return (
        {**own, "activation": "relu", "shift": 0},
        chosen.model_copy(update={"batch": args.batch, "steps": steps, "schedule": "constant"}),
        split,
    )


def by_us(args: argparse.Namespace) -> float:
    """Images per second of our loop, in a process set up as a job's is."""
    own, chosen, split = dense(args)
    keep_freed()
    _, seconds = fitted("autoencoder", own, chosen, split)
    return chosen.steps * chosen.batch / seconds


def by_hand(args: argparse.Namespace) -> float:
    """Forward, backward and AdamW by themselves, in malloc's own settings."""
    own, chosen, split = dense(args)
    model: Any = catalogue.build("autoencoder", own, CARD).generator
    optimizer = torch.optim.AdamW(model.parameters(), lr=own["lr"], fused=True)
    images = to_float(split.images[:])
    low = torch.autocast("cpu", torch.bfloat16, enabled=chosen.precision == "bfloat16")
    began = time.perf_counter()
    for _ in range(chosen.steps):
        x = images[torch.randint(0, len(images), (chosen.batch,))]
        optimizer.zero_grad()
        with low:
            reconstructed = model.decoder(model.encoder(x)).tanh()
        nn.functional.mse_loss(reconstructed.float(), x).backward()
        optimizer.step()
    return chosen.steps * chosen.batch / (time.perf_counter() - began)


def by_pythae(args: argparse.Namespace) -> float:
    """Images per second of pythae's trainer."""
    try:
        from pythae.models import AE, AEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError as error:
        raise InputError(f"pythae is not installed ({error}); see the head of this file") from None
    logging.disable(logging.INFO)
    own, chosen, split = dense(args)
    inner: Any = catalogue.build("autoencoder", own, CARD).generator

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers: nn.Module = inner.encoder

        def forward(self, x: torch.Tensor) -> ModelOutput:
            return ModelOutput(embedding=self.layers(x))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers: nn.Module = inner.decoder

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).tanh())

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        model = AE(AEConfig(input_dim=CARD.shape, latent_dim=own["latent"]), Encoder(), Decoder())
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=args.epochs,
            per_device_train_batch_size=chosen.batch,
            learning_rate=own["lr"],
            no_cuda=True,
        )
        images = to_float(split.images[:])
        from pythae.data.datasets import BaseDataset

        data = BaseDataset(images, torch.zeros(len(images)))
        trainer = BaseTrainer(model=model, train_dataset=data, training_config=config)
        began = time.perf_counter()
        trainer.train()
        return len(images) * args.epochs / (time.perf_counter() - began)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = {"mse": (mse, "autoencoder"), "nats": (nats, "vae"), "speed": (speed, "autoencoder")}
    parser.add_argument("what", choices=what)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--on-validation", action="store_true", help="how settings are chosen")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path, nargs="?", const=home() / "docs" / "autoencoders.md")
    args = parser.parse_args()
    function, config = what[args.what]
    args.config = args.config or home() / "configs" / "cpu" / f"{config}.yaml"
    torch.set_num_threads(args.threads)
    try:
        text = function(args)
        print(f"\n{text}")
        if args.write:
            put(args.write, args.what, text)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
