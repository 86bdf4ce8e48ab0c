"""How images of each task are evaluated."""

from __future__ import annotations

PAIRED = ("reconstruct", "translate", "upscale")  # tasks whose images have targets to be compared with
