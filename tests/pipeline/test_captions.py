"""When captions are encoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.config.experiment import Experiment
from components.data.card import DatasetCard
from components.data.text import package
from components.pipeline import captions, prepare, train
from components.pipeline.plan import Plan
from tests import captioned
from tests.stage_specs import specs

pytestmark = pytest.mark.usefixtures("captioned_family")


def test_the_plan_encodes_captions_only_for_families_that_are_told_them(tmp_path: Path) -> None:
    card = DatasetCard.read(captioned.prepared(tmp_path / "a"))

    def plan(families: list[str], card: DatasetCard) -> Plan:
        return Plan(Experiment(families={family: {} for family in families}), "0123.dir", card)

    both, alone = plan(["captioned", "dcgan"], card), plan(["dcgan"], card)
    assert [spec.stage for spec in specs(both)].count("captions") == 1
    assert not captions.applies(alone) and "captions" not in [spec.stage for spec in specs(alone)]
    assert captions.spec(both).upstream == {"prepare": prepare.spec(both).key}
    assert train.spec(both, "captioned").upstream["captions"] == captions.spec(both).key
    assert train.spec(both, "dcgan").key == train.spec(alone, "dcgan").key
    assert not captions.applies(plan(["captioned"], card.model_copy(update={"captions": False})))


def test_a_smoke_run_encodes_few_captions_and_no_other_run_takes_them(tmp_path: Path) -> None:
    card = DatasetCard.read(captioned.prepared(tmp_path / "a"))
    full, smoke = (
        captions.spec(Plan(Experiment(families={"captioned": {"train": {"smoke": on}}}), "0", card))
        for on in (False, True)
    )
    assert full.settings == package.identity().to_json()
    assert smoke.settings == full.settings | {"images": captions.SMOKE_IMAGES} and smoke.key != full.key


def test_another_encoder_makes_another_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(
        Experiment(families={"captioned": {}}), "0", DatasetCard.read(captioned.prepared(tmp_path / "a"))
    )
    before = captions.spec(plan), train.spec(plan, "captioned")
    monkeypatch.setattr(package, "SHA256", "0" * 64)
    assert before[0].key != captions.spec(plan).key
    assert before[1].key != train.spec(plan, "captioned").key
