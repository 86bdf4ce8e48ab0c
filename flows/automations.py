"""Automations of a Prefect server, as code: made, brought up to date and removed by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import AutomationSort
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from pydantic import SecretStr

from components.common.errors import InputError
from flows import notify
from flows.deployments import MOST, require_server
from flows.overlap import SKIPPED, UNCHANGED

PREFIX = "Atelier: "
HOOK = "atelier-webhook"  # the block with the address
# Without a heartbeat; by default Prefect's runs have one each 3 minutes. A trigger sees a state after the one
# before it, and the first state of a scheduled run is no event: triggers get its others 15 minutes late.
SILENCE = timedelta(minutes=20)
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", SKIPPED, UNCHANGED)  # names of final states
BODY = '{"text": {{ event.payload.sentence|tojson }}}'  # as Slack, Mattermost and others read it
BODY_OF_DEAD = '{"text": "flow run {{ flow_run.name }} has stopped without a word, and counts as crashed"}'
NAME_OF_DEAD = f"{PREFIX}a run stopped without a word"


def automations(hook: UUID | None) -> list[Automation]:
    """Return the automations: dead runs count as crashed, and a web hook is told of all kinds of events."""
    actions: list[ActionTypes] = [
        ChangeFlowRunState(
            state=StateType.CRASHED, message=f"no heartbeat for {SILENCE.total_seconds() / 60:.0f} minutes"
        )
    ]
    if hook:
        actions.append(CallWebhook(block_document_id=hook, payload=BODY_OF_DEAD))
    made = [Automation(name=NAME_OF_DEAD, trigger=_silence(), actions=actions)]
    for kind, title in notify.KINDS.items() if hook else ():
        trigger = EventTrigger(expect={kind}, match={"prefect.resource.id": "atelier.run.*"}, threshold=1)
        call = CallWebhook(block_document_id=hook, payload=BODY)
        made.append(Automation(name=f"{PREFIX}{title}", trigger=trigger, actions=[call]))
    return made


def _silence() -> EventTrigger:
    """Return the trigger of a run of a deployment whose heartbeats end before the run does."""
    heartbeat = "prefect.flow-run.heartbeat"
    return EventTrigger(
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{name}" for name in ENDS)},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    )


def apply(webhook: str | None) -> list[str]:
    """Make the automations, or bring those that exist up to date; return their names.

    Args:
        webhook: the URL that is told, or $NAME for one in an environment variable; Prefect keeps it as a
            secret. None: the one of before, if any.

    Raises:
        InputError: there is no server, or the URL is not one of http.
    """
    require_server()
    wanted = automations(_hook(webhook))
    with get_client(sync_client=True) as client:
        existing = {name: identity for identity, name in _existing(client)}
        for automation in wanted:
            if automation.name in existing:
                automation.id = existing[automation.name]
                automation.update()
            else:
                automation.create()
    return [automation.name for automation in wanted]


def _hook(webhook: str | None) -> UUID | None:
    """Return the block of the web hook, after writing a new address into it."""
    if webhook is not None:
        url = notify.address(webhook)
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--webhook {notify.masked(webhook)}: give a URL of http or https, or $NAME")
        saved = Webhook(method="POST", url=SecretStr(url), headers={"Content-Type": "application/json"}).save(
            HOOK, overwrite=True
        )
        assert isinstance(saved, UUID)
        return saved
    try:
        return _identity(Webhook.load(HOOK))
    except ValueError:  # there is none
        return None


def _identity(block: Any) -> UUID:
    identity = block._block_document_id
    assert isinstance(identity, UUID)
    return identity


def remove() -> list[str]:
    """Remove the automations; return the names of those that there were."""
    require_server()
    with get_client(sync_client=True) as client:
        existing = _existing(client)
        for identity, _ in existing:
            client.delete_automation(identity)
    return [name for _, name in existing]


def _existing(client: Any) -> Sequence[tuple[UUID, str]]:
    """Return the automations of ours on the server."""
    automations = client.read_automations(limit=MOST, sort=AutomationSort.NAME_ASC)
    return [(one.id, one.name) for one in automations if one.name.startswith(PREFIX)]
