"""Load an exported model and sample from it. This imports neither Prefect nor Ray."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypedDict, Unpack, overload

import numpy as np
from PIL import Image

from atelier.images import Array, Picture, Pictures, as_files, stacked
from components.common.errors import InputError
from components.common.paths import home
from components.common.suggestions import did_you_mean
from components.families.artifact import load_model
from components.families.catalogue import description_of, task_of
from components.registry.models import find_model, local_model
from components.sampling import generate
from components.sampling.pictures import OpenModel, as_picture, pictures, with_options
from components.sampling.request import sampling_inputs
from components.sampling.styles import StyleOptions
from components.sampling.to_file import SAMPLES, check_count
from components.store import open_store

OPTION = re.compile(r"(?<![\w-])(?:--([a-z][a-z-]*)|-(n))\b( (?=\S))?")  # of the command line, with its value


class Settings(TypedDict, total=False):
    """Settings of a sampling that a model may have; those not given are the model's own.

    They are the options of `atelier sample` of the same names.
    """

    strength: float  # of the noise added to the source to start from: near 0 keeps it, 1 does not
    steps: int  # of the sampler
    guidance_scale: float  # towards class or caption; 1: none
    sampler: str
    dropout: Literal["on", "off"]  # the noise of some translators
    direction: Literal["forward", "backward"]  # of a translation between two domains
    statistics: Literal["image", "training"]  # of BatchNorm
    interpolate: float  # 0: weights of the PSNR-oriented network, 1: of the GAN
    truncation: float  # psi, towards the mean style: 1 is no truncation, 0 the mean image
    truncation_cutoff: int  # layers that are truncated, from the first
    truncation_mean: Literal["all", "class"]  # of w, towards which images are truncated


def load(model: str | os.PathLike[str], *, store: str = "output") -> Model:
    """Load an exported model.

    Args:
        model: the folder of an exported model, its URL (any of fsspec's), or RUN/FAMILY, in which RUN may be
            `latest`, the newest run that has the family.
        store: folder or URL of the store with the runs.

    Raises:
        InputError: there is no such model, or it does not fit this version of Atelier.
    """
    name = os.fspath(model)
    return Model(_folder(name, store), name)


def _folder(model: str, store: str) -> Path:
    """Return a model's folder on this machine."""
    if "://" not in model and (path := Path(model).expanduser()).is_dir():
        return path
    _, folder = find_model(open_store(store, home()), model)
    return local_model(folder.url)


class Model:
    """An exported model, on the CPU, ready to sample.

    Attributes:
        folder: with config.json and the weights, on this machine.
        name: what it was loaded as.
        family: of the model, such as those that `atelier families` lists.
        paper: the publication of the family.
        labels: the names of its classes; None: it has none, or they have no names.
        shape: of its images: (height, width, channels).
    """

    def __init__(self, folder: Path, name: str = ""):
        self.folder, self.name = folder, name or str(folder)
        self._settings: Mapping[str, object] = {}
        self._loaded = load_model(folder)
        _, card, config = self._loaded
        self.family, self.labels = config.family, config.labels
        self.paper = description_of(config.family)["paper"]
        self.shape = (card.resolution, card.resolution, card.channels)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        return f"Model({self.name!r}: {self.family}, {height}x{width}x{channels})"

    @property
    def needs_source(self) -> bool:
        """Whether it makes its images from others, which `sample` then needs."""
        return task_of(self.family).made_from != "noise"

    @overload
    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        label: str | int | None = None,
        prompt: str | Sequence[str] | None = None,
        source: Pictures | None = None,
        mask: Picture | None = None,
        output_type: Literal["np"] = "np",
        **settings: Unpack[Settings],
    ) -> Array: ...

    @overload
    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        label: str | int | None = None,
        prompt: str | Sequence[str] | None = None,
        source: Pictures | None = None,
        mask: Picture | None = None,
        output_type: Literal["pil"],
        **settings: Unpack[Settings],
    ) -> list[Image.Image]: ...

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        label: str | int | None = None,
        prompt: str | Sequence[str] | None = None,
        source: Pictures | None = None,
        mask: Picture | None = None,
        output_type: Literal["np", "pil"] = "np",
        **settings: Unpack[Settings],
    ) -> Array | list[Image.Image]:
        """Draw samples: an array (N, H, W, C), uint8, with 1 or 3 channels, or PIL images.

        They are those of `atelier sample` with the same options. Sample i depends on the model, the seed, i
        and its conditions alone, not on `n`.

        Args:
            n: number of samples; None: 16, or one of each source.
            seed: of the samples.
            label: a class by name or number; None: all classes in turn.
            prompt: a caption, or several that are used in turn, for a family trained with captions.
            source: what to translate, enlarge, inpaint, reconstruct or start from: a file, a PIL image, an
                array (H, W, C), or several, of which each gets one sample.
            mask: white where the source is to be inpainted.
            output_type: `np` for an array, `pil` for a list of PIL images. An image with transparency that
                is enlarged keeps it as a PIL image only.
            settings: see `Settings`.

        Raises:
            InputError: the model does not support an argument, or needs one that is missing.
            RunError: the model returns NaN.
        """
        if output_type not in ("np", "pil"):
            raise InputError(f"output_type={output_type!r} is not accepted: it is 'np' or 'pil'")
        _check_settings(settings)
        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt or ())
        with (
            _python_names(),
            as_files(source, "source") as sources,
            as_files(mask, "mask") as masks,
        ):
            options = StyleOptions(
                label=self._named(label),
                prompts=prompts,
                source=sources[0] if sources else None,
                mask=masks[0] if masks else None,
                **settings,
            )
            return self._draw(options, sources, n, seed, output_type)

    def _draw(
        self, options: StyleOptions, sources: Sequence[Path], n: int | None, seed: int, output_type: str
    ) -> Array | list[Image.Image]:
        """Return the samples of `sample`."""
        check_count(n)
        opened = self._open(options)
        if len(sources) > 1 and n not in (None, len(sources)):
            raise InputError(f"n={n}: {len(sources)} sources get one sample each; leave out n")
        if len(sources) > 1 or (sources and self.needs_source and n in (None, 1)):
            made = list(pictures(opened, sources, seed))
            return made if output_type == "pil" else stacked(made)
        n = n or SAMPLES
        inputs = sampling_inputs(options, n, opened.generator, opened.card, opened.config)
        settings = {"n": n, "seed": seed, "method": opened.method, **inputs}
        images = generate.draw(opened.generator, opened.card, **settings)
        if output_type == "pil":
            return [as_picture(image) for image in images]
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1))

    def _open(self, options: StyleOptions) -> OpenModel:
        """Return the model with the settings of the options; those of the last call stay loaded."""
        if options.settings != self._settings:
            self._loaded, self._settings = load_model(self.folder, options.settings), options.settings
        return with_options(*self._loaded, options)

    def _named(self, label: str | int | None) -> str | None:
        """Return a label as the command line has it; a number is that of a class, not a name."""
        if label is None or isinstance(label, str):
            return label
        number = operator.index(label)
        return self.labels[number] if self.labels and 0 <= number < len(self.labels) else str(number)


def _check_settings(settings: Settings) -> None:
    """Raise InputError for settings that no model has."""
    names = tuple(Settings.__annotations__)
    if unknown := [name for name in settings if name not in names]:
        near = did_you_mean(unknown[0], names)
        raise InputError(f"unknown setting {unknown[0]!r}{near}; known: {', '.join(names)}")


@contextmanager
def _python_names() -> Iterator[None]:
    """Raise the errors of the block with the names of arguments instead of command-line options."""
    try:
        yield
    except InputError as error:
        raise InputError(OPTION.sub(_argument, str(error))) from None


def _argument(option: re.Match[str]) -> str:
    """Return a command-line option as an argument of Python."""
    return (option[1] or option[2]).replace("-", "_") + ("=" if option[3] else "")
