"""Read JSON whose values can be written again."""

from __future__ import annotations

import json
from typing import Any


def parsed(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        RecursionError: it is too deep.
        json.JSONDecodeError: it is not JSON, has an integer of more digits than Python converts, or has half
            of a surrogate pair, which no page or file could hold.
    """
    try:
        value = json.loads(data)
        if (b"\\u" if isinstance(data, bytes) else "\\u") in data:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    return value
