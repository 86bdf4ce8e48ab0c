"""What trainings need of Ray Train and Ray does not promise: an upgrade that takes it away fails here."""

from __future__ import annotations

from typing import Any

import pytest
from ray.train import ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from components.cluster.ray_cluster import _workers, connect
from components.training.ray_private import Trainer


def trainer(*, alone: bool = True, guarded: bool = False, **scaling: Any) -> Trainer:
    return Trainer(print, alone=alone, guarded=guarded, scaling_config=ScalingConfig(**scaling))


def count(trainer: Any, kind: type[Any]) -> int:
    return sum(isinstance(callback, kind) for callback in trainer._create_default_callbacks())


def guards(trainer: Any) -> int:
    return count(trainer, PlacementGroupCleanerCallback)


def test_only_a_guarded_training_has_the_process_that_asks_the_dashboard() -> None:
    assert guards(TorchTrainer(print)) == guards(trainer(guarded=True)) == 1
    assert guards(trainer()) == 0
    assert "_create_default_callbacks" in Trainer.fit.__code__.co_names


@pytest.mark.parametrize("guarded", [False, True])
def test_no_process_hands_out_data_sets_of_ray(guarded: bool) -> None:
    assert count(TorchTrainer(print), DatasetsCallback) == 1
    assert count(trainer(guarded=guarded), DatasetsCallback) == 0


def test_no_process_of_a_joined_cluster_is_ended(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    monkeypatch.delenv("RAY_ADDRESS")
    assert _workers() == []  # such as its agents, which a raylet does not outlive


@pytest.mark.parametrize("gpu", [False, True])
def test_several_workers_have_the_process_group_that_ray_would_give_them(gpu: bool) -> None:
    ours, rays = (
        trainer(alone=False, num_workers=2, use_gpu=gpu),
        TorchTrainer(print, scaling_config=ScalingConfig(num_workers=2, use_gpu=gpu)),
    )
    assert ours.backend_config == rays.backend_config
    assert isinstance(ours, TorchTrainer.__mro__[1])  # all else is Ray's own


def test_one_worker_has_none() -> None:
    assert not isinstance(trainer().backend_config, TorchConfig)
