"""The command line.

Exit code 0: done, 1: a run failed, 2: bad input, 130: interrupted; one clear sentence on standard error, no
traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from components.common.errors import InputError, RunError
from components.common.paths import working
from flows.cli.data import add_data
from flows.cli.evaluation import add_evaluation
from flows.cli.inspect import examine, explain_run, list_families, list_runs, make_report
from flows.cli.models import add_sample, add_score
from flows.cli.run import add_run, add_sweep
from flows.cli.shared import add_command, add_store
from flows.signals import stop_on_signals


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    os.environ.update({name: value for name, value in environment().items() if name not in os.environ})
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    stop_on_signals()
    options = parser().parse_args(arguments)
    try:
        code = options.command(options) or 0
    except InputError as error:
        code = _complain(str(error), 2)
    except RunError as error:
        code = _complain(str(error), 1)
    except KeyboardInterrupt:
        code = _complain("interrupted; run the same command again to go on from here", 130)
    except BrokenPipeError:
        code = 0
    except OSError as error:
        code = _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    sys.stdout.flush()
    sys.exit(code)


def environment() -> dict[str, str]:
    """Settings of the tools we build on, unless the user has set them.

    Everything stays inside the project.
    """
    return {
        "PREFECT_HOME": str(working() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 is too little for a busy machine
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # failures are told once, by us
        "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": "8",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _complain(sentence: str, code: int) -> int:
    print(f"atelier: {sentence}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="atelier", description="Train, tune, judge and publish generative image models, reproducibly."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands)
    add_sweep(commands)
    add_data(commands)

    families = add_command(commands, "families", list_families, "the model families, their papers and phases")
    families.add_argument(
        "--hyperparameters", metavar="NAME", help="of this family: what a sweep can search, and who says so"
    )
    families.add_argument("--json", action="store_true")

    runs = add_command(commands, "runs", list_runs, "the runs in the store, newest first")
    runs.add_argument("--json", action="store_true")
    add_store(runs)

    explain = add_command(commands, "explain", explain_run, "why each stage of a run ran or was cached")
    explain.add_argument("run", help="a run id, or `last`")
    add_store(explain)

    add_sample(commands)
    add_score(commands)
    add_evaluation(commands)

    report = add_command(commands, "report", make_report, "build the pages anew, or look at them")
    report.add_argument("action", choices=("build", "serve", "pull"))
    report.add_argument("--run", help="only this run's page")
    report.add_argument("--port", type=int, default=8000)
    report.add_argument("-o", "--output", default="report", help="where `pull` puts the pages")
    add_store(report)

    doctor = add_command(commands, "doctor", examine, "check everything Atelier needs, and say what to do")
    doctor.add_argument("--thorough", action="store_true", help="start Ray for a moment too")
    doctor.add_argument("--json", action="store_true")
    add_store(doctor)
    return top
