"""The files that start clusters fit the schemas of those who read them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "schemas"
KUBERAY = {"cluster.yaml": "rayclusters", "job.yaml": "rayjobs"}


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "kuberay" / name).read_text())


def strict(schema: Any) -> Any:
    """The schema, but with no unknown fields: Kubernetes drops them silently, such as misspelt ones."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


@pytest.mark.parametrize("name", KUBERAY)
def test_manifests_fit_the_schemas_of_kuberay(name: str) -> None:
    schema = json.loads(gzip.decompress((SCHEMAS / f"{KUBERAY[name]}.json.gz").read_bytes()))
    validator = jsonschema.Draft202012Validator(strict(schema))
    assert [error.message for error in validator.iter_errors(manifest(name))] == []
    misspelt = manifest(name)
    misspelt["spec"]["rayVersionn"] = "2"
    assert not validator.is_valid(misspelt), "the schema is strict"


def ray_specs() -> Iterator[Any]:
    for name in KUBERAY:
        spec = manifest(name)["spec"]
        yield spec.get("rayClusterSpec", spec)


def test_clusters_of_kubernetes_run_the_locked_ray_with_a_token_and_no_work_on_the_head() -> None:
    for spec in ray_specs():
        assert spec["rayVersion"] == ray.__version__ and spec["authOptions"] == {"mode": "token"}
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        pods = [group["template"]["spec"] for group in groups]
        assert {pod["restartPolicy"] for pod in pods} == {"Never"}, "as autoscaler v2 needs"
        assert len({pod["containers"][0]["image"] for pod in pods}) == 1
        (worker,) = spec["workerGroupSpecs"]
        limits = worker["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "1" and worker["template"]["spec"]["tolerations"]


def test_the_cluster_of_virtual_machines_fits_rays_schema() -> None:
    config = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config | {"max_worker": 1}, schema)
    types = config["available_node_types"]
    assert "InstanceMarketOptions" not in types[config["head_node_type"]]["node_config"]
    assert types["gpu_spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert types["gpu_spot"]["max_workers"] <= config["max_workers"]


def test_ray_completes_the_cluster_of_virtual_machines() -> None:
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    config = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    validate_config(fillout_defaults(config))


def test_the_image_holds_what_the_checkout_has_and_installs_nothing_without_hashes() -> None:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text()).splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"models", "components", "flows", "atelier", "pyproject.toml"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    for command in re.findall(
        r"pip install[^&]*", "\n".join(line for line in lines if line.startswith("RUN"))
    ):
        assert "--require-hashes" in command or "--no-deps --no-build-isolation ." in command
    assert "USER ray" in lines, "not as root"
