"""Notifications about runs: to URLs of Apprise, which need no server, and as events of a Prefect server."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from components.common.errors import InputError
from components.records.gate import PENDING
from components.records.run import RunManifest

FAILED, CHAMPION = "atelier.run.failed", "atelier.champion.promoted"
REVIEW, UNHEALTHY = "atelier.review.pending", "atelier.training.unhealthy"
LOST = "atelier.run.lost"
KINDS = {
    FAILED: "a run failed",
    CHAMPION: "a result became champion",
    REVIEW: "a result waits for a person",
    UNHEALTHY: "a training was unhealthy",
    LOST: "a scheduled run was lost",
}
"""The kinds of notifications, which are also the names of Prefect's events."""


@dataclass(frozen=True)
class Notification:
    """An event of a run that is worth a notification."""

    kind: str
    sentence: str  # without private folders and credentials


def notifications(run: RunManifest) -> Iterator[Notification]:
    """Yield what is worth telling of a run that has ended, of that which it did itself."""
    of = f"run {run.run_id} on {run.lineage.data.name}"
    if run.status in ("failed", "partial"):
        reasons = [f"{stage.title}: {stage.error}" for stage in run.failed]
        why = "; ".join(reasons) or run.error or "no reason is recorded"
        yield Notification(FAILED, f"{of} ended with status {run.status}: {why}")
    for stage in run.stages:
        if stage.events and stage.state != "cached":
            yield Notification(UNHEALTHY, f"{of}: {stage.title} had {stage.events} diagnoses of its health")
    gate = run.stage("gate")
    if gate is None or gate.state != "ran":  # a cached verdict was told of by the run that made it
        return
    for judgement in run.gate:
        family, series = judgement.model.family, f"{judgement.data_set}/{judgement.task}"
        if judgement.number is not None:
            yield Notification(CHAMPION, f"{of}: {family} is champion {judgement.number} of {series}")
        elif judgement.word == PENDING:
            yield Notification(
                REVIEW,
                f"{of}: {family} waits to become champion of {series}: `atelier promote {run.run_id} "
                f"{family}`, or `atelier reject {run.run_id} {family} --reason TEXT`",
            )


def of_run(run: RunManifest, urls: Sequence[str], say: Callable[[str, str], None]) -> None:
    """Tell of a run that has ended; say which URLs could not be reached."""
    for notification in notifications(run):
        for failed in tell(notification, run.run_id, urls):
            say(f"  {failed} could not be notified", "yellow")


def tell(notification: Notification, about: str, urls: Sequence[str]) -> list[str]:
    """Send a notification, and an event for the automations of a Prefect server whose URL is set.

    Args:
        notification: what to tell.
        about: the id of the run, or the name of the schedule.
        urls: who is told.

    Returns:
        The URLs that did not take it, masked.
    """
    if PREFECT_API_URL.value():
        emit_event(
            notification.kind,
            resource={"prefect.resource.id": f"atelier.run.{about}"},
            payload={"sentence": notification.sentence},
        )
    return send(notification, urls)


def send(notification: Notification, urls: Sequence[str]) -> list[str]:
    """Send a notification to all URLs; return those that did not take it, masked."""
    if not urls:
        return []
    from apprise import Apprise  # comes with Prefect

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines name addresses
    failed = []
    for url in urls:
        service = Apprise()
        title = f"Atelier: {KINDS[notification.kind]}"
        if not (service.add(address(url)) and service.notify(body=notification.sentence, title=title)):
            failed.append(masked(url))
    return failed


def check(urls: Sequence[str]) -> None:
    """Raise InputError unless Apprise knows the service of each URL."""
    if not urls:
        return
    from apprise import Apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    for url in urls:
        if not Apprise.instantiate(address(url)):
            raise InputError(
                f"notify: {masked(url)} is no URL that Apprise knows; such as json://HOST/PATH, "
                "slack://TOKENS, or $NAME for one in an environment variable"
            )


def address(url: str) -> str:
    """Return the URL itself, or that in the environment variable that `$NAME` names.

    Raises:
        InputError: the variable is not set.
    """
    if not url.startswith("$"):
        return url
    if value := os.environ.get(url[1:]):
        return value
    raise InputError(f"notify: the environment variable {url[1:]} is not set")


def masked(url: str) -> str:
    """Return a URL without all that may be secret, which is all but its protocol."""
    protocol, separator, _ = url.partition("://")
    return f"{protocol}://***" if separator else url if url.startswith("$") else "***"
