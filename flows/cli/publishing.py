"""`atelier verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from components.common.errors import RunError
from components.store import Store
from flows.cli.shared import AsJSON


def verify(
    folder: str,
    /,
    *,
    key: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    as_json: AsJSON = False,
) -> None:
    """Verify a published run or model: its files, its signature, and that it draws its published samples.

    Args:
        folder: the folder or URL of a published run, or of one of its models
        key: the public key, as PEM, that must have signed each model
    """
    from components.cluster.resources import device
    from components.publishing.verify import complaint
    from components.publishing.verify import verify as verified

    results = verified(Store(folder), key, device())
    if as_json:
        print(json.dumps([result.to_json() for result in results]))
    for result in results if not as_json else ():
        for sentence in result.holds:
            print(f"{result.folder}: {sentence}" if result.folder else sentence)
    if problem := complaint(folder, results):
        raise RunError(problem)
