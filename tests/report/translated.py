"""A run of families that make images from sources, with pictures of sources, outputs and truth."""

from __future__ import annotations

import numpy as np
from PIL import Image

from components.records.evaluation import Baseline, Metrics
from components.records.run import FamilyResult, RunManifest, StageEntry, TrainingSummary
from components.records.training import SampleTable, TrainingResult
from components.store import Store
from tests.report.fixture import STEPS, digits, judged, manifest, sheet, stage, write_run

TABLE = SampleTable(columns=8, count=64, resolution=28, channels=1, steps=list(STEPS))
TASKS = {"pix2pix": "translate", "cyclegan": "translate_unpaired", "super_resolution": "upscale"}


def bicubic(images: np.ndarray, scale: int = 4) -> np.ndarray:
    """Images (N, H, W) reduced and enlarged again."""
    side = images.shape[-1]

    def resized(image: np.ndarray, to: int) -> np.ndarray:
        return np.asarray(Image.fromarray(image).resize((to, to), Image.Resampling.BICUBIC))

    return np.stack([resized(resized(image, side // scale), side) for image in images])


def pairs(quality: float) -> Metrics:
    """The measures of images with targets, the better the larger `quality`."""
    pixels = {"extractor": None}
    return {
        "reconstruction_frechet_distance": judged(
            "reconstruction_frechet_distance", 20 / quality, real_baseline=0.0
        ),
        "reconstruction_kid": judged("reconstruction_kid", 0.2 / quality, real_baseline=0.0),
        "mse": judged("mse", 0.05 / quality, real_baseline=0.0, **pixels),
        "mae": judged("mae", 0.1 / quality, real_baseline=0.0, **pixels),
        "psnr": judged("psnr", 14 + quality, better="higher", **pixels),
        "psnr_y": judged("psnr_y", 15 + quality, better="higher", **pixels),
    }


def unpaired(quality: float) -> Metrics:
    """The measures of translations in both directions, the better the larger `quality`."""
    return {
        "frechet_distance": judged("frechet_distance", 20 / quality, real_baseline=1.8),
        "kid": judged("kid", 0.2 / quality, real_baseline=0.0004),
        "backward_kid": judged("backward_kid", 0.3 / quality),
        "backward_frechet_distance": judged("backward_frechet_distance", 30 / quality),
    }


def results() -> list[FamilyResult]:
    """Pix2Pix is worse than the nearest pair, super-resolution and CycleGAN beat their baselines."""
    cycles = {
        f"{way}cycle_error": judged(f"{way}cycle_error", 0.031, real_baseline=0.0, extractor=None)
        for way in ("", "backward_")
    }
    measured = {
        "pix2pix": (pairs(4.0), {"identity": pairs(1.0), "nearest_pair": pairs(5.0)}),
        "cyclegan": (unpaired(4.0) | cycles, {"identity": unpaired(1.0)}),
        "super_resolution": (pairs(4.0), {"bicubic": pairs(2.0)}),
    }
    return [
        FamilyResult(
            family=family,
            task=TASKS[family],
            paper="Authors et al. 2017",
            parameters=1_234_567,
            train_seconds=300.0,
            samples_per_second=210.0,
            metrics=metrics,
            baselines=[Baseline(name=name, metrics=values) for name, values in beside.items()],
            train=TrainingSummary(steps=1000),
        )
        for family, (metrics, beside) in measured.items()
    ]


def training(store: Store, family: str, truth: np.ndarray) -> StageEntry:
    """The stage of a training with its pictures."""
    key, rng = f"{family}translated".ljust(24, "0")[:24], np.random.default_rng(0)
    folder = f"store/train/{key}/attempts/1"
    source = bicubic(truth) if family == "super_resolution" else 255 - truth
    store.write_bytes(f"{folder}/samples/given.webp", sheet(source))
    if family != "cyclegan":
        store.write_bytes(f"{folder}/samples/source.webp", sheet(truth))
    for step in STEPS:
        share = np.exp(-3 * step / 1000)
        mixed = truth * (1 - share) + rng.uniform(0, 255, truth.shape) * share
        store.write_bytes(f"{folder}/samples/step-{step:07d}.webp", sheet(mixed.astype("uint8")))
        if family == "cyclegan":
            back = sheet(255 - mixed.astype("uint8"))
            store.write_bytes(f"{folder}/samples/backward-{step:07d}.webp", back)
            store.write_bytes(f"{folder}/samples/backward-given.webp", sheet(truth))
    store.write_text(f"{folder}/metrics/part-0000001-0001000.jsonl", '{"step": 1000, "seconds": 300.0}\n')
    made = TrainingResult(samples=TABLE, parameters=1_234_567)
    store.write_json(f"{folder}/result.json", {"trained": made.to_json()})
    store.write_json(f"store/train/{key}/_SUCCESS", {"attempt": 1})
    return stage("train", family, "ran", 10, 300, 296, key=key, uri=f"store/train/{key}")


def write_translated(store: Store, truth: np.ndarray | None = None) -> str:
    """Write the run and return its id; `truth` is uint8 (64, 28, 28)."""
    images = digits() if truth is None else truth
    stages = [training(store, family, images) for family in TASKS]
    run: RunManifest = manifest("20261129-120000-translated", "done", stages, results())
    write_run(store, run)
    return run.run_id
