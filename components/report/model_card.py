"""The card that goes with an exported model."""

from __future__ import annotations

import re

from components.data.card import DatasetCard
from components.families.tasks import DEFAULT, TASKS
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult
from components.report import baselines, formatting, judging, leaderboard
from components.report.checkpoints import selected_by
from components.report.metric_labels import features, mark, measure, noted

# A backslash before these makes them text. All links and images have brackets.
MARKUP = re.compile(r"[\\\[\]]")


SHOWN = 20  # classes
INSTALL = (
    "To load and sample, install Atelier on Python 3.11 or newer: `pip install PATH`, which brings PyTorch "
    "and a few small packages, but neither Ray, Prefect nor DVC. PATH is the folder of its source code, or "
    "the wheel that `make wheel` builds there; whoever sends this model sends the wheel along."
)


def model_card(
    data: DatasetCard, result: FamilyResult, *, smoke: bool = False, extractor_steps: int | None = None
) -> str:
    """Return a model card in Markdown.

    Args:
        data: the card of the data set.
        result: what is known of the family.
        smoke: whether the training only checked that everything works.
        extractor_steps: of the training of the extractor that judged; None: as many as usual.
    """
    lines = [
        f"# {result.family} on {plain(data.heading)}",
        "",
        f"{plain(result.paper)}.",
        "",
        f"Trained by Atelier in {result.train.steps:,} steps and {result.train_seconds or 0:.0f} seconds, in "
        f"which it was shown {result.images_seen or 0:,} images; {result.parameters or 0:,} parameters; "
        f"EMA weights{_kept(result)}.",
        "",
        *(
            ["**Smoke run: a few steps to check that everything works. Its numbers mean nothing.**", ""]
            * smoke
        ),
        *_initial(result),
        "![samples](samples.png)",
        "",
        "## Data",
        "",
        f"{plain(data.heading)}: {data.counts['train']:,} training images of "
        f"{data.resolution} x {data.resolution} pixels, {data.channels} channel(s){_sources(data, result)}.",
        "",
        f"- Source: {plain(data.source)}",
        f"- Licence: {plain(data.licence)}",
        f"- Credit: {plain(data.credit)}",
        "",
        "## Measured",
        "",
        "| metric | better | value | interval | real images | samples | extractor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(name, result.metrics[name]) for name in leaderboard.metric_names([result.metrics])),
        "",
        *_notes(result),
        *_baselines(result),
        *_unlike(result),
        *_judge(data, result, extractor_steps),
        "The column *real images* has the value of real training images against the same test images, which",
        "precision, density and coverage may exceed, or that of a perfect output. Numbers with different",
        "extractors, counts or data do not compare; none is the literature's FID unless it is called FID.",
        "",
        *_use(data, result),
    ]
    return "\n".join(lines)


def _use(data: DatasetCard, result: FamilyResult) -> list[str]:
    """Return how to draw with the model."""
    return [
        "## Use",
        "",
        f"{INSTALL} In the folder of this file, which needs `model.safetensors` and `config.json`:",
        "",
        "    import atelier",
        '    model = atelier.load(".")',
        f'    atelier.sheet(model.sample({_arguments(result)})).save("drawn.png")',
        "",
        *_classes(data, result),
        "On the command line, which needs the whole of Atelier, `pip install 'PATH[run]'`:",
        "",
        f"    atelier sample FOLDER {_options(result)} -o drawn.png",
        "    atelier verify FOLDER",
        "",
        "FOLDER is the folder or the URL of this file; only `model.safetensors` and `config.json` are read. "
        "`verify` compares a published folder with its `provenance.json` and draws the samples again.",
        "",
    ]


def _classes(data: DatasetCard, result: FamilyResult) -> list[str]:
    """Return how to draw one class, if the data has classes and samples are made from noise."""
    if not data.labels or _made_from(result) != "noise":
        return []
    names = ", ".join(map(plain, data.labels[:SHOWN])) + (", ..." if len(data.labels) > SHOWN else "")
    return [
        f"The data has the classes {names}. A model that was trained with them draws one by its name, "
        "`model.sample(16, label=NAME)` or `--label NAME`; `model.labels` is None for others.",
        "",
    ]


def _made_from(result: FamilyResult) -> str:
    """Return what samples are made from: noise, image or source."""
    return TASKS[result.task or DEFAULT].made_from


def _options(result: FamilyResult) -> str:
    """Return the options of a first sample."""
    return "-n 16 --seed 0" if _made_from(result) == "noise" else "--source IMAGE"


def _arguments(result: FamilyResult) -> str:
    """Return the arguments of a first sample in Python."""
    return "16, seed=0" if _made_from(result) == "noise" else 'source="image.png"'


def _sources(data: DatasetCard, result: FamilyResult) -> str:
    """Return the shape of the sources, if the family uses those of the data."""
    sources = data.sources
    if sources is None or _made_from(result) != "source":
        return ""
    return (
        f", from sources of {sources.resolution} x {sources.resolution} pixels, {sources.channels} channel(s)"
    )


def _kept(result: FamilyResult) -> str:
    """Return which checkpoint the weights are from, if two were kept."""
    if "best" not in result.checkpoints:
        return ""
    step = result.checkpoints[result.kept].step
    if result.kept == "last":
        return f" of the last checkpoint, step {step:,}"
    return f" of step {step:,}, selected by {selected_by(result.selected_by)}"


def _unlike(result: FamilyResult) -> list[str]:
    """Return why samples are not near real images, as lines; empty if they may be."""
    why = baselines.unlike_real(result)
    return [f"The samples are not near real images: {why}.", ""] if why else []


def _notes(result: FamilyResult) -> list[str]:
    """Return the notes on doubtful values, as lines; empty if there are none."""
    notes = noted([result.metrics])
    return [*(f"\\* {measure(name).label}: {plain(note)}.\n" for name, note in notes.items())]


def _judge(data: DatasetCard, result: FamilyResult, steps: int | None) -> list[str]:
    """Return what speaks against the images and their judge, as lines; empty if nothing does."""
    kind = next((m.extractor for m in result.metrics.values() if m.extractor), "")
    brief = judging.brief(kind, steps, data.counts["train"])
    doubts = [f"{why}." for of in (baselines.crowded, baselines.copies) if (why := of(result.metrics))]
    doubts.append(judging.recognises_few(result.judge_accuracy))
    return [line for sentence in [*doubts, brief] if sentence for line in (sentence, "")]


def _initial(result: FamilyResult) -> list[str]:
    """Return what the training took of the model that it began with, as lines; empty if there was none."""
    initial = result.train.initial
    return [f"It did not begin at random: {plain(initial.sentence)}.", ""] if initial else []


def _baselines(result: FamilyResult) -> list[str]:
    """Return where a result does not beat its baselines, as lines; empty without baselines."""
    if not result.baselines:
        return []
    names = formatting.listing([baselines.LABELS.get(b.name, b.name) for b in result.baselines])
    outcome = (
        baselines.shortcomings(result, list(result.metrics)) or "Beats them in every error and distance."
    )
    return [f"Compared with {names} on the same sources. {outcome}", ""]


def plain(text: str) -> str:
    """Return text of unknown origin without HTML, links, images and tables."""
    printable = "".join(c for c in text if c.isprintable()).replace("|", "/").replace("`", "'")
    return MARKUP.sub(r"\\\g<0>", printable.replace("<", "&lt;"))


def _row(name: str, metric: MetricResult) -> str:
    definition = measure(name, metric)
    cells = [
        definition.label,
        definition.better,
        f"{definition.show(metric.value)}{mark(metric)}",
        definition.show_interval(metric.low, metric.high),
        "" if metric.real_baseline is None else definition.show_limit(metric.real_baseline),
        "" if metric.n is None else f"{metric.n:,}",
        features(metric),
    ]
    return f"| {' | '.join(cells)} |"
