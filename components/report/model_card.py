"""The card that goes with an exported model."""

from __future__ import annotations

import re

from components.data.card import DatasetCard
from components.records.evaluation import MetricResult
from components.records.run import FamilyResult
from components.report import baselines, formatting
from components.report.checkpoints import selected_by
from components.report.metric_labels import features, measure

# A backslash before these makes them text. All links and images have brackets.
MARKUP = re.compile(r"[\\\[\]]")


def model_card(data: DatasetCard, result: FamilyResult) -> str:
    """Return a model card in Markdown."""
    lines = [
        f"# {result.family} on {plain(data.title)}",
        "",
        f"{plain(result.paper)}.",
        "",
        f"Trained by Atelier on {result.images_seen or 0:,} images ({result.train.steps:,} steps, "
        f"{result.train_seconds or 0:.0f} seconds); {result.parameters or 0:,} parameters; EMA weights"
        f"{_kept(result)}.",
        "",
        "![samples](samples.webp)",
        "",
        "## Data",
        "",
        f"{plain(data.title)}: {data.counts['train']:,} training images of "
        f"{data.resolution} x {data.resolution} pixels, {data.channels} channel(s).",
        "",
        f"- Source: {plain(data.source)}",
        f"- Licence: {plain(data.licence)}",
        f"- Credit: {plain(data.credit)}",
        "",
        "## Measured",
        "",
        "| metric | better | value | interval | real images | samples | extractor |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(name, metric) for name, metric in result.metrics.items()),
        "",
        *_baselines(result),
        "The column *real images* has the best possible value: that of real training images against",
        "the same test images, or that of a perfect output. Numbers with different extractors, counts or",
        "data do not compare; none is the literature's FID unless it is called FID.",
        "",
        "## Use",
        "",
        "    atelier sample FOLDER -n 16 --seed 0 -o samples.png",
        "",
        "FOLDER must contain this file, `model.safetensors` and `config.json`; nothing else is needed.",
        "",
    ]
    return "\n".join(lines)


def _kept(result: FamilyResult) -> str:
    """Return which checkpoint the weights are from, if two were kept."""
    if "best" not in result.checkpoints:
        return ""
    step = result.checkpoints[result.kept].step
    if result.kept == "last":
        return f" of the last checkpoint, step {step:,}"
    return f" of step {step:,}, selected by {selected_by(result.selected_by)}"


def _baselines(result: FamilyResult) -> list[str]:
    """Return where a result does not beat its baselines, as lines; empty without baselines."""
    if not result.baselines:
        return []
    names = formatting.listing([baselines.LABELS.get(b.name, b.name) for b in result.baselines])
    behind = baselines.shortcomings(result, list(result.metrics))
    return [f"Compared with {names} on the same sources. {behind or 'Beats them in every measure.'}", ""]


def plain(text: str) -> str:
    """Return text of unknown origin without HTML, links, images and tables."""
    printable = "".join(c for c in text if c.isprintable()).replace("|", "/").replace("`", "'")
    return MARKUP.sub(r"\\\g<0>", printable.replace("<", "&lt;"))


def _row(name: str, metric: MetricResult) -> str:
    definition = measure(name, metric)
    cells = [
        definition.label,
        definition.better,
        definition.show(metric.value),
        definition.show_interval(metric.low, metric.high),
        "" if metric.real_baseline is None else definition.show_limit(metric.real_baseline),
        f"{metric.n:,}",
        features(metric),
    ]
    return f"| {' | '.join(cells)} |"
