"""The YAML front matter of a model card, as the Hugging Face Hub reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from components.common.ranking import first_to_last
from components.data.card import DatasetCard
from components.families.catalogue import conditions
from components.families.tasks import DEFAULT, TASKS
from components.records.evaluation import MetricResult
from components.records.model import ModelConfig
from components.records.run import FamilyResult
from components.report.metric_labels import measure
from models.data_spec import DataSpec

# Of https://huggingface.co/docs/hub/repositories-licenses: those that data sets of images come with.
LICENCES = (
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "unlicense"),
    *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odbl", "odc-by", "pddl"),
)
NOT_STATED = ("", "not stated", "see the data set's own page")


def front_matter(
    data: DatasetCard,
    version: str,
    result: FamilyResult,
    model: ModelConfig,
    pictures: Mapping[str, str | None],
) -> str:
    """Return the front matter with the lines around it.

    Args:
        data: the card of the data set.
        version: of the data.
        result: the family's metrics.
        model: its config.json.
        pictures: files of single samples -> their captions.
    """
    kinds = conditions(model.family, model.config, DataSpec.from_json(model.card))
    tag = pipeline_tag(result, kinds)
    content: dict[str, object] = {
        **licence(data.licence),
        "library_name": "atelier",
        "pipeline_tag": tag,
        "tags": [result.family, result.task or DEFAULT, *(["class-conditional"] if "label" in kinds else [])],
        "datasets": [data.name],
        "metrics": first_to_last(result.metrics),
        "widget": [widget(name, text) for name, text in pictures.items()],
        "model-index": [
            {
                "name": f"{result.family} on {data.name}",
                "results": [
                    {
                        "task": {"type": tag, "name": TASKS[result.task or DEFAULT].title},
                        "dataset": {"type": data.name, "name": printable(data.heading), "revision": version}
                        | split(result),
                        "metrics": [
                            entry(name, result.metrics[name], result)
                            for name in first_to_last(result.metrics)
                        ],
                    }
                ],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)}---\n\n"


def pipeline_tag(result: FamilyResult, kinds: frozenset[str]) -> str:
    """Return the Hub's name for what a model does."""
    if TASKS[result.task or DEFAULT].made_from != "noise":
        return "image-to-image"
    return "text-to-image" if "text" in kinds else "unconditional-image-generation"


def licence(text: str) -> dict[str, str]:
    """Return the entries of a licence: the Hub's identifier, or `other` with a name."""
    if text in NOT_STATED:
        return {"license": "unknown"}
    identifier = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    if identifier in LICENCES:
        return {"license": identifier}
    return {"license": "other", "license_name": identifier or "other"}


def printable(text: str) -> str:
    """Return text of unknown origin on one line."""
    return "".join(c for c in text if c.isprintable())


def widget(picture: str, text: str | None) -> dict[str, object]:
    """Return an entry of the gallery that the Hub shows."""
    return {"text": text or "-", "output": {"url": picture}}


def split(result: FamilyResult) -> dict[str, str]:
    """Return the split of the real images; empty if the metrics do not share one."""
    splits = {metric.split for metric in result.metrics.values()}
    return {"split": name} if len(splits) == 1 and (name := splits.pop()) else {}


def entry(name: str, metric: MetricResult, result: FamilyResult) -> dict[str, object]:
    """Return a metric of the model index; `args` holds its interval, its baselines and its recipe."""
    args: dict[str, object] = {
        "better": metric.better,
        "interval": None if metric.low is None else [metric.low, metric.high],
        "real_images": metric.real_baseline,
        "baselines": {
            baseline.name: baseline.metrics[name].value
            for baseline in result.baselines
            if name in baseline.metrics
        },
        "samples": metric.n,
        "extractor": metric.extractor,
        "comparability": metric.comparability,
        "recipe": dict(metric.recipe),
        "note": metric.note,
    }
    filled = {key: value for key, value in args.items() if value not in (None, {})}
    return {"type": name, "name": measure(name, metric).label, "value": metric.value, "args": filled}
