"""What is missing in a light install is said in a sentence."""

from __future__ import annotations

import importlib

import pytest

from components.common.errors import InputError
from components.common.light import whole_install


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    with (
        pytest.raises(InputError, match=r"needs the package nothing_of_this_name.*pip install 'PATH\[run\]'"),
        whole_install(),
    ):
        importlib.import_module("nothing_of_this_name")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), whole_install():
        {}["a"]
