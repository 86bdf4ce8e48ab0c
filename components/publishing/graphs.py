"""The networks of a generator as graphs that other programs can run, and samples drawn through such graphs.

A generator that samples in one pass is one graph, `model`: from noise and conditions to images in [-1, 1]. Of
one that samples step by step, `model` is one call of its network with its guidance, (x, time, alpha, sigma,
condition) -> x_0; one that works in latents has a second graph, `decoder`, from x_0 to images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from components.records.formats import GraphInput
from components.sampling import generate
from models.data_spec import DataSpec
from models.family import Batch, Generator, Noise
from models.parts.conditions import Condition
from models.parts.processes import Level

MODEL, DECODER = "model", "decoder"
CONDITIONS = ("label", "text", "text_mask", "image", "source")  # of a batch or of the network's condition
EXAMPLES = 2  # images that a graph is traced with; it takes any number

Run = Callable[[Mapping[str, Tensor]], Tensor]
"""A graph somewhere: inputs by name -> its output."""


@dataclass(frozen=True)
class Graph:
    """A network to trace: a module, and examples of its inputs by name."""

    module: nn.Module
    examples: Mapping[str, Tensor]
    inputs: Mapping[str, GraphInput]


class Pass(nn.Module):
    """Images (N, C, H, W) in [-1, 1] of conditions and the random numbers that sampling draws, in order."""

    def __init__(self, generator: Generator, inputs: Mapping[str, GraphInput]):
        super().__init__()
        self.generator, self.inputs = generator, inputs

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Sample."""
        conditions: dict[str, Any] = {name: inputs[name] for name in CONDITIONS if name in inputs}
        draws = [inputs[name] for name, of in self.inputs.items() if of.drawn]
        n = next(iter(inputs.values())).shape[0]
        return self.generator.sample(Batch(n, **conditions), Replayed(draws))


class Step(nn.Module):
    """x_0 (N, C, H, W) by one call of the network of a generator that samples step by step."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Denoise x (N, C, H, W) at a level of scalars time, alpha and sigma."""
        conditions = {name: inputs[name] for name in CONDITIONS if name in inputs}
        denoise = self.generator.denoiser(Condition(**conditions))  # type: ignore[operator]
        images: Tensor = denoise(inputs["x"], Level(inputs["time"], inputs["alpha"], inputs["sigma"]))
        return images


class Decoder(nn.Module):
    """Images (N, C, H, W) in [-1, 1] of latents x (N, c, h, w)."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Decode."""
        images: Tensor = self.generator.decoded(inputs["x"])  # type: ignore[operator]
        return images


class Replayed(Noise):
    """Random numbers that were drawn before."""

    def __init__(self, draws: list[Tensor]):
        self.device, self.draws = torch.device("cpu"), iter(draws)

    def __call__(self, *shape: int) -> Tensor:
        """Return the next of them."""
        return next(self.draws)

    uniform = __call__


class Recorded(Noise):
    """Random numbers that are kept as they are drawn, with their distribution."""

    def __init__(self, noise: Noise):
        self.noise, self.device, self.generators = noise, noise.device, noise.generators
        self.drawn: list[tuple[str, Tensor]] = []

    def __call__(self, *shape: int) -> Tensor:
        """Draw standard normal noise."""
        return self._keep("normal", self.noise(*shape))

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniform noise."""
        return self._keep("uniform", self.noise.uniform(*shape))

    def _keep(self, distribution: str, values: Tensor) -> Tensor:
        self.drawn.append((distribution, values))
        return values


def steps(generator: Generator) -> bool:
    """Return whether a generator samples step by step."""
    return hasattr(generator, "denoiser")


def graphs(generator: Generator, card: DataSpec, fixed: Mapping[str, Any]) -> dict[str, Graph]:
    """Return the graphs of a generator by name, with examples of their inputs.

    Args:
        generator: in eval mode, on the CPU.
        card: the shape of its samples.
        fixed: conditions of some samples, as arguments of `generate`.
    """
    if fix := getattr(generator, "fix", None):
        fix()
    return _of_steps(generator, card, fixed) if steps(generator) else _of_pass(generator, card, fixed)


def _of_pass(generator: Generator, card: DataSpec, fixed: Mapping[str, Any]) -> dict[str, Graph]:
    examples, inputs = dict[str, Tensor](), dict[str, GraphInput]()

    class Recorder(Generator):
        def sample(self, batch: Batch, noise: Noise) -> Tensor:
            batch, recorded = with_source(generator, batch), Recorded(noise)
            images = generator.sample(batch, recorded)
            conditions = {
                name: getattr(batch, name) for name in CONDITIONS if getattr(batch, name) is not None
            }
            for i, (distribution, values) in enumerate(recorded.drawn):
                name = "noise" if len(recorded.drawn) == 1 else f"noise_{i}"
                examples[name] = values
                inputs[name] = described(name, values, distribution)
            examples.update(conditions)
            inputs.update({name: described(name, value) for name, value in conditions.items()})
            return images

    example(Recorder(), card, fixed)
    return {MODEL: Graph(Pass(generator, inputs), examples, inputs)}


def _of_steps(generator: Generator, card: DataSpec, fixed: Mapping[str, Any]) -> dict[str, Graph]:
    calls, latents = list[dict[str, Tensor]](), list[Tensor]()

    def denoiser(condition: Condition) -> Callable[[Tensor, Level], Tensor]:
        denoise = generator.denoiser(condition)  # type: ignore[operator]

        def called(x: Tensor, level: Level) -> Tensor:
            calls.append(step_inputs(x, level, condition))
            x_0: Tensor = denoise(x, level)
            return x_0

        return called

    def decoded(x: Tensor) -> Tensor:
        latents.append(x)
        images: Tensor = generator.decoded(x)  # type: ignore[operator]
        return images

    example(changed(generator, denoiser=denoiser, decoded=decoded), card, fixed)
    parts: dict[str, tuple[nn.Module, dict[str, Tensor]]] = {MODEL: (Step(generator), calls[0])}
    if latents[0].shape[1:] != card.shape:
        parts[DECODER] = Decoder(generator), {"x": latents[0]}
    return {
        name: Graph(module, inputs, {key: described(key, value) for key, value in inputs.items()})
        for name, (module, inputs) in parts.items()
    }


def example(generator: Generator, card: DataSpec, fixed: Mapping[str, Any]) -> None:
    """Draw a few samples, whose inputs are recorded."""
    for _ in generate.generate(generator, card, n=1, seed=0, batch=EXAMPLES, **fixed):
        pass


def with_source(generator: Generator, batch: Batch) -> Batch:
    """Return a batch with sources instead of images, of a generator that makes its sources from these."""
    source_of = getattr(generator, "source", None)
    if source_of is None or batch.image is None:
        return batch
    return replace(batch, source=source_of(batch), image=None)


def step_inputs(x: Tensor, level: Level, condition: Condition) -> dict[str, Tensor]:
    """Return the inputs of `Step` for one call of a denoiser."""
    scalars = {"time": level.time, "alpha": level.alpha, "sigma": level.sigma}
    conditions = {name: getattr(condition, name, None) for name in CONDITIONS}
    numbers = {name: value.float() for name, value in scalars.items()}
    return {"x": x, **numbers, **{name: value for name, value in conditions.items() if value is not None}}


def described(name: str, value: Tensor, drawn: str | None = None) -> GraphInput:
    """Return the description of an input, of which captions have any number of tokens."""
    sizes: list[int | None] = list(value.shape[1:])
    if name in ("text", "text_mask"):
        sizes[0] = None
    return GraphInput(shape=sizes, dtype=str(value.dtype).removeprefix("torch."), drawn=drawn)


def changed(generator: Generator, **methods: Callable[..., Any]) -> Generator:
    """Return a generator with the same networks and other methods."""
    other = copy.copy(generator)
    vars(other).update(methods)
    return other


def traced(graph: Graph) -> ExportedProgram:
    """Return the program of a graph, for any number of images; raises what torch.export raises."""
    batch, length = Dim("batch"), Dim("length")
    shapes = {
        name: {} if value.ndim == 0 else {0: batch, 1: length} if name.startswith("text") else {0: batch}
        for name, value in graph.examples.items()
    }
    with torch.no_grad():
        program = torch.export.export(
            graph.module.eval(), (dict(graph.examples),), dynamic_shapes={"inputs": shapes}
        )
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # holds paths of this machine
    return program


def through(
    generator: Generator, runs: Mapping[str, Run], inputs: Mapping[str, Mapping[str, GraphInput]]
) -> Generator:
    """Return a generator that samples through graphs.

    Args:
        generator: takes the steps, if sampling has any.
        runs: the graphs by name.
        inputs: of each.
    """
    if not steps(generator):
        return GraphGenerator(generator, runs[MODEL], inputs[MODEL])
    methods: dict[str, Callable[..., Any]] = {
        "denoiser": lambda condition: lambda x, level: runs[MODEL](step_inputs(x, level, condition))
    }
    if DECODER in runs:
        methods["decoded"] = lambda x: runs[DECODER]({"x": x})
    return changed(generator, **methods)


class GraphGenerator(Generator):
    """A generator whose one pass is a graph."""

    def __init__(self, generator: Generator, run: Run, inputs: Mapping[str, GraphInput]):
        super().__init__()
        self.generator, self.run, self.inputs = generator, run, inputs

    def sample(self, batch: Batch, noise: Noise) -> Tensor:
        """Draw the noise in order, and run the graph."""
        return self.run(dict(self._given(with_source(self.generator, batch), noise)))

    def _given(self, batch: Batch, noise: Noise) -> Iterator[tuple[str, Tensor]]:
        for name, of in self.inputs.items():
            draw = noise.uniform if of.drawn == "uniform" else noise
            yield name, draw(*(size or 0 for size in of.shape)) if of.drawn else getattr(batch, name)
