"""Errors as one line."""

from __future__ import annotations

from components.common.errors import Diverged, InputError, sentence


def test_errors_for_users_are_their_sentence_and_others_say_their_type() -> None:
    assert sentence(InputError("name a family")) == "name a family"
    assert sentence(Diverged("the loss became nan")) == "the loss became nan"
    assert sentence(KeyboardInterrupt()) == sentence(SystemExit(0)) == "interrupted"
    assert sentence(KeyError("x")) == "KeyError: 'x'"
    assert sentence(ValueError("first\nsecond")) == "ValueError: first"
