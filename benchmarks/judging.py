"""Judging against torch-fidelity, pytorch-fid and scipy, side by side in one run.

    python benchmarks/judging.py features [--images 256] [--rounds 3]
    python benchmarks/judging.py frechet [--dim 2048] [--rounds 3]

`features`: from a folder of PNG files to the mean and covariance of Inception's features. All three take the
same random weights, cores and files, each on its own path with its own defaults. At stake: at least 1.3 times
the images per second of either.

`frechet`: the distance between two Gaussians that is known in closed form. At stake: at least 5 times as fast
as scipy's sqrtm, and as accurate.

Contestants take turns round by round, so that a busy machine slows all of them alike; medians are printed.
Needs pip install --require-hashes -r requirements/peers.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity_inception
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_input_id_to_statistics, fid_statistics_to_metric

from components.common.chunks import CHUNK, ranges
from components.data.card import DatasetCard
from components.data.external import read, scan_images
from components.extractors import inception, load, pretrained
from components.metrics import distances

OURS, FIDELITY, PYTORCH_FID, SCIPY = "atelier", "torch-fidelity", "pytorch-fid", "pytorch-fid, scipy"
CARD = DatasetCard(
    name="noise", title="", source="", licence="", credit="", resolution=32, channels=3, counts={}
)
Gaussian = tuple[np.ndarray, np.ndarray]  # mean (D,), covariance (D, D)
Result = TypeVar("Result")


def take_turns(contestants: dict[str, Callable[[], Result]], rounds: int) -> dict[str, tuple[float, Result]]:
    """The median seconds and the last result of each, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    results = {}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            started = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - started)
            turn = f"round {number}" if number else "warm-up"
            print(f"{turn:<8}  {name:<18} {seconds[name][-1]:8.2f} s", flush=True)
    return {name: (statistics.median(seconds[name][1:]), results[name]) for name in contestants}


def compare_features(args: argparse.Namespace) -> None:
    """Images per second of features and statistics."""
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_images(folder / "images", args.images)
        weights = random_weights()
        torch.save(weights, folder / "weights.pth")
        contestants = {
            OURS: ours(folder),
            FIDELITY: fidelity(folder),
            PYTORCH_FID: pytorch_fid_statistics(paths, weights, args.threads),
        }
        turns = take_turns(contestants, args.rounds)
    rates = {name: args.images / seconds for name, (seconds, _) in turns.items()}
    for name, rate in rates.items():
        print(f"{name:<18} {rate:8.1f} images/s   {OURS} is x {rates[OURS] / rate:.2f}")
    (mean, cov), (their_mean, their_cov) = turns[OURS][1], turns[FIDELITY][1]
    print(f"{OURS} and {FIDELITY} differ by {apart(mean, their_mean):.1e} in means, ", end="")
    print(f"{apart(cov, their_cov):.1e} in covariances (relative to the largest)")


def write_images(folder: Path, count: int) -> list[str]:
    """PNG files of noise, no two alike."""
    folder.mkdir()
    for i, pixels in enumerate(noise(count, seed=0).transpose(0, 2, 3, 1)):
        Image.fromarray(pixels).save(folder / f"{i:06d}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def noise(count: int, seed: int) -> np.ndarray:
    """uint8 (count, C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *CARD.card.shape), np.uint8)


def random_weights() -> dict[str, Tensor]:
    """Inception whose activations are of order one: speed asks no more of the weights."""
    Network = fidelity_inception.FeatureExtractorInceptionV3
    with (
        patch.object(fidelity_inception, "load_state_dict_from_url", return_value={}),
        patch.object(Network, "load_state_dict"),
    ):
        network = Network("inception-v3-compat", ["2048"])
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            mean, variance = module.running_mean, module.running_var
            assert mean is not None and variance is not None
            mean.normal_(0, 0.1)
            variance.uniform_(0.5, 1.5)
    return network.state_dict()


def adopt(folder: Path) -> str:
    """Make folder/extractor of the random weights; their sha256."""
    sha256 = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()
    insisting_on(sha256, inception.adopt_inception, folder / "weights.pth", folder / "extractor")
    return sha256


def insisting_on(sha256: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """`function` in a world where these are the weights of 2015: no others are ever called Inception."""
    with patch.object(pretrained, "INCEPTION_SHA256", sha256):
        return function(*arguments)


def ours(folder: Path) -> Callable[[], Gaussian]:
    """Atelier's path."""
    extractor = insisting_on(adopt(folder), load.load_extractor, folder / "extractor")

    def run() -> Gaussian:
        outside = scan_images(folder / "images", CARD, folder / "scratch")
        parts = (range(i, i + n) for i, n in ranges(len(outside.paths), CHUNK))
        result = distances.statistics(
            np.concatenate([extractor(read(outside, part, CARD)) for part in parts])
        )
        return result.mean, result.cov

    return run


def fidelity(folder: Path) -> Callable[[], Gaussian]:
    """The path of torch-fidelity."""
    extractor = fidelity_inception.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], str(folder / "weights.pth")
    )
    options = {"input1": str(folder / "images"), "batch_size": 64, "cuda": False, "verbose": False}

    def run() -> Gaussian:
        result = fid_input_id_to_statistics(1, extractor, "2048", **options)
        return result["mu"], result["sigma"]

    return run


def pytorch_fid_statistics(
    paths: list[str], weights: dict[str, Tensor], workers: int
) -> Callable[[], Gaussian]:
    """The path of pytorch-fid; its network would be downloaded, so it is handed the weights instead."""
    with patch.object(pytorch_fid.inception, "load_state_dict_from_url", return_value=weights):
        network = pytorch_fid.inception.InceptionV3()
    pytorch_fid.fid_score.tqdm = lambda batches: batches  # no progress bar amid the table
    return lambda: pytorch_fid.fid_score.calculate_activation_statistics(
        paths, network, batch_size=50, num_workers=workers
    )


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def compare_frechet(args: argparse.Namespace) -> None:
    """Seconds from statistics to a distance, and how far it is from the exact one."""
    a, b, exact = gaussians(args.dim)
    turns = take_turns(
        {
            OURS: lambda: ours_distance(a, b),
            SCIPY: lambda: pytorch_fid.fid_score.calculate_frechet_distance(*a, *b),
            FIDELITY: lambda: fidelity_distance(a, b),
        },
        args.rounds,
    )
    print(f"exact distance {exact:.6f}")
    for name, (seconds, distance) in turns.items():
        error, ratio = abs(distance - exact) / exact, seconds / turns[OURS][0]
        print(f"{name:<18} {seconds:8.2f} s   error {error:.1e}   {OURS} is x {ratio:.1f}")


def gaussians(dim: int) -> tuple[Gaussian, Gaussian, float]:
    """Two Gaussians whose covariances share eigenvectors, and the distance between them.

    With C_a = Q diag(a) Q^T and C_b = Q diag(b) Q^T it is |m_a - m_b|^2 + sum (sqrt a - sqrt b)^2.
    """
    random = np.random.default_rng(0)
    Q, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    rank = np.arange(1, dim + 1)
    a = rank**-1.5  # a power law, as Inception's features have
    b = a * random.lognormal(0, 0.2, dim)  # near, so that the distance is a small difference of large traces
    means = random.normal(size=(2, dim)) / dim
    exact = np.square(means[0] - means[1]).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    return (means[0], (Q * a) @ Q.T), (means[1], (Q * b) @ Q.T), float(exact)


def ours_distance(a: Gaussian, b: Gaussian) -> float:
    """Atelier's distance; n does not enter it."""
    return distances.frechet_distance(distances.Statistics(*a, n=1), distances.Statistics(*b, n=1))


def fidelity_distance(a: Gaussian, b: Gaussian) -> float:
    """The distance of torch-fidelity, by the eigenvalues of the product."""
    first, second = ({"mu": mean, "sigma": cov} for mean, cov in (a, b))
    return fid_statistics_to_metric(first, second, verbose=False)["frechet_inception_distance"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    modes = parser.add_subparsers(required=True)
    speed = modes.add_parser("features")
    speed.set_defaults(run=compare_features)
    speed.add_argument("--images", type=int, default=256)
    speed.add_argument("--rounds", type=int, default=3)
    speed.add_argument("--threads", type=int, default=2)
    frechet = modes.add_parser("frechet")
    frechet.set_defaults(run=compare_frechet)
    frechet.add_argument("--dim", type=int, default=2048)
    frechet.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # scipy's, of how pytorch-fid calls sqrtm
    warnings.filterwarnings("ignore", "This DataLoader will create")  # torch's, of torch-fidelity's defaults
    args.run(args)


if __name__ == "__main__":
    main()
