from tests.small_data import *  # noqa: F403  (fixtures)
