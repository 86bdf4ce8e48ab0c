"""The section of a model card on formats that need no Atelier, with an example that loads each of them."""

from __future__ import annotations

from collections.abc import Mapping

from components.publishing.formats import ONNX, TORCH, outcome_of
from components.publishing.graphs import DECODER, MODEL
from components.records.formats import GraphFormats, GraphInput

HEAD = {
    ONNX: (
        "With `pip install onnxruntime pillow`:",
        "import onnxruntime",
        (
            "def opened(file):",
            "    session = onnxruntime.InferenceSession(file)",
            "    return lambda **inputs: session.run(None, inputs)[0]",
        ),
    ),
    TORCH: (
        "With `pip install torch numpy pillow`; open it only if you trust its source, since it may run code:",
        "import torch",
        (
            "def opened(file):",
            "    program = torch.export.load(file).module()",
            "    def run(**inputs):",
            "        given = {name: torch.as_tensor(value) for name, value in inputs.items()}",
            "        return program(given).numpy(force=True)",
            "    return run",
        ),
    ),
}
COLOURS = {1: "L", 3: "RGB"}
MANY = 16  # samples of an example; of one that begins with a picture, one


def section(record: GraphFormats) -> str:
    """Return the section, in Markdown: what is published, what is not and why, and an example of each."""
    lines = ["## Without Atelier", ""]
    lines += [f"- {outcome_of(tried)}." for tried in record.formats]
    if record.published:
        lines += ["", *(meaning(record))]
    for tried in record.published:
        lines += ["", HEAD[tried.format][0], ""]
        lines += [f"    {line}".rstrip() for line in example(record, tried.format, tried.files)]
    return "\n".join(lines) + "\n"


def meaning(record: GraphFormats) -> list[str]:
    """Return what the graphs compute, as lines."""
    described = "; ".join(
        f"`{name}` ({shape_of(each)}{f', {each.drawn}' if each.drawn else ''})"
        for name, each in record.inputs[MODEL].items()
    )
    if not record.levels:
        return [f"The graph draws images in [-1, 1] of {described}; axis 0 is the batch."]
    return [
        f"The graph is one call of the network: x_0 of {described}; `x` is noise with the standard deviation",
        "sigma on images times alpha. The levels of sampling are in `formats.json`.",
    ]


def shape_of(each: GraphInput) -> str:
    """Return the type and the shape of an input, without its batch."""
    return f"{each.dtype} {' x '.join(str(size or 'any') for size in each.shape)}".rstrip()


def example(record: GraphFormats, name: str, files: Mapping[str, str]) -> list[str]:
    """Return the lines of a program that loads a format, draws samples and writes a picture of them."""
    inputs = record.inputs[MODEL]
    pictures = [key for key in ("image", "source") if key in inputs]
    n = 1 if pictures else MANY
    head = ["import json"] * bool(record.levels) + ["", "import numpy as np", HEAD[name][1]]
    lines = [*head, "from PIL import Image", "", *HEAD[name][2], ""]
    lines += [f'{graph} = opened("{file}")' for graph, file in files.items()]
    lines.append("random = np.random.default_rng(0)")
    for key in pictures:
        lines += picture(key, inputs[key].shape)
    lines += ["inputs = {", *(f'    "{key}": {value},' for key, value in values(record, n)), "}"]
    lines += sampled(inputs["x"], n, DECODER in files) if record.levels else ["images = model(**inputs)"]
    return [
        *(lines if record.levels else lines[1:]),
        "pixels = ((images + 1) * 127.5).round().clip(0, 255).astype(np.uint8)  # (N, C, H, W)",
        'Image.fromarray(np.hstack(pixels.transpose(0, 2, 3, 1)).squeeze()).save("drawn.png")',
    ]


def values(record: GraphFormats, n: int) -> list[tuple[str, str]]:
    """Return the inputs of a call besides x and its level, by name, as expressions."""
    expressions = list[tuple[str, str]]()
    for name, input_ in record.inputs[MODEL].items():
        shape = ", ".join([str(n), *(str(size or 1) for size in input_.shape)])
        if input_.drawn == "normal":
            expressions.append((name, f"random.standard_normal(({shape}), np.float32)"))
        elif input_.drawn == "uniform":
            expressions.append((name, f"random.random(({shape}), np.float32)"))
        elif name == "label":
            expressions.append((name, f"np.arange({n}) % {record.num_classes}"))
        elif name in ("text", "text_mask"):  # no caption
            expressions.append((name, f"np.zeros(({shape}), np.{input_.dtype.replace('bool', 'bool_')})"))
        elif name in ("image", "source"):
            expressions.append((name, name))
    return expressions


def picture(name: str, shape: list[int | None]) -> list[str]:
    """Return lines that read an image; one of other channels has a hole, and the mask of the hole as last."""
    channels, height, width = (size or 1 for size in shape)
    hole = channels not in COLOURS
    channels -= hole
    lines = [
        f'picture = Image.open("image.png").convert("{COLOURS[channels]}").resize(({width}, {height}))',
        f"{name} = np.asarray(picture, np.float32).reshape(1, {height}, {width}, {channels})",
        f"{name} = {name}.transpose(0, 3, 1, 2) / 127.5 - 1",
    ]
    if hole:
        lines += [
            f"mask = np.zeros((1, 1, {height}, {width}), np.float32)  # 1 where the image is to be filled in",
            f"mask[..., {height // 4} : {height - height // 4}, {width // 4} : {width - width // 4}] = 1",
            f"{name} = np.concatenate([{name} * (1 - mask), mask], 1)",
        ]
    return lines


def sampled(x: GraphInput, n: int, latents: bool) -> list[str]:
    """Return lines that sample step by step: DDIM, which needs no more than x_0 of each level."""
    shape = ", ".join([str(n), *(str(size) for size in x.shape)])
    return [
        'levels = np.array(json.load(open("formats.json"))["levels"], np.float32)',
        f"x = levels[0, 2] * random.standard_normal(({shape}), np.float32)",
        "for (time, alpha, sigma), (_, next_alpha, next_sigma) in zip(levels, levels[1:]):",
        "    # DDIM, Song et al. 2021, Eq. 12",
        "    x_0 = model(x=x, time=np.array(time), alpha=np.array(alpha), sigma=np.array(sigma), **inputs)",
        "    x = next_alpha * x_0 + next_sigma * (x - alpha * x_0) / sigma",
        "images = decoder(x=x)" if latents else "images = x",
    ]
