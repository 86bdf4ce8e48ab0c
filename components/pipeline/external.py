"""Evaluate a folder of images made elsewhere; no stage, since it is not kept."""

from __future__ import annotations

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.data.external import ExternalImages
from components.evaluation.requests import EvaluationPaths
from components.pipeline.reference import IMAGES_PER_JOB
from components.records.evaluation import Metrics


def evaluate_external(places: EvaluationPaths, images: ExternalImages, split: str, seeds: str) -> Metrics:
    """The metrics of the images against a split; their features are extracted side by side."""
    jobs, cpus = "components.evaluation.external_jobs", places.threads
    looks = [(places, images, *r) for r in ranges(len(images.paths), IMAGES_PER_JOB)]
    ray_cluster.each(f"{jobs}:extract_external_features", looks, cpus=cpus)
    job = places, split, images.preparation, seeds
    metrics: Metrics = ray_cluster.call(f"{jobs}:evaluate_external", *job, cpus=cpus)
    return metrics
