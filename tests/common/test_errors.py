"""Errors as one line."""

from __future__ import annotations

import pickle

from components.common.errors import MOST, Diverged, InputError, RunError, sentence


def test_errors_for_users_are_their_sentence_and_others_say_their_type() -> None:
    assert sentence(InputError("name a family")) == "name a family"
    assert sentence(Diverged("the loss became nan")) == "the loss became nan"
    assert sentence(KeyboardInterrupt()) == sentence(SystemExit(0)) == "interrupted"
    assert sentence(KeyError("x")) == "KeyError: 'x'"
    assert sentence(ValueError("first\nsecond")) == "ValueError: first"


def test_the_text_is_one_printable_line_of_bounded_length() -> None:
    error = InputError("unknown key \x00\x1b[2J\nx")
    assert str(error).isprintable() and str(pickle.loads(pickle.dumps(error))) == str(error)
    long = str(RunError(f"unknown key {'a' * 70_000}; known here: b"))
    assert len(long) <= MOST and long.startswith("unknown key a") and long.endswith("known here: b")
    assert not str(InputError())
