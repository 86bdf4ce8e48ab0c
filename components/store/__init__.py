"""The store: a folder on any fsspec URL with atomic writes, exclusive creation and leases."""

from components.store.store import Store, cache_folder, open_store

__all__ = ["Store", "cache_folder", "open_store"]
