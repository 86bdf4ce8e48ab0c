"""The gate on a run's page: the verdict on each family with its reasons, and the history of champions."""

from __future__ import annotations

from dataclasses import dataclass

from components.common.errors import InputError
from components.common.ranking import ranking_metric
from components.families.tasks import TASKS
from components.records.gate import BLESSED, NOT_BLESSED, PENDING, Champion, Judgement, Margin, Reason
from components.records.run import RunManifest
from components.registry import champions
from components.report import formatting
from components.report.metric_labels import mark, measure
from components.store import Store

RULES = {
    "quality": "Better",
    "agreement": "Second distance",
    "precision": "Precision",
    "recall": "Recall",
    "memorisation": "Memorisation",
    "health": "Training",
    "review": "Review",
    "champion": "Comparison",
    "loads": "Loading",
    "samples": "Samples",
}

STATES = {BLESSED: "blessed", NOT_BLESSED: "refused", PENDING: "pending"}

WIDTH = 320.0  # of the picture of a gain, in its own units


@dataclass(frozen=True)
class RuleView:
    """A rule with what it found; `state` is passed, failed or idle, where the rule does not apply."""

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class GainView:
    """A gain and its interval on an axis around 0, in units of WIDTH; to the right is better."""

    zero: float
    at: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class VerdictView:
    """The verdict on a family."""

    family: str
    task: str
    word: str
    state: str
    outcome: str  # in a sentence
    rules: list[RuleView]
    export: list[RuleView]
    export_word: str
    gain: GainView | None
    reevaluated: str | None
    commands: list[str]  # that decide on a result that waits


@dataclass(frozen=True)
class EntryView:
    """A line of the history of champions."""

    number: int
    is_current: bool
    action: str
    model: str
    run_id: str
    family: str
    value: str
    who: str
    why: str
    when: str
    override: bool
    objections: list[str]  # of the gate, if it was overridden
    note: str = ""  # why the value is doubtful


@dataclass(frozen=True)
class HistoryView:
    """The champions of a data set and task, the current one first; or why they cannot be read."""

    title: str
    metric: str
    entries: list[EntryView]
    error: str = ""


@dataclass(frozen=True)
class WaitingView:
    """A result that waits for a decision."""

    run_id: str
    family: str
    where: str  # data set and task
    until: str
    outdated: bool  # there is another champion now than the one it was judged against


def waiting(store: Store) -> list[WaitingView]:
    """Return the results of all runs that wait for a decision and have not expired."""
    views = []
    for j in champions.pending(store):
        current = champions.current(store, j.data_set, j.task)
        outdated = j.champion != (current.number if current else 0)
        where, until = f"{j.data_set}/{j.task}", formatting.moment(j.expires)
        views.append(WaitingView(j.model.run_id, j.model.family, where, until, outdated))
    return views


@dataclass(frozen=True)
class StandingView:
    """The champion of a data set and task; or why it cannot be read."""

    title: str
    metric: str
    champion: EntryView | None
    error: str = ""


def standing(store: Store) -> list[StandingView]:
    """Return the current champion of each data set and task; reads one entry of each history."""
    views = []
    for data_set, task in champions.series(store):
        title = f"{data_set}, {_title(task).lower()}"
        try:
            champion = champions.current(store, data_set, task)
        except InputError as error:
            views.append(StandingView(title, "", None, str(error)))
            continue
        if champion:
            metric = _first_metric(champion)
            label = measure(metric).label if metric else ""
            views.append(StandingView(title, label, _entry(champion, metric, champion.number)))
    return views


def verdicts(run: RunManifest) -> list[VerdictView]:
    """Return the verdicts of a run."""
    return [_verdict(judgement) for judgement in run.gate]


def histories(store: Store, run: RunManifest) -> list[HistoryView]:
    """Return the champions of the data set, for each task of the run."""
    pairs = dict.fromkeys((judgement.data_set, judgement.task) for judgement in run.gate)
    histories = [_history(store, data_set, task) for data_set, task in pairs]
    return [history for history in histories if history.entries or history.error]


def _verdict(judgement: Judgement) -> VerdictView:
    family, run_id = judgement.model.family, judgement.model.run_id
    waits = judgement.word == PENDING
    commands = [f"atelier promote {run_id} {family}", f"atelier reject {run_id} {family} --reason TEXT"]
    return VerdictView(
        family,
        _title(judgement.task),
        judgement.word,
        STATES[judgement.word],
        _outcome(judgement),
        [_rule(reason) for reason in judgement.quality.reasons],
        [_rule(reason) for reason in judgement.export.reasons],
        judgement.export.word,
        _gain(judgement.margin) if judgement.margin else None,
        judgement.reevaluated,
        commands if waits else [],
    )


def _outcome(judgement: Judgement) -> str:
    standing = f"Champion {judgement.champion} ({judgement.against})" if judgement.against else "No champion"
    if judgement.number is not None:
        return f"It became champion {judgement.number}" + (
            f" and replaced {judgement.against}." if judgement.against else ", the first."
        )
    if judgement.word == PENDING:
        until = formatting.moment(judgement.expires)
        return f"It waits for a decision until {until}. {standing} stays until then."
    if judgement.is_blessed:
        return "It is not promoted, as this run only judges."
    return f"{standing} stays." if judgement.against else "There is no champion yet."


def _rule(reason: Reason) -> RuleView:
    state = {True: "passed", False: "failed", None: "idle"}[reason.passed]
    name = RULES.get(reason.rule, reason.rule)
    text = reason.text.removeprefix(f"{name.lower()} ")
    return RuleView(name, state, f"{text[:1].upper()}{text[1:]}.")


def _gain(margin: Margin) -> GainView:
    """Return the gain with its interval, on an axis that shows both and 0."""
    half = margin.noise or 0.0
    ends = (0.0, margin.gain - half, margin.gain + half)
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or 1.0
    scale = WIDTH / (high - low + 2 * room)

    def at(value: float) -> float:
        return round((value - low + room) * scale, 1)

    definition = measure(margin.metric)
    noise = "" if margin.noise is None else f" ± {definition.show(margin.noise)}"
    text = f"Gain in {definition.label}: {definition.show(margin.gain)}{noise}; to the right of 0 is better"
    return GainView(at(0.0), at(margin.gain), at(margin.gain - half), at(margin.gain + half), text)


def _history(store: Store, data_set: str, task: str) -> HistoryView:
    title = f"{data_set}, {_title(task).lower()}"
    try:
        entries = champions.history(store, data_set, task)
    except InputError as error:
        return HistoryView(title, "", [], str(error))
    metric = _first_metric(entries[-1]) if entries else ""
    newest = entries[-1].number if entries else 0
    views = [_entry(entry, metric, newest) for entry in reversed(entries)]
    return HistoryView(title, measure(metric).label if metric else "", views)


def _first_metric(champion: Champion) -> str:
    """Return the metric that ranked a champion, which its history shows; empty if none did."""
    return ranking_metric([champion.judgement.metrics])


def _entry(champion: Champion, metric: str, newest: int) -> EntryView:
    value = champion.judgement.metrics.get(metric)
    action = f"rolled back to {champion.restores}" if champion.action == "rolled back" else champion.action
    return EntryView(
        champion.number,
        champion.number == newest,
        action,
        champion.model.address,
        champion.model.run_id,
        champion.model.family,
        f"{measure(metric, value).show(value.value)}{mark(value)}" if value else formatting.NONE,
        champion.who,
        champion.why,
        champion.when,
        champion.override,
        champion.judgement.failed if champion.override else [],
        (value.note or "") if value else "",
    )


def _title(task: str) -> str:
    return TASKS[task].title if task in TASKS else task
