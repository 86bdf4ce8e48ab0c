"""Submit jobs to the Jobs API of a Ray cluster, and follow them.

A job lives and dies with its cluster, and Ray may be wrong about how one ended: whoever calls this asks the
store what was done.
"""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.common.errors import InputError, RunError, sentence
from components.common.public import public

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
ADDRESS_SECONDS = 5.0  # until a cluster must answer for the first time
REQUEST_SECONDS = 60.0  # for each request after it
POLL = 1.0  # seconds between looks at a job


@dataclass(frozen=True)
class Job:
    """A job as Ray describes it."""

    name: str  # its submission id
    status: str  # PENDING | RUNNING | SUCCEEDED | FAILED | STOPPED
    age: float = 0.0  # seconds since its submission
    exit_code: int | None = None  # of its driver
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether Ray will do nothing more with it."""
        return self.status in ENDED


class RayJobs:
    """The Jobs API at an address such as http://HOST:8265.

    Ray reads the token that protects it from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    """

    def __init__(self, address: str):
        """Connect to the cluster.

        Raises:
            InputError: no cluster answers there, its version of Ray is another, or it refuses the token.
        """
        self.address = address.rstrip("/")
        check_version(self.address)
        for variable in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):  # Ray would prefer them to the address
            os.environ.pop(variable, None)
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        from ray.job_submission import JobSubmissionClient

        logging.getLogger("ray").setLevel(logging.ERROR)

        class Client(JobSubmissionClient):
            """Ray's client, whose requests would wait for ever."""

            def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
                return super()._do_request(method, endpoint, **{"timeout": REQUEST_SECONDS, **options})

        try:
            self._client = Client(self.address)
        except Exception as error:  # of Ray, of requests, or that a package is missing
            raise unreachable(self.address, error) from None

    def find(self, name: str) -> Job | None:
        """Return what the cluster knows of a job; None if it does not know it."""
        return next((job for job in self.list(name) if job.name == name), None)

    def list(self, prefix: str) -> list[Job]:
        """Return the jobs whose names begin with a prefix."""
        return [
            Job(
                job.submission_id,
                job.status.value,
                max(0.0, time.time() - job.start_time / 1000) if job.start_time else 0.0,
                job.driver_exit_code,
                job.message or "",
            )
            for job in self._client.list_jobs()
            if job.submission_id and job.submission_id.startswith(prefix)
        ]

    def submit(self, name: str, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Submit a command that runs on the head node in a copy of a folder; do nothing if the job exists.

        Ray keeps the environment where all who can reach the cluster can read it: give no secrets.
        """
        runtime = {"working_dir": str(folder), "env_vars": dict(environment)}
        try:
            self._client.submit_job(entrypoint=command, submission_id=name, runtime_env=runtime)
        except Exception as error:
            if self.find(name) is None:  # else another process was faster, or only the answer was lost
                raise RunError(f"{self.address} did not accept the job ({sentence(error)})") from None

    def stop(self, name: str) -> None:
        """Stop a job, as far as Ray can."""
        with suppress(Exception):
            self._client.stop_job(name)

    def follow(self, name: str, say: Callable[[str], None], ended: Callable[[], bool]) -> Job | None:
        """Show a job's log until it has ended; return what Ray says of it then, None if it has lost it.

        While the cluster does not answer, only `ended` counts.

        Args:
            name: of the job.
            say: called with each line of its log.
            ended: returns whether the store says that there is nothing to wait for.
        """
        printed = 0
        while True:
            over, job = ended(), None
            with suppress(Exception):  # the next look will show what became of it
                job = self.find(name)
                text = self._client.get_job_logs(name) if job else ""
                whole = text if job and job.ended else text[: text.rfind("\n") + 1]
                for line in whole[printed:].splitlines():
                    say(line)
                printed = max(printed, len(whole))
                if job is None or job.ended:
                    return job
            if over:
                return job
            time.sleep(POLL)


def check_version(address: str) -> None:
    """Raise InputError unless a Ray cluster of this version answers at an address, or asks for a token."""
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=ADDRESS_SECONDS) as answer:
            there = json.loads(answer.read(10_000))["ray_version"]
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # a cluster with a token: Ray's client sends it
            return
        raise unreachable(address, error) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreachable(address, error) from None
    check_same("Ray", there, version("ray"), address)


def check_same(what: str, there: str, here: str, address: str) -> None:
    """Raise InputError if two versions differ in more than their last number."""
    if there.split(".")[:2] != here.split(".")[:2]:
        raise InputError(
            f"{address}: the cluster has {what} {there}, and this machine {here}; install the same version "
            "on both, for example from the requirements of the cluster's image"
        )


def unreachable(address: str, error: Exception) -> InputError:
    """Return the error that no cluster can be used at an address."""
    return InputError(
        f"{public(address)}: no Ray cluster answers there ({public(sentence(error))}); check the address and "
        "RAY_AUTH_TOKEN, or start the cluster (docs/cluster.md)"
    )


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine by a loopback address."""
    host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
