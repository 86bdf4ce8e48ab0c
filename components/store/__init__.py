"""One folder on any fsspec URL: whole writes, exclusive creation, one-sentence errors."""

from components.store.store import Store, cache_folder, open_store

__all__ = ["Store", "cache_folder", "open_store"]
