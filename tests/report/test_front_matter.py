"""The front matter of a model card is what the Hugging Face Hub reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from components.data.card import DatasetCard
from components.records.evaluation import Baseline, MetricResult
from components.records.model import ModelConfig
from components.report.front_matter import front_matter, licence
from components.report.model_card import model_card
from models.data_spec import DataSpec
from tests.report import fixture
from tests.report.fixture import HOSTILE

PIPELINE_TAGS = {"unconditional-image-generation", "text-to-image", "image-to-image"}
KEYS = [
    *("license", "license_name", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "widget"),
    "model-index",
]


def described(family: str = "dcgan", task: str | None = None, text: int = 0, **about: Any) -> str:
    """A model card with its front matter."""
    lineage = fixture.lineage().data.model_dump(exclude={"version", "hash"})
    data = DatasetCard(**lineage | about, source="the web")
    result = fixture.result(family, 14.2)
    if task:
        result = result.model_copy(update={"task": task})
    config = {"condition": "text"} if text else {}
    card = DataSpec(1, 28, 10, text).to_json()
    model = ModelConfig(family=family, config=config, card=card)
    pictures = {"samples/00.png": "3", "samples/01.png": None}
    return front_matter(data, "abc.dir", result, model, pictures) + model_card(data, result)


def parsed(text: str) -> dict[str, Any]:
    start, block, rest = text.split("---\n", 2)
    assert start == "" and rest.startswith("\n# ")
    return yaml.safe_load(block)


def test_the_front_matter_has_the_hubs_fields() -> None:
    content = parsed(described())
    assert set(content) <= set(KEYS) and content["library_name"] == "atelier"
    assert content["license"] == "cc-by-sa-3.0" and content["datasets"] == ["mnist5k"]
    assert content["pipeline_tag"] == "unconditional-image-generation" and "dcgan" in content["tags"]
    assert content["widget"][0] == {"text": "3", "output": {"url": "samples/00.png"}}
    (model,) = content["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == content["pipeline_tag"] in PIPELINE_TAGS
    assert result["dataset"] == {
        "type": "mnist5k",
        "name": "Handwritten digits (5,000)",
        "revision": "abc.dir",
        "split": "test",
    }
    types = [metric["type"] for metric in result["metrics"]]
    assert types == content["metrics"] and len(set(types)) == len(types)
    for metric in result["metrics"]:
        assert metric["name"] and isinstance(metric["value"], float | int)
        assert json.dumps(metric, allow_nan=False)


def test_a_measure_has_its_baselines_and_its_recipe() -> None:
    result, name = fixture.result("dcgan", 14.2), "frechet_distance"
    metric = result.metrics[name]
    metric.recipe = {"metric": name, "n": 1000}
    other = MetricResult(value=99.0)
    result.baselines = [Baseline(name="identity", metrics={name: other}), Baseline(name="none")]
    from components.report.front_matter import entry

    args = entry(name, metric, result)["args"]
    assert args["recipe"] == {"metric": name, "n": 1000} and args["baselines"] == {"identity": 99.0}
    assert args["real_images"] == metric.real_baseline and args["interval"] == [metric.low, metric.high]
    assert args["samples"] == 1000 and args["extractor"]


@pytest.mark.parametrize(
    ("family", "task", "text", "tag"),
    [
        ("diffusion", None, 384, "text-to-image"),
        ("autoencoder", None, 0, "image-to-image"),
        ("pix2pix", "translate", 0, "image-to-image"),
    ],
)
def test_the_pipeline_tag_says_what_samples_are_made_from(
    family: str, task: str | None, text: int, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family == "pix2pix":
        monkeypatch.setitem(fixture.FAMILIES, family, fixture.FAMILIES["dcgan"])
    assert parsed(described(family, task, text))["pipeline_tag"] == tag


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("BSD-3-Clause", {"license": "bsd-3-clause"}),
        ("not stated", {"license": "unknown"}),
        ("art CC BY 4.0, names MIT", {"license": "other", "license_name": "art-cc-by-4.0-names-mit"}),
        ("???", {"license": "other", "license_name": "other"}),
    ],
)
def test_a_licence_is_the_hubs_identifier_or_has_a_name(text: str, entries: dict[str, str]) -> None:
    assert licence(text) == entries


def test_a_hostile_title_stays_a_value() -> None:
    title = f"{HOSTILE}\n---\nlicense: mit\n# x: [y](z)"
    content = parsed(described(title=title))
    assert content["license"] == "cc-by-sa-3.0"
    assert content["model-index"][0]["results"][0]["dataset"]["name"] == title.replace("\n", "")


def test_the_hubs_own_parser_reads_it() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="in the extra `peers`")
    card = hub.ModelCard(described())
    assert card.data.license == "cc-by-sa-3.0" and card.data.library_name == "atelier"
    results = card.data.eval_results
    assert {result.metric_type for result in results} >= {"frechet_distance", "kid"}
    assert all(result.metric_args and result.dataset_split == "test" for result in results)


def test_the_metric_that_ranks_is_the_first() -> None:
    result = fixture.result("dcgan", 14.2)
    result.metrics["frechet_distance"].note = "mostly bias"
    data = DatasetCard(**fixture.lineage().data.model_dump(exclude={"version", "hash"}), source="the web")
    model = ModelConfig(family="dcgan", config={}, card=DataSpec(1, 28, 10, 0).to_json())
    content = parsed(f"{front_matter(data, 'v', result, model, {})}# Title")
    (index,) = content["model-index"]
    assert content["metrics"][0] == index["results"][0]["metrics"][0]["type"] == "kid"
