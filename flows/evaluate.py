"""Evaluate a folder of images against a data set without a run; show and retrain the pinned extractor."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.cluster import ray_cluster, resources
from components.common import validation
from components.common.errors import InputError
from components.common.names import displayed, first_of
from components.common.paths import home
from components.common.ranking import first_to_last
from components.common.units import duration
from components.config import loading
from components.config.evaluate import Evaluate
from components.config.experiment import Data, Experiment
from components.data import local
from components.data.card import DatasetCard
from components.data.external import ExternalImages, read, scan_images
from components.evaluation import comparability
from components.evaluation.comparability import check_count, other_split
from components.evaluation.requests import EvaluationPaths
from components.extractors.kinds import TRAINED
from components.pipeline import extractor, prepare, reference
from components.pipeline.expected import Estimates
from components.pipeline.external import evaluate_external
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.evaluation import ExternalEvaluation, Metrics
from components.records.run import RunManifest
from components.registry import pins
from components.registry.runs import newest_first
from components.report.baselines import copies, crowded, in_words, unlike
from components.report.judging import recognises_few
from components.stages import cache
from components.stages.cache import Done
from components.store import Store

Say = Callable[[str], None]
NAMED = 10  # files, in a sentence


# What decides whether numbers compare with those of a run. A custom extractor is named anew: records do not
# hold private paths.
JUDGE = ("extractor", "extractor_steps", "classifier_steps", "reference_images")


def judge_of_runs(store: Store, name: str) -> Mapping[str, Any]:
    """Return how the newest full run on a data set judges: its settings of extractor and classifier."""
    for run in newest_first(store, RunManifest):
        judges = run.results or run.standing == "running"
        if judges and not run.smoke and run.lineage.data.name == name:
            judged = run.lineage.config.get("evaluate", {})
            custom = judged.get("extractor") == "custom"
            return {key: judged[key] for key in JUDGE if judged.get(key) is not None and not custom}
    return {}


def settings(store: Store, name: str, changes: Sequence[str]) -> Evaluate:
    """Return the section `evaluate` as the newest full run on a data set judged, with `key=value` changes.

    Raises:
        InputError: an unknown key, or a value that is not accepted.
    """
    content = judge_of_runs(store, name)
    for change in changes:
        content = loading.changed(content, change.removeprefix("evaluate."))
    try:
        return Evaluate(**content)
    except ValidationError as error:
        raise InputError(validation.explain(error, "evaluate", Evaluate)) from None


class EvaluationSession:
    """The stages that an evaluation without a run needs, for one data set in one store."""

    def __init__(self, store: Store, name: str, evaluate: Evaluate, revision: str | None, say: Say):
        self.store, self.say = store, say
        self.results: dict[str, Done] = {}
        self.snapshot, version = local.data_version(home(), name, revision)
        data = Data(name=name, revision=revision)
        device = resources.device()  # the same as for runs, so that their stages are reused
        experiment = Experiment.model_construct(device=device, data=data, families={}, evaluate=evaluate)
        self.plan = Plan.of(experiment, version, DatasetCard.read(self.snapshot), store)

    def do(self, stage: Stage, plan: Plan) -> Done:
        """Return a stage's result, from the store or computed now."""
        spec = stage.spec(plan)
        if not cache.claimed(self.store, spec):
            seconds = Estimates(plan, self.store).seconds(spec)
            expected = f"about {duration(seconds)}, " if seconds else ""
            self.say(
                f"{spec.title} ... ({expected}once for this data; later runs and evaluations use it again)"
            )

        def on_wait(title: str) -> None:
            self.say(f"{title}: waiting for another run that computes it")

        self.results[spec.name] = stage.result(self.store, plan, spec, self.results, "none", on_wait)
        return self.results[spec.name]

    def prepare(self) -> None:
        """Do the stages up to the reference, and pin the extractor if none is pinned."""
        self.do(prepare.STAGE, self.plan)
        done = self.do(extractor.STAGE, self.plan)
        self.plan = extractor.with_pinned_extractor(self.store, self.plan, done)
        self.do(extractor.STAGE, self.plan)  # in case another run has pinned one meanwhile
        self.do(reference.STAGE, self.plan)

    def retrain_extractor(self) -> bool:
        """Train and pin the extractor with current data and code; return False if it is pinned already."""
        pin = self.plan.pin
        self.do(prepare.STAGE, self.plan)
        done = self.do(extractor.STAGE, replace(self.plan, pin=None))
        if pin is not None and pin.key == done.key:
            return False
        self.plan = extractor.with_pinned_extractor(self.store, self.plan, done, replace_pin=pin is not None)
        return True

    def places(self, parts: str, threads: int) -> EvaluationPaths:
        """Return the folders of data, extractor and reference for evaluation jobs."""
        spec = reference.spec(self.plan)
        context = Context(self.store, self.plan, spec, self.store, 0, self.results, "none")
        return context.places(parts, threads)


def evaluate(
    source: str,
    name: str,
    store: Store,
    chosen: Evaluate,
    *,
    split: str = "test",
    revision: str | None = None,
    independent: bool = False,
    say: Say,
) -> ExternalEvaluation:
    """Evaluate the images in a folder (or below a URL) against a split of a data set.

    Args:
        source: folder or URL of the images.
        name: the data set; a known one is prepared first.
        store: holds extractor, reference and data.
        chosen: settings of the evaluation.
        split: the split to compare the images with.
        revision: version of the data; None: the pinned version.
        independent: whether the user asserts that the images are independent, unselected samples.
        say: callback for progress messages.

    Raises:
        InputError: the folder is empty, or there are too few images or too many that cannot be used.
    """
    session = EvaluationSession(store, name, chosen, revision, say)
    if split not in session.plan.card.counts:
        raise InputError(f"--split {split}: data set {name} has {', '.join(session.plan.card.counts)}")
    with tempfile.TemporaryDirectory() as folder, parts_in(store) as parts:
        images = scan_images(source, session.plan.card, Path(folder))
        if images.skipped:
            say(f"{images.notice}; {usable(len(images.paths), session.plan, split)}")
        if images.resized:
            pixels = session.plan.card.resolution
            say(f"{images.resized:,} images are not {pixels} pixels square: {images.preparation}")
        check(session.plan, images)
        try:
            session.prepare()
            seeds = comparability.INDEPENDENT if independent else comparability.AS_GIVEN
            metrics, memorised, accuracy = evaluate_external(
                session.places(parts, chosen.threads), images, split, seeds
            )
        finally:
            ray_cluster.disconnect()
    return ExternalEvaluation(
        source=Path(source).name,
        images=len(images.paths),
        data=name,
        version=session.plan.version,
        split=split,
        preparation=images.preparation,
        labelled=images.labels is not None,
        skipped_files=images.skipped,
        metrics={measure: metrics[measure] for measure in first_to_last(metrics)},
        memorised_files=memorised,
        summary=in_words(metrics),
        warnings=warnings(metrics, memorised, accuracy),
    )


def warnings(metrics: Metrics, memorised: Sequence[str], accuracy: float | None = None) -> list[str]:
    """Return what the metrics say against images and their judge, in sentences.

    Args:
        metrics: of the images.
        memorised: files that count as memorised, which a sentence names.
        accuracy: the share of real images whose class the judge recognises; None: it has no classes.
    """
    sentences = []
    if why := unlike(metrics):
        sentences.append(f"the images are not near real images: {why}")
    if copied := copies(metrics):
        names = first_of(list(map(displayed, memorised)), NAMED)
        sentences.append(f"{copied}: {names}" if names else copied)
    return [*sentences, *filter(None, [crowded(metrics), recognises_few(accuracy)])]


def usable(images: int, plan: Plan, split: str) -> str:
    """Return how many images can be used, and how many of them are compared if there are fewer real ones."""
    counts, other = plan.card.counts, other_split(split)
    limits = {f"as many as the {name} split has": counts[name] for name in (split, other) if name in counts}
    if most := plan.experiment.evaluate.reference_images:
        limits["evaluate.reference_images"] = most
    reason = min(limits, key=lambda name: limits[name])
    if images <= limits[reason]:
        return f"{images:,} can be used"
    return f"{images:,} can be used, {limits[reason]:,} are compared ({reason})"


def check(plan: Plan, images: ExternalImages) -> None:
    """Check the images and the extractor before any job starts.

    Raises:
        InputError: there are too few images, the first is coloured while the data is grey, or the extractor's
            weights are not the expected ones.
    """
    check_count(len(images.paths))
    extractor.check(plan)
    read(images, range(1), plan.card)


@contextmanager
def parts_in(store: Store) -> Iterator[str]:
    """Provide a temporary folder in the store for the parts of one evaluation."""
    parts = f"scratch/{secrets.token_hex(6)}"
    try:
        yield parts
    finally:
        store.delete(parts)


def extractor_status(store: Store, name: str) -> Sequence[Mapping[str, Any]]:
    """Return the extractors that are or were pinned for a data set."""
    rows = []
    for recipe in store.list(f"registry/{name}"):
        history = pins.pins(store, name, recipe)
        for pin in history:
            rows.append({"extractor": recipe, **pin.to_json(), "in_use": pin.number == len(history)})
    return rows


def retrain_extractor(store: Store, name: str, chosen: Evaluate, say: Say) -> Mapping[str, Any]:
    """Retrain and pin the extractor of a data set; later metrics do not compare with earlier ones."""
    session = EvaluationSession(store, name, chosen, None, say)
    if session.plan.extractor_kind not in TRAINED:
        raise InputError(
            f"only extractors that are trained on the data can be retrained ({', '.join(TRAINED)}); "
            f"{session.plan.extractor_kind} has fixed weights"
        )
    try:
        changed = session.retrain_extractor()
    finally:
        ray_cluster.disconnect()
    assert session.plan.pin is not None
    return {"changed": changed, **session.plan.pin.to_json()}
