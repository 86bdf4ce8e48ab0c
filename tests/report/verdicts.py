"""A run that the gate has judged, and the champions before it, with an override and a rollback."""

from components.config.gate import Gate
from components.evaluation.gate import Contender, judge
from components.pipeline.gate import exported
from components.records.gate import Champion, Judgement, ModelReference, Reproduction
from components.records.health import HealthEvent
from components.registry import champions
from components.report.results import read_run
from tests.report import fixture
from tests.report.fixture import HOSTILE, result

GATED = "20261127-101500-9a7e"
OF = ("mnist5k", "generate")


def judgement(run_id: str, family: str, best: float, before: Champion | None = None, **content) -> Judgement:
    """The judgement of a result with this distance, by the gate's own rules."""
    events, reproduction = (
        content.pop("events", ()),
        content.pop("export", Reproduction(images=60, difference=0.0)),
    )
    metrics, standing = result(family, best).metrics, None
    if before:
        name = f"champion {before.number} ({before.model.address})"
        standing = Contender(name, before.judgement.metrics)
    verdict, margin = judge(Contender(f"{run_id}/{family}", metrics), standing, Gate(), events=events)
    model = ModelReference(run_id=run_id, family=family, folder=f"store/export/{family}/attempts/1", files=[])
    return Judgement(
        data_set=OF[0], task=fixture.FAMILIES[family]["task"], data="d1", model=model,
        quality=verdict, margin=margin, export=exported(reproduction), metrics=metrics,
        champion=before.number if before else 0, against=before.model.address if before else None, **content,
    )  # fmt: skip


def entry(number: int, judged: Judgement, **content) -> Champion:
    decided = {"who": f"the gate of run {judged.model.run_id}", "when": f"2026-11-2{number}T10:22:00+00:00"}
    decided |= {"why": f"blessed: {judged.quality.reasons[0].text}"} | content
    return Champion(number=number, judgement=judged, **decided)


def history(store) -> Champion:
    """Write champions before the run: an override, and a rollback from it; return the current one."""
    first = entry(1, judgement("20261121-080000-aaaa", "dcgan", 16.4))
    forced = judgement("20261122-101500-1b5e", "vae", 31.7, first)
    second = entry(
        2, forced, who="ada", why=f"the demonstration needs its latent codes {HOSTILE}", override=True
    )
    why = "its digits are too blurred for the demonstration"
    third = entry(3, first.judgement, who="grace", why=why, action="rolled back", restores=1)
    for champion in (first, second, third):
        champions.append(store, champion)
    return third


def write_gated(store, *, review: bool = False) -> str:
    """A run of four families: one is promoted, or waits with `review`, and two are not blessed."""
    before = history(store)
    best = judgement(GATED, "diffusion", 9.61, before, reevaluated="different version of the data")
    if review:
        best.expires = "2999-12-11T10:22:00+00:00"
    else:
        best.number = 4
        champions.append(store, entry(4, best))
    now = before if review else champions.current(store, *OF)
    sick = HealthEvent(step=700, attempt=1, title="Mode collapse", action="observed")
    broken = Reproduction(error="the weights do not fit: up.weight is (8, 8), and config.json needs (16, 8)")
    judged = [
        best,
        judgement(GATED, "dcgan", 14.2, now, events=(sick,)),
        judgement(GATED, "vae", 31.7, now),
        judgement(GATED, "autoencoder", 2.4, export=broken),
    ]
    fixture.write_done(store)
    done = read_run(store, fixture.DONE)
    run = done.model_copy(
        update={"run_id": GATED, "gate": judged, "report": f"runs/{GATED}/report/index.html"}
    )
    fixture.write_run(store, run)
    return GATED
