"""Whether this process is to end. Whatever waits for a store or a cluster asks."""

from __future__ import annotations

import threading

interrupted = threading.Event()  # set when a signal arrives; cleared when a run begins
