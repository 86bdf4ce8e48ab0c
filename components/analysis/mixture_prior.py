"""Samples of a family that encodes images: codes drawn from a mixture of Gaussians fitted to training codes.

An autoencoder has no other way to make an image from nothing; a VAE may have a better one than N(0, I).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.analysis.divergence import diverged
from components.analysis.latent_space import drawn_from, fitted_mixture
from components.analysis.views import Subject
from components.common.errors import InputError, RunError
from components.data.dataset import open_split
from components.families.artifact import load_model
from components.families.catalogue import conditions
from components.sampling import png
from components.sampling.request import UNLABELLED, SampleOptions, class_number
from components.sampling.to_file import check_picture, write_picture
from components.store import Store
from models.registry import FAMILIES


def sample_to_file(
    model: Path, output: Path, store: Store, data: str, *, n: int, seed: int = 0, label: str | None = None
) -> np.ndarray:
    """Draw samples of an exported model into one picture; returns them.

    Args:
        model: folder with model.safetensors and config.json.
        output: a .png or .webp file.
        store: where the data are.
        data: folder in it of the prepared data that the model was trained on.
        n: how many.
        seed: image i depends on (seed, i).
        label: a class by name or number, if the model is class-conditional; None: all in turn.

    Raises:
        InputError: the family encodes no images, or a label is unknown.
        RunError: its codes are not finite.
    """
    check_picture(output, n)
    generator, card, config = load_model(model)
    name = config.family
    if not FAMILIES[name].codes:
        raise InputError(f"--prior mixture: {name} does not encode images, so it has no codes to fit one to")
    conditional = "label" in conditions(name, config.config, card)
    if label is not None and not conditional:
        raise InputError(f"--label {label}: {UNLABELLED}")
    folder = store.local_copy(data)
    splits = {split: open_split(folder, split) for split in ("train", "validation")}
    subject = Subject(generator, card, splits, conditional=conditional)
    if diverged(subject):
        raise RunError(f"{name} encodes images as NaN or infinite codes: its training has diverged")
    if label is not None:
        classes = np.full(n, class_number(label, config.labels, card))
    else:
        classes = np.arange(n) % max(card.num_classes, 1)
    images = subject.decode(drawn_from(fitted_mixture(subject), n, seed), classes)
    made = {**png.made_now(model, config, seed, SampleOptions()), "prior": "mixture"}
    labels = classes if conditional else None
    each = [png.of_image(made, i, labels=labels, names=config.labels) for i in range(n)]
    write_picture(images, output, made=png.of_sheet(each))
    return images
