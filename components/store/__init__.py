"""The store: a folder on any fsspec URL with atomic writes, exclusive creation and leases."""

from components.store.mirrors import cache_folder
from components.store.store import Store, open_store

__all__ = ["Store", "cache_folder", "open_store"]
