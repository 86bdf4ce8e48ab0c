"""Results of stages: what the body of each leaves in result.json."""

from __future__ import annotations

from collections.abc import Mapping

from components.records.base import Record, StageResult
from components.records.captions import CaptionEncoder
from components.records.evaluation import Evaluation, RealImages, ReferenceInfo
from components.records.extractor import ExtractorIdentity
from components.records.gate import Judgement
from components.records.sweep import Confirmation, SweepResult
from components.records.training import TrainingResult


class PreparedData(Record):
    """The data set of a run."""

    name: str
    title: str
    counts: Mapping[str, int]  # images by split
    labels: list[str] | None = None


class PrepareResult(StageResult):
    """The result of the stage `prepare`."""

    data: PreparedData


class ExtractorResult(StageResult):
    """The result of the stage `extractor`."""

    extractor: ExtractorIdentity


class ReferenceResult(StageResult):
    """The result of the stage `reference`."""

    reference: ReferenceInfo
    real: RealImages


class CaptionsResult(StageResult):
    """The result of the stage `captions`."""

    captions: CaptionEncoder


class LatentsResult(StageResult):
    """The result of the stage `latents`: encoded images by split."""

    latents: Mapping[str, int]


class TrainResult(StageResult):
    """The result of the stage `train`."""

    trained: TrainingResult


class EvaluateResult(StageResult):
    """The result of the stage `evaluate`."""

    evaluated: Evaluation


class SearchResult(StageResult):
    """The result of the stage `sweep`; progress.json of one that runs."""

    swept: SweepResult


class ConfirmationResult(StageResult):
    """The result of the stage `confirmation`."""

    confirmation: Confirmation


class ExportResult(StageResult):
    """The result of the stage `export`."""

    exported: str  # the family


class GateResult(StageResult):
    """The result of the stage `gate`: a judgement of each family's result, best first."""

    judgements: list[Judgement] = []


class ReportResult(StageResult):
    """The result of the stage `report`."""

    page: str  # in the store


class PublishResult(StageResult):
    """The result of the stage `publish`."""

    published: str  # the run
    files_published: int
    formats: list[str] = []  # a sentence on each model and format
