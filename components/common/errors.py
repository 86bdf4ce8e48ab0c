"""The two ways a command ends badly.

Flows/cli.py turns them into exit codes, with one sentence and no traceback.
"""


class InputError(ValueError):
    """The user gave something that cannot work; says what, where, and what is accepted. Exit code 2."""


class RunError(RuntimeError):
    """The input was fine and the run failed; says what failed and what to do. Exit code 1."""


class Diverged(RunError):
    """Numbers are no longer finite, or the doctor gave up: training again would end the same way."""
