"""Compression and denoising by reconstruction."""

from __future__ import annotations

import io
from bisect import bisect_right

import numpy as np
from PIL import Image

from components.analysis.view import Columns, Picture, Subject, View, flat, plot, table
from components.metrics.distances import Estimate
from components.metrics.image_pairs import psnr_values
from components.metrics.intervals import mean_estimate

QUALITIES = range(1, 96)  # of JPEG
LEVELS = (0.1, 0.2, 0.3, 0.5, 0.7)  # standard deviation of noise on pixels in [0, 1]
SHOWN = 0.3  # the level in the picture
COLUMNS = 10  # images in a row of a picture
CLASS_NOTE = (
    " The model is told the class of each image, which is in no count of bytes, and its rivals are not."
)
START_OF_SCAN = b"\xff\xda"  # JPEG's marker before the compressed pixels


# Compression


def compression(subject: Subject) -> View:
    """Bytes against PSNR: codes, as many principal components, JPEG."""
    images, size = subject.images("test"), int(np.prod(subject.card.shape))
    codes, made = subject.codes, subject.labels("test")
    z, pca = subject.latent, subject.pca
    few = quantised(codes["train"], codes["test"])
    components = {split: pca.transform(flat(subject.images(split))) for split in ("train", "test")}
    pairs: list[tuple[str, float, np.ndarray]] = [
        ("8-bit codes", z, subject.decode(few, made)),
        ("codes in float32", 4 * z, subject.decode(codes["test"], made)),
        (f"PCA, {pca.n_components_} components in 8 bits", pca.n_components_,
         subject.unflat(pca.inverse_transform(quantised(components["train"], components["test"])))),
        (f"PCA, {pca.n_components_} components in float32", 4 * pca.n_components_,
         subject.unflat(pca.inverse_transform(components["test"]))),
    ]  # fmt: skip
    quality, scan, whole, by_jpeg = jpeg(images, z)
    pairs.append((f"JPEG, quality {quality}: pixels alone", scan, by_jpeg))
    pairs.append((f"JPEG, quality {quality}: the whole file", whole, by_jpeg))
    rows = [
        (name, (count, f"{size / count:.1f} : 1", mean_estimate(psnr_values(images, back))))
        for name, count, back in pairs
    ]
    columns: Columns = (("bytes", "lower"), ("ratio", None), ("PSNR, dB", "higher"))
    note = f"{len(images)} test images of {size} bytes. JPEG's headers and tables are left out of its pixels."
    note += CLASS_NOTE * subject.conditional
    if scan > z:
        note += " No quality of JPEG takes as few bytes as a code; the lowest is shown."
    rows_of = [images, pairs[0][2], pairs[2][2], by_jpeg]
    return View(
        "compression",
        "Compression",
        "How much of an image comes back from a code, against principal components and JPEG.",
        [table(columns, rows, note=note, rivals=False)],  # of unlike sizes
        pictures=[
            Picture(
                np.concatenate([each[:COLUMNS] for each in rows_of]),
                min(COLUMNS, len(images)),
                "There and back",
                "From top to bottom: test images, from 8-bit codes, from as many components, from JPEG.",
            )
        ],
    )


def quantised(train: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (N, Z) in 256 levels of each dimension, over the range that it has in training."""
    low, high = train.min(0), train.max(0)
    step = np.where(high > low, high - low, 1.0) / 255
    return low + step * np.rint((values - low) / step).clip(0, 255)


def jpeg(images: np.ndarray, most: float) -> tuple[int, float, float, np.ndarray]:
    """Images through JPEG at the best quality whose pixels take at most `most` bytes in the mean, or at 1.

    Returns the quality, the mean bytes of pixels and of whole files, and the images.
    """
    too_good = bisect_right(QUALITIES, most, key=lambda quality: through_jpeg(images, quality)[1])
    return through_jpeg(images, QUALITIES[max(0, too_good - 1)])


def through_jpeg(images: np.ndarray, quality: int) -> tuple[int, float, float, np.ndarray]:
    """The same at one quality."""
    scans, wholes, back = [], [], []
    for image in images:
        buffer, array = io.BytesIO(), image.transpose(1, 2, 0)
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(
            buffer, "JPEG", quality=quality, optimize=True
        )
        data = buffer.getvalue()
        at = data.rindex(START_OF_SCAN) + 2
        header = int.from_bytes(data[at : at + 2], "big")
        scans.append(len(data) - at - header - 2)  # without the end marker
        wholes.append(len(data))
        with Image.open(buffer) as decoded:
            back.append(np.asarray(decoded).reshape(array.shape).transpose(2, 0, 1))
    return quality, float(np.mean(scans)), float(np.mean(wholes)), np.stack(back)


# Denoising


def denoising(subject: Subject) -> View:
    """PSNR before and after, over levels of noise, beside principal components."""
    images, labels = subject.images("test"), subject.labels("test")
    rows: list[tuple[str, list[Estimate]]] = []
    lines: dict[str, list[tuple[float, float]]] = {"noisy": [], "denoised": [], "PCA": []}
    picture = images
    for level in LEVELS:
        noisy = with_noise(images, level, subject.random)
        back = subject.reconstruct(noisy, labels)
        before, after, by_pca = (psnr_values(images, each) for each in (noisy, back, subject.by_pca(noisy)))
        cells = (before, after, after - before, by_pca - before)
        rows.append((f"noise {level:g}", [mean_estimate(values) for values in cells]))
        for name, values in zip(lines, (before, after, by_pca), strict=True):
            lines[name].append((level, float(values.mean())))
        if level == SHOWN:
            picture = np.concatenate([each[:COLUMNS] for each in (images, noisy, back)])
    columns: Columns = (
        ("PSNR of noisy images, dB", None),
        ("PSNR of what comes back, dB", "higher"),
        ("gain, dB", "higher"),
        ("gain by PCA, dB", "higher"),
    )
    return View(
        "denoising",
        "Denoising",
        "Noise is laid on test images; what comes back is compared with the clean ones.",
        [
            table(
                columns,
                rows,
                note=f"{len(images)} test images; noise of pixels from 0 to 1, then clipped."
                + CLASS_NOTE * subject.conditional,
                rivals=False,
            )
        ],
        [plot("lines", "standard deviation of the noise", "PSNR, dB", lines)],
        [
            Picture(
                picture,
                min(COLUMNS, len(images)),
                f"Noise {SHOWN:g}",
                "From top to bottom: test images, with noise on them, what comes back.",
            )
        ],
    )


def with_noise(images: np.ndarray, level: float, random: np.random.RandomState) -> np.ndarray:
    """Uint8 images with Gaussian noise on them, clipped as images are."""
    noisy = images + 255 * level * random.standard_normal(images.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)
