"""PNG files of samples: how each was made, in text chunks, and the mark of generated media.

The same samples always have the same bytes: there is no time, user, machine or path in them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.common.errors import InputError
from components.common.hashing import digest
from components.records.model import ModelConfig
from components.sampling.request import SETTINGS, SampleOptions

MADE = "atelier"  # keyword of the text that says how a picture was made, as JSON
XMP = "XML:com.adobe.xmp"  # keyword of XMP in PNG
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""https://cv.iptc.org/newscodes/digitalsourcetype/: media created by a model trained on samples."""

PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{GENERATED}"/>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

Made = Mapping[str, Any]


def made_by(model: ModelConfig, weights: str, seed: int, direction: str | None = None) -> Made:
    """Return what all samples of a model and seed depend on: run, family, step, weights, seed, settings.

    Args:
        model: its config.json, with the settings of sampling as they were used.
        weights: the sha256 of its weights.
        seed: of the samples.
        direction: of a translation, if it was chosen.
    """
    of = {"run": model.origin.run_id, "step": model.origin.step} if model.origin else {}
    settings = {option: model.config.get(name) for option, name in SETTINGS.items()} | {
        "direction": direction
    }
    used = {option: value for option, value in settings.items() if value is not None}
    return {**of, "family": model.family, "weights": weights, "seed": seed, "settings": used}


def made_now(folder: Path, model: ModelConfig, seed: int, options: SampleOptions) -> Made:
    """Return `made_by` for samples of the model in a folder, and the hashes of the images they begin with."""
    weights = digest(folder / "model.safetensors", "sha256")
    files = {"source": options.source, "mask": options.mask}
    hashes = {name: digest(path, "sha256") for name, path in files.items() if path and path.is_file()}
    return {**made_by(model, weights, seed, options.direction), **hashes}


def of_image(
    made: Made,
    i: int,
    *,
    labels: Any = None,
    names: Sequence[str] | None = None,
    prompts: Sequence[str] = (),
    **condition: str,
) -> Made:
    """Return how sample `i` was made: its number and its condition.

    Args:
        made: of all samples.
        i: the number of the sample.
        labels: a class for all, or the class of each.
        names: of the classes.
        prompts: captions, used in turn.
        condition: further entries.
    """
    if labels is not None:
        number = int(labels if np.ndim(labels) == 0 else labels[i])
        condition["label"] = names[number] if names else str(number)
    if prompts:
        condition["prompt"] = prompts[i % len(prompts)]
    return {**made, "image": i, "condition": condition}


def of_sheet(images: Sequence[Made]) -> Made:
    """Return how the images of one picture were made: what they share, and the condition of each."""
    conditions = [made["condition"] for made in images]
    shared = conditions[0] if all(condition == conditions[0] for condition in conditions) else conditions
    return {**images[0], "image": f"0 to {len(images) - 1}", "condition": shared}


def text_of(made: Made) -> str:
    """Return how a picture was made as the text of its chunk."""
    return json.dumps(made, sort_keys=True, ensure_ascii=False)


def save(picture: Image.Image, to: Path | IO[bytes], made: Made | None) -> None:
    """Write a picture as PNG; with `made`, as a generated one."""
    info = PngInfo()
    if made is not None:
        info.add_text(MADE, text_of(made))
        info.add_itxt(XMP, PACKET)
    picture.save(to, "PNG", pnginfo=info)


def encoded(array: np.ndarray, made: Made) -> bytes:
    """Return a picture, uint8 (H, W, C), as the bytes of a PNG."""
    buffer = io.BytesIO()
    save(Image.fromarray(array[..., 0] if array.shape[2] == 1 else array), buffer, made)
    return buffer.getvalue()


def decoded(path: Path) -> np.ndarray:
    """Return the pixels of a PNG, uint8 (H, W, C); raise InputError if it cannot be read."""
    try:
        with Image.open(path) as image:
            array = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a picture ({error})") from None
    return array[..., None] if array.ndim == 2 else array
