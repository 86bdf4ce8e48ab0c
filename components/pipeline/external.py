"""Evaluate a folder of images made elsewhere; no stage, since it is not kept."""

from __future__ import annotations

from typing import Any

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.data.external import Outside
from components.evaluation.requests import Places
from components.pipeline.reference import IMAGES_PER_JOB


def evaluate_external(places: Places, images: Outside, split: str, seeds: str) -> dict[str, Any]:
    """The metrics of the images against a split; their features are extracted side by side."""
    jobs, cpus = "components.evaluation.external_jobs", places.threads
    looks = [(places, images, *r) for r in ranges(len(images.paths), IMAGES_PER_JOB)]
    ray_cluster.each(f"{jobs}:look_outside", looks, cpus=cpus)
    return ray_cluster.call(f"{jobs}:judge_outside", places, split, images.preparation, seeds, cpus=cpus)
