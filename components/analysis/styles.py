"""Views of the styles of a style-based generator for the page."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.analysis.path_length import path_length
from components.analysis.view import Picture, View, table
from components.common.threads import using_threads
from components.evaluation.requests import EvaluationPaths
from components.extractors.feature_distance import FeatureDistance, feature_distance
from components.extractors.perceptual_network import NetworkName
from components.families.artifact import load_model
from components.metrics.distances import Estimate
from components.records import analysis
from components.sampling import sheets
from components.sampling.interpolation import interpolate, write_animation
from components.sampling.mixing import mixing_grid
from components.sampling.styles import PARTS, Key, Styles, parsed_layers
from components.store import Store

ROWS, COLUMNS = 3, 5  # of grids of style mixing
PASSED, BETWEEN = 3, 12  # points of a closed way, and frames from one to the next
SMALL, WAYS, FEW_WAYS = 64, 6, 2  # pixels up to which so many ways are shown, and how many of larger images
FPS = 12.0
STILLS = 9  # of each way
LADDER = np.linspace(-1, 1, 9)  # psi
SAMPLES = 4  # rows of a ladder


@dataclass(frozen=True)
class Animation(Picture):
    """Frames that are shown in turn, instead of `images`, which are shown where nothing may move."""

    frames: np.ndarray | None = None  # uint8 (F, N, C, H, W)


def style_views(
    places: EvaluationPaths,
    model: str,
    out: str,
    seed: int,
    pairs: int,
    network: NetworkName,
    device: str,
) -> list[analysis.View]:
    """Make all views of a model and save their pictures; a job.

    Args:
        places: paths of the data's extractor.
        model: folder in the store.
        out: folder of the stage's attempt.
        seed: of the points of W, which are those of the first samples of the seeds from this one on.
        pairs: paths whose length is measured.
        network: for the distance of images.
        device: the device to compute on.
    """
    store = places.store
    generator, card, config = load_model(store.local_copy(model))
    styles = Styles(generator.requires_grad_(False).to(device), card, config)
    folder = Path(store.local_copy(places.extractor)) if network == "extractor" else None
    with using_threads(places.threads):
        distance = feature_distance(network, card, folder, device)
        views = [
            mixing(styles, seed),
            interpolation(styles, seed),
            truncation(styles, seed),
            lengths(styles, distance, pairs, seed),
        ]
    return [saved(view, store, out) for view in views]


def saved(view: View, store: Store, out: str) -> analysis.View:
    """Save the pictures of a view; return its record."""
    record = view.record()
    for picture, described in zip(view.pictures, record.pictures, strict=True):
        still = sheets.encode_webp(sheets.grid(picture.images, picture.columns))
        if isinstance(picture, Animation) and picture.frames is not None:
            frames = [sheets.grid(images, len(images)).transpose(2, 0, 1) for images in picture.frames]
            with tempfile.TemporaryDirectory() as folder:
                write_animation(frames, file := Path(folder) / "loop.webp", FPS)
                store.write_bytes(f"{out}/{described.path}", file.read_bytes())
            described.still = described.path.replace(".webp", "-still.webp")
            described.rows, described.columns = 1, picture.frames.shape[1]
            store.write_bytes(f"{out}/{described.still}", still)
        else:
            store.write_bytes(f"{out}/{described.path}", still)
    return record


def mixing(styles: Styles, seed: int) -> View:
    """Samples with the coarse, middle or fine styles of others."""
    keys = styles.keys(range(seed, seed + ROWS + COLUMNS))
    pictures = []
    for part in PARTS:
        layers = parsed_layers(part, styles.layers)
        pictures.append(
            Picture(
                mixing_grid(styles, keys[:ROWS], keys[ROWS:], layers),
                1 + COLUMNS,
                f"{part.capitalize()} styles of the columns",
                f"Layers {layers.start} to {layers.stop - 1} of {styles.layers}.",
            )
        )
    return View(
        "mixing",
        "Style mixing",
        "The first line and the first column are samples. Each other image is that of its row, with the "
        "styles of its column in a third of the layers.",
        pictures=pictures,
    )


def interpolation(styles: Styles, seed: int) -> View:
    """Closed ways between samples, animated."""
    count = WAYS if styles.card.resolution <= SMALL else FEW_WAYS
    ways = [
        [styles.from_seed(seed + count * i + way, turn=way) for i in range(PASSED)] for way in range(count)
    ]
    made = [way_of(styles, keys) for keys in ways]
    stills = np.linspace(0, len(made[0]), STILLS, endpoint=False).astype(int)
    return View(
        "interpolation",
        "Interpolation in W",
        f"Each image moves along straight lines in W between {PASSED} samples, and back to the first, with "
        "the same noise inputs. In a smooth space nothing jumps.",
        pictures=[
            Animation(
                np.concatenate([images[stills] for images in made]),
                STILLS,
                "Closed ways between samples",
                frames=np.stack(made, axis=1),
                meaning="",
            )
        ],
    )


def way_of(styles: Styles, keys: list[Key]) -> np.ndarray:
    """The images of a closed way, uint8 (F, C, H, W)."""
    ws = interpolate(styles, keys, BETWEEN * len(keys))
    return np.concatenate(list(styles.images(ws, [keys[0].noises] * len(ws))))


def truncation(styles: Styles, seed: int) -> View:
    """Samples at psi from -1 to 1, towards the mean of w, and of each class if there are classes."""
    keys = styles.keys(range(seed, seed + SAMPLES))
    steps = f"A sample a row; psi from {LADDER[0]:g} to {LADDER[-1]:g}, the sample itself."
    pictures = [Picture(ladder(styles, keys), len(LADDER), "Towards the mean of w", steps)]
    if styles.classes:
        images = ladder(replace(styles, by_class=True), keys)
        pictures.append(Picture(images, len(LADDER), "Towards the mean of the class", steps))
    return View(
        "truncation",
        "Truncation",
        "At psi 0 there is the image of the mean style, and at negative psi the opposite of a sample.",
        pictures=pictures,
    )


def ladder(styles: Styles, keys: list[Key]) -> np.ndarray:
    """The images of points at each psi of LADDER, a row each, uint8 (N, C, H, W)."""
    ws = [replace(styles, psi=float(psi)).styles(key) for key in keys for psi in LADDER]
    return np.concatenate(list(styles.images(ws, [key.noises for key in keys for _ in LADDER])))


def lengths(styles: Styles, distance: FeatureDistance, pairs: int, seed: int) -> View:
    """The perceptual path length in W and in z."""
    rows = {
        "in W, at the ends of paths": path_length(styles, distance, pairs=pairs, seed=seed),
        "in W, anywhere on paths": path_length(styles, distance, along="full", pairs=pairs, seed=seed),
        "in z, anywhere on paths": path_length(
            styles, distance, space="z", along="full", pairs=pairs, seed=seed
        ),
    }
    return View(
        "path_length",
        "Perceptual path length",
        "How fast images change on the way between two random points: the squared distance of images a step "
        "of 0.0001 apart, divided by the step's square. Lower is smoother.",
        [
            table(
                [(f"PPL ({distance.name})", "lower")],
                [(name, [Estimate(row.value, row.low, row.high)]) for name, row in rows.items()],
                rivals=False,
                note=f"{pairs:,} paths each, without the highest and the lowest 1 %. Comparable only with "
                f"the same network for the distance, here {distance.name}. At the ends: Karras et al. 2020; "
                "anywhere: Karras et al. 2019.",
            )
        ],
    )
