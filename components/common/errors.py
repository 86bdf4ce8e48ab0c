"""Errors for users. The command line prints their sentence, without traceback, and exits with their code."""

import errno

from components.common.names import clean

MOST = 3000  # characters of a sentence; input that it repeats may be of any length
NOT_POSSIBLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)  # names that files cannot have
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)  # numbers of OSErrors: invalid input, not a failed run


class Sentence(Exception):
    """An error whose text is one printable line of bounded length, whatever input it repeats."""

    def __init__(self, text: object = ""):
        line = clean(" ".join(str(text).splitlines()))
        super().__init__(line if len(line) <= MOST else f"{line[: MOST - 500]} ... {line[-490:]}")


class InputError(Sentence, ValueError):
    """Invalid input. The message says what is wrong, where, and what is accepted. Exit code 2."""


class RunError(Sentence, RuntimeError):
    """The run failed on valid input. The message says what failed and what to do. Exit code 1."""


class Diverged(RunError):
    """Values are not finite, or the health monitor stopped the training. A retry would fail the same way."""


def sentence(error: BaseException) -> str:
    """Return an error as one line: the sentence of one for users, else its type and the first line."""
    if isinstance(error, Sentence):
        return str(error)
    if isinstance(error, KeyboardInterrupt | SystemExit):  # Ray's workers end by the second
        return "interrupted"
    return f"{type(error).__name__}: {error}".splitlines()[0]
