"""Stage `report`: the page of the run."""

from __future__ import annotations

from collections.abc import Mapping

from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import ReportResult
from components.report import build_run
from components.stages.code_digest import code
from components.stages.spec import Spec


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """Return the spec: all results of families, the table, the verdicts, and the failures."""
    upstream = {name: key for name, key in keys.items() if "/" in name or name in ("compare", "gate")}
    digests = code("components.pipeline.report", "components.report.build")
    return plan.spec("report", {"failed": dict(failed)}, digests, upstream)


def run(context: Context) -> ReportResult:
    """Build the page."""
    page = build_run(context.store, context.run_id)
    return ReportResult(page=page, elsewhere=[page])


STAGE = Stage("report", "run", spec, run, on_cluster=False)
