"""TensorBoard's own reader reads what is exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.sinks import to_tensorboard
from components.sinks.history import History
from components.store import Store

pytest.importorskip("tensorboard", reason="the extra `tensorboard`")


def test_a_run_is_read_back_and_exporting_it_again_adds_nothing(
    store: Store, treated: History, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        folder = to_tensorboard.write(store, treated, tmp_path)
    read = EventAccumulator(str(folder), {"images": 0, "scalars": 0, "tensors": 0}).Reload()
    points = read.Scalars("health/diversity")
    assert [point.step for point in points] == list(range(25, 1001, 25))
    assert [round(point.value, 4) for point in points] == [
        round(r["health/diversity"], 4) for r in treated.rows
    ]
    assert points[0].wall_time == treated.time(25)
    (measure,) = read.Scalars("measures/kid")
    assert (measure.step, round(measure.value, 6)) == (treated.step, round(treated.measures["kid"], 6))
    pictures = read.Images("samples")
    assert [p.step for p in pictures] == [s.step for s in treated.sheets if s.title == "samples"]
    assert (pictures[0].width, pictures[0].encoded_image_string[1:4]) == (224, b"PNG")
    (about,) = read.Tensors("run/text_summary")
    assert treated.origins["commit"] in about.tensor_proto.string_val[0].decode()
    assert "fewer discriminator steps" not in str(read.Tensors("diagnoses/text_summary"))
    assert [event.step for event in read.Tensors("diagnoses/text_summary")] == [700, 850]
    assert "_hparams_/session_start_info" in read.summary_metadata
