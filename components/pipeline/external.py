"""Evaluate a folder of external images. It is no stage, since its result is not stored."""

from __future__ import annotations

from components.cluster import ray_cluster
from components.common.chunks import ranges
from components.data.external import ExternalImages
from components.evaluation.requests import EvaluationPaths
from components.pipeline.reference import IMAGES_PER_JOB
from components.records.evaluation import Metrics


def evaluate_external(
    places: EvaluationPaths, images: ExternalImages, split: str, seeds: str
) -> tuple[Metrics, list[str], float | None]:
    """Return the metrics of the images against a split, the files that count as memorised, and accuracy.

    Features are extracted in parallel. The accuracy is that of the extractor on real images, None without
    classes.
    """
    jobs, cpus = "components.evaluation.external_jobs", places.threads
    arguments = [
        (places, images.part(start, n), start) for start, n in ranges(len(images.paths), IMAGES_PER_JOB)
    ]
    ray_cluster.each(f"{jobs}:extract_external_features", arguments, cpus=cpus)
    settings = places, split, images.preparation, seeds
    metrics, memorised, accuracy = ray_cluster.call(f"{jobs}:evaluate_external", *settings, cpus=cpus)
    return metrics, [images.paths[number] for number in memorised], accuracy
