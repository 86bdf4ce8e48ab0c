"""The specs of a planned run."""

from components.pipeline.graph import planned
from components.pipeline.plan import Plan
from components.stages.spec import Spec


def specs(plan: Plan) -> list[Spec]:
    """The spec of every stage, if nothing fails."""
    return [spec for _, spec in planned(plan).values()]
