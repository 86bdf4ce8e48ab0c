"""The health of adversarial training for the page: vitals, the literature's advice, diagnoses in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.records.names import EVENT
from components.report import formatting
from components.report.reading import VITAL, Course, Row, copy, curves, is_vital, read_json
from components.store import Store

VITALS = {
    "D(x)": "D(x)",
    "D(G(z))": "D(G(z))",
    "auc": "pairs ranked right",
    "loss_d": "loss of D",
    "loss_g": "loss of G",
    "grad_d": "gradient norm of D",
    "grad_g": "gradient norm of G",
    "weights_d": "weight norm of D",
    "weights_g": "weight norm of G",
    "diversity": "diversity",
    "movement": "movement",
}
ADVISED = {  # bands are given for columns of the rows
    "discriminator/D(x)": "D(x)",
    "discriminator/D(G(z))": "D(G(z))",
    "discriminator/auc": "auc",
    "discriminator/loss": "loss_d",
    "discriminator/grad_norm": "grad_d",
    "generator/score": "loss_g",
    "generator/grad_norm": "grad_g",
}
ACTIONS = {
    "observed": "observed; training went on unchanged",
    "stopped": "training was stopped",
    "treated": "treated",
}
POLICIES = {
    "observe": "diagnoses are recorded and nothing is changed",
    "stop": "a diagnosis stops the training",
    "treat": "a diagnosis sends training back to its last healthy checkpoint, with a remedy",
}
IN_FULL = 6  # events; the others are folded

Event = dict[str, Any]


def read_events(store: Store, attempt: str, own: Mapping[str, Any]) -> list[Event]:
    """The diagnoses of a training in the order they were made: from their files, and from its last note."""
    names = [name for name in store.list(f"{attempt}/health") if EVENT.fullmatch(name)]
    said = _object(own.get("health")).get("events")
    at_end = said if isinstance(said, list) else []
    found = [*at_end, *(read_json(store, f"{attempt}/health/{name}") for name in names)]
    by_moment = {(e["attempt"], e["step"]): e for e in found if _is_event(e)}
    return [by_moment[moment] for moment in sorted(by_moment)]


def _is_event(event: Any) -> bool:
    return isinstance(event, dict) and all(isinstance(event.get(key), int) for key in ("attempt", "step"))


def back_to(events: Sequence[Event]) -> dict[int, int]:
    """The steps that treatments went back to, by the attempt that follows."""
    treatments = [_object(event.get("treatment")) for event in events]
    pairs = [(t.get("next_attempt"), t.get("back_to")) for t in treatments]
    return {number: step for number, step in pairs if isinstance(number, int) and isinstance(step, int)}


def of_family(
    store: Store,
    attempt: str,
    course: Course,
    events: Sequence[Event],
    *,
    own: Mapping[str, Any],
    settings: Mapping[str, Any],
    report: str,
    stem: str,
) -> dict[str, Any] | None:
    """What the page shows of a family's health; None where nothing watches it.

    Args:
        store: where the training and the page are.
        attempt: the training's folder.
        course: its rows.
        events: its diagnoses.
        own: what it says of itself at its end.
        settings: the family's, as it began.
        report: the page's folder, where pictures are copied to.
        stem: beginning of their names.
    """
    looks = _looks(course.rows)
    given_up = {number: _looks(rows) for number, rows in course.given_up.items()}
    if not (looks or events or any(given_up.values())):
        return None
    how = _object(own.get("health")) or read_json(store, f"{attempt}/health/watch.json")
    checks = len(looks) + sum(map(len, given_up.values()))
    shown = in_words(events, settings)
    for event in shown:
        name = f"event-{event['attempt']}-{event['step']:07d}"
        event["id"] = f"{stem}-{name}"
        event["seconds"] = _seconds(course, event["attempt"], event["step"])
        copied = f"samples/{stem}-{name}.webp"
        wanted = event["picture"] and copy(store, f"{attempt}/health/{name}.webp", f"{report}/{copied}")
        event["picture"] = copied if wanted else None
    return {
        "policy": str(how.get("policy") or ""),
        "does": POLICIES.get(str(how.get("policy")), ""),
        "every": how.get("every"),
        "bands": bands(how.get("bands")),
        "checks": checks,
        "sentence": sentence(events, checks),
        "curves": _vitals(looks),
        "given_up": [{"attempt": n, **_vitals(rows)} for n, rows in given_up.items() if rows],
        "events": shown,
    }


def _looks(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if any(map(is_vital, row))]


def _vitals(rows: Sequence[Row]) -> dict[str, Any]:
    """The curves of vitals, by their own names."""
    found = curves(rows, wanted=is_vital)
    return found | {"series": {k.removeprefix(VITAL): values for k, values in found["series"].items()}}


def bands(advice: Any) -> dict[str, list[float]]:
    """What the literature advises, by vital."""
    pairs = [(ADVISED.get(key), band) for key, band in _object(advice).items()]
    return {vital: list(band) for vital, band in pairs if vital and _is_band(band)}


def _is_band(band: Any) -> bool:
    pair = isinstance(band, list | tuple) and len(band) == 2
    return pair and all(isinstance(end, int | float) for end in band)


def sentence(events: Sequence[Event], checks: int) -> str:
    """How a family was, in a line."""
    looked = f"{checks:,} check{'s' * (checks != 1)}"
    if not events:
        return f"No diagnosis in {looked}."
    each: dict[str, int] = {}
    for event in events:
        each[_title(event).lower()] = each.get(_title(event).lower(), 0) + 1
    what = formatting.listing([f"{disease} ({n} times)" if n > 1 else disease for disease, n in each.items()])
    count = f"{len(events)} diagnos{'e' if len(events) > 1 else 'i'}s in {looked}: {what}."
    return f"{count}{_treated(events)}{' Training was stopped.' * (events[-1].get('action') == 'stopped')}"


def _treated(events: Sequence[Event]) -> str:
    treated = sum(event.get("action") == "treated" for event in events)
    often = {1: "once", 2: "twice"}.get(treated, f"{treated} times")
    return f" Treated {often}." if treated else ""


def in_words(events: Sequence[Event], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Events as the page says them; a treatment's changes start from what the ones before it left."""
    shown, before = [], dict(settings)
    for event in events:
        treatment = _object(event.get("treatment"))
        shown.append(
            {
                **{key: event[key] for key in ("step", "attempt")},
                "disease": str(event.get("disease")),
                "title": _title(event),
                "sentence": str(event.get("sentence") or ""),
                "evidence": evidence(event),
                "action": str(event.get("action")),
                "did": ACTIONS.get(str(event.get("action")), str(event.get("action"))),
                "picture": event.get("picture"),
                "treatment": _treatment(treatment, before) if treatment else None,
            }
        )
        before |= _object(treatment.get("change"))
    return shown


def _title(event: Event) -> str:
    return str(event.get("title") or event.get("disease") or "Unknown disease")


def evidence(event: Event) -> list[list[str]]:
    """What a diagnosis rests on: names and numbers."""
    numbers = _object(event.get("evidence"))
    return [
        [VITALS.get(k, str(k).replace("_", " ")), formatting.short(value)] for k, value in numbers.items()
    ]


def _treatment(treatment: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What was done: the remedy, what it changed from what to what, and what became of the weights."""
    change = _object(treatment.get("change"))
    return {
        "remedy": str(treatment.get("remedy") or "a change of settings"),
        "paper": str(treatment.get("paper") or ""),
        "change": [
            [str(key), _setting(before[key]) if key in before else formatting.NONE, _setting(value)]
            for key, value in change.items()
            if key not in before or before[key] != value
        ],
        "back_to": treatment.get("back_to"),
        "next_attempt": treatment.get("next_attempt"),
        "carried": [[str(k), str(v)] for k, v in _object(treatment.get("carried")).items()],
    }


def _setting(value: Any) -> str:
    """A setting as a configuration file has it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seconds(course: Course, number: int, step: int) -> float | None:
    """Seconds of training until a step of an attempt."""
    logged = [*course.rows, *course.given_up.get(number, [])]
    own = [row for row in logged if row.get("attempt", 1) == number and row["step"] <= step]
    return own[-1].get("seconds") if own else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
