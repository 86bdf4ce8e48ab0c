"""The command line: its commands, the environment they run in, exit codes.

Exit code 0: done, 1: a run failed, 2: bad input, 130: interrupted; one clear sentence on standard error, no
traceback.
"""

from __future__ import annotations

import atexit
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError, UnknownOptionError

from components.common.errors import NOT_ALLOWED, NOT_POSSIBLE, InputError, RunError
from components.common.interruption import interrupted
from components.common.paths import home
from components.common.public import without_secrets
from flows import environment
from flows.signals import CODE, stop_on_signals

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

COMMANDS = {  # group -> command -> its function, imported only when the command is called
    "Run": {"run": "flows.cli.run:run", "sweep": "flows.cli.run:sweep"},
    "Schedules": {
        "schedule": "flows.cli.schedule:schedule",
        "backfill": "flows.cli.schedule:backfill",
        "why": "flows.cli.schedule:why",
        "automations": "flows.cli.schedule:automations",
    },
    "Data": {"data": "flows.cli.data:data", "init": "flows.cli.init:init"},
    "Models": {
        "sample": "flows.cli.models:sample",
        "interpolate": "flows.cli.styles:interpolate",
        "mix": "flows.cli.styles:mix",
        "project": "flows.cli.styles:project",
        "path-length": "flows.cli.styles:path_length",
        "anomaly": "flows.cli.models:anomaly",
    },
    "Evaluation": {
        "evaluate": "flows.cli.evaluation:evaluate",
        "evaluate-synthetic": "flows.cli.evaluation:evaluate_synthetic",
        "extractor": "flows.cli.evaluation:extractor",
    },
    "Publication": {
        "publish": "flows.cli.publishing:publish",
        "verify": "flows.cli.publishing:verify",
        "export-metrics": "flows.cli.publishing:export_metrics",
    },
    "Champions": {
        "champions": "flows.cli.champions:champions",
        "promote": "flows.cli.champions:promote",
        "reject": "flows.cli.champions:reject",
        "rollback": "flows.cli.champions:rollback",
    },
    "Inspection": {
        "runs": "flows.cli.inspect:runs",
        "logs": "flows.cli.inspect:logs",
        "explain": "flows.cli.inspect:explain",
        "compare": "flows.cli.inspect:compare",
        "families": "flows.cli.inspect:families",
        "report": "flows.cli.inspect:report",
        "doctor": "flows.cli.inspect:doctor",
        "gc": "flows.cli.retention:gc",
    },
}

CONTINUED = (
    "run",
    "sweep",
    "publish",
    "schedule",
    "backfill",
)  # commands that continue where they were interrupted


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code.

    Signals are handled only for the command line of this process, not for one that a caller passes, whose
    handlers stay as they are.
    """
    if arguments is None:
        stop_on_signals(command=True)
    words = list(sys.argv[1:] if arguments is None else arguments)
    continues = bool(words) and words[0] in CONTINUED
    exit_with(lambda: call(words), continues=continues, at_once=arguments is None)


def exit_with(work: Callable[[], int], *, continues: bool = True, at_once: bool = False) -> None:
    """Do the work of a process, and exit with the code that it returns or that suits its error.

    Args:
        work: returns the code.
        continues: whether the same work continues where it was interrupted.
        at_once: end the process without destroying its modules, which takes two seconds with Ray and torch.
    """
    codes = list[int]()
    if at_once:
        atexit.register(_end_process, codes)  # the first that is registered is called last
    environment.prepare()
    for stream in (sys.stdout, sys.stderr):  # a terminal or a locale may know fewer characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = work()
    except (Exception, KeyboardInterrupt) as error:
        code = _failed(error, continues=continues)
    sys.stdout.flush()
    codes.append(code)
    sys.exit(code)


def _end_process(codes: Sequence[int]) -> None:
    """End this process with the code; without one, its error is still to be printed."""
    if codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


def call(arguments: Sequence[str]) -> int:
    """Call the command that the arguments name; return its exit code.

    Raises:
        CycloptsError: an unknown command or option, or a value that is not accepted.
    """
    commands, apps, options = app.parse_commands(list(arguments))
    if commands == ("--help",):
        app.resolved_commands()  # imports them: their summaries are in their docstrings
    if not options and apps[-1].default_command is None:
        name = " ".join(("atelier", *commands))
        raise InputError(f"name a command: `{name} --help` lists them")
    return app(list(arguments)) or 0


def _failed(error: Exception | KeyboardInterrupt, *, continues: bool = False) -> int:
    """Print what ended a command, and return its exit code; say whether it `continues` when called again."""
    if (
        isinstance(error, KeyboardInterrupt) or interrupted.is_set()
    ):  # libraries turn it into errors of theirs
        again = "to continue" if continues else "to begin again; nothing is half-written"
        return _complain(f"interrupted; run the same command again {again}", CODE)
    if isinstance(error, CycloptsError):
        return _complain(explained(error), 2)
    if isinstance(error, InputError | RunError):
        return _complain(str(error), 2 if isinstance(error, InputError) else 1)
    if isinstance(error, BrokenPipeError):
        return 0
    if isinstance(error, OSError) and error.errno in NOT_ALLOWED:
        return _complain(not_allowed(error), 2)
    if isinstance(error, OSError):
        code = 2 if error.errno in NOT_POSSIBLE else 1
        return _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", code)
    if isinstance(error, ValueError) and in_prefect_settings(error):
        return _complain(unreadable_settings(error), 2)
    return _complain(traceback.format_exc(), 1)  # an error of ours; Python would print it with credentials


def not_allowed(error: OSError) -> str:
    """Return an error about a file or folder that may not be read or written as one sentence."""
    reason = (error.strerror or str(error)).lower()
    return (
        f"{error.filename or home()}: {reason}; give yourself access to it, or name folders of your own: "
        "ATELIER_HOME for the project, --store or store.url for results, ATELIER_CACHE for mirrors"
    )


def in_prefect_settings(error: ValueError) -> bool:
    """Return whether the error was raised while Prefect read its settings, which it does on import."""
    parts = os.path.join("prefect", "settings", "")
    return any(parts in frame.filename for frame in traceback.extract_tb(error.__traceback__))


def unreadable_settings(error: ValueError) -> str:
    """Return an error in Prefect's settings as one sentence."""
    details: list[Mapping[str, Any]] = getattr(error, "errors", list)()  # pydantic's
    reason = f"{'.'.join(map(str, details[0]['loc']))}: {details[0]['msg']}" if details else str(error)
    return (
        f"Prefect cannot read its settings ({reason}); correct the variables that begin with PREFECT_, or "
        f"{os.environ['PREFECT_HOME']}/profiles.toml"
    )


def explained(error: CycloptsError) -> str:
    """Return the error in the arguments as one sentence."""
    if isinstance(error, UnknownOptionError) and meant_store(error):
        return "unknown option: --store; the config names the store: --set store.url=URL changes it"
    text, _, _ = str(error).partition(" Available commands: ")
    parts = [part.rstrip(".") for part in re.split(r"(?<=\.)\s+", text.strip())]
    if isinstance(error, UnknownCommandError):
        parts.append("`atelier --help` lists the commands")
    return "; ".join(part[:1].lower() + part[1:] for part in parts)


def meant_store(error: UnknownOptionError) -> bool:
    """Return whether --store was given to a command whose config names the store."""
    option = (error.token.keyword or error.token.value).partition("=")[0]
    return option == "--store" and any("--set" in argument.names for argument in error.argument_collection)


def _complain(sentence: str, code: int) -> int:
    print(f"atelier: {without_secrets(sentence)}", file=sys.stderr)
    return code


def _version() -> str:
    from importlib.metadata import version

    return version("atelier")


def _default(value: Any) -> str | None:
    """Return a default value as the help shows it; None for one that it does not show."""
    return None if value is None or value is False or value in ((), "") else str(value)


class _Help:
    """Print help as Cyclopts does, with the lines of each paragraph of a docstring joined."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel of arguments, options or commands."""
        from cyclopts.help import DefaultFormatter

        for entry in panel.entries:
            _join_lines(entry.description)
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the line on the usage."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the command does."""
        _join_lines(description)
        console.print(description)


def _join_lines(text: Any) -> None:
    """Join the lines of each paragraph of a text of the help, in place."""
    plain = text.primary_renderable
    plain.plain = re.sub(r"(?<!\n)\n(?!\n|\Z)", " ", plain.plain)


def build() -> App:
    """Return the application with all commands."""
    application = App(
        name="atelier",
        help="Train, tune, evaluate and publish generative image models, reproducibly.",
        version=_version,
        help_format="plaintext",
        help_formatter=_Help(),
        default_parameter=Parameter(negative=(), allow_repeating=True, show_default=_default),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for title, commands in COMMANDS.items():
        group = Group.create_ordered(title)
        for name, function in commands.items():
            application.command(function, name=name, group=group, sort_key=len(list(application)))
    application.register_install_completion_command(
        help="Install completion of commands and options for your shell."
    )
    return application


app = build()
