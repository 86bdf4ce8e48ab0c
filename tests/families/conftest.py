from tests.families.translators import *  # noqa: F403  (fixtures)
from tests.small_data import *  # noqa: F403  (fixtures)
