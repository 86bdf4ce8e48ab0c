"""Settings of an experiment that contradict each other."""

from __future__ import annotations

import pytest

from components.config.experiment import Experiment


def test_held_out_needs_the_uses() -> None:
    with pytest.raises(ValueError, match="held_out_classes is part of the latent analysis"):
        Experiment(
            families={"autoencoder": {}}, evaluate={"latent_analysis": False, "held_out_classes": "all"}
        )


@pytest.mark.parametrize("address", ["ray://head:10001", "http://10.0.0.1:8265", "https://ray.example.org"])
def test_addresses_of_clusters(address: str) -> None:
    assert Experiment(families={"vae": {}}, cluster=f"{address}/").cluster == address


@pytest.mark.parametrize(
    "address",
    [
        "head:6379",
        "ftp://head",
        "http://",
        "http://head:port",
        "http://me:secret@head:8265",
        "http://head/jobs",
    ]
    + ["https://head:8265?token=x"],
)
def test_what_is_no_address_of_a_cluster(address: str) -> None:
    with pytest.raises(ValueError, match="expected ray://HOST:10001 .* or http://HOST:8265"):
        Experiment(families={"vae": {}}, cluster=address)


@pytest.mark.parametrize("folders", [{"tensorboard": "s3://bucket/runs"}, {"wandb": ""}, {"comet": "runs"}])
def test_metrics_are_exported_to_a_folder_by_a_tool_that_is_known(folders: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match=r"expected a folder of this machine|'tensorboard', 'mlflow' or 'wandb'"
    ):
        Experiment(families={"vae": {}}, export_metrics=folders)
