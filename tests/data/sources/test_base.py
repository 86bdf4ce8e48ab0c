"""Sources in packages."""

import pytest

from components.common.errors import InputError
from components.data.sources.base import packaged


def test_a_missing_package_is_named(monkeypatch):
    with pytest.raises(InputError, match="pip install no-such-package"):
        packaged("no-such-package", "x")
