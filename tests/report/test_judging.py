"""What a reader is told of the network that judges."""

from __future__ import annotations

from components.extractors.kinds import default_steps
from components.records.evaluation import Evaluation, MetricResult
from components.records.run import DataLineage, Lineage, RunManifest
from components.report.judging import judged_briefly, recognises_few


def told(steps: int | None, extractor: str = "classifier") -> str:
    data = DataLineage(name="shelf", counts={"train": 321})
    lineage = Lineage(data=data, config={"evaluate": {"extractor_steps": steps}})
    judged = Evaluation(metrics={"kid": MetricResult(value=0.1, extractor=extractor)})
    return judged_briefly(RunManifest(run_id="r", lineage=lineage), [Evaluation(), judged])


def test_fewer_steps_than_usual_are_told() -> None:
    usual = default_steps(321)
    sentence = told(usual - 1)
    assert f"in {usual - 1:,} steps, fewer than the usual {usual:,}" in sentence
    assert told(usual) == told(None) == told(usual - 1, "inception") == ""
    assert judged_briefly(RunManifest(run_id="r"), []) == ""


def test_a_judge_that_recognises_few_real_images_is_doubted() -> None:
    def sentence(accuracy: float) -> str:
        return judged_briefly(RunManifest(run_id="r"), [Evaluation(), Evaluation(judge_accuracy=accuracy)])

    assert recognises_few(None) == recognises_few(0.9) == "" and "of only 41% of" in recognises_few(0.41)
    assert sentence(0.985) == "" and "recognises the class of only 58% of real images" in sentence(0.582)
