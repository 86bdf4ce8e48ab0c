"""What is refused before anything runs: settings that fit neither the data nor the batches."""

from __future__ import annotations


# Classes that are left out
