from tests.store.conftest import local, memory, own_cache, store  # noqa: F401  (fixtures)
