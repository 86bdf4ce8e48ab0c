"""Stage `publish`: copy models, samples and pages to a public place; the manifest is written last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from components.common.hashing import sha256
from components.common.paths import home
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.stages import PublishResult, ReportResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import Store, open_store


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """Return the spec: the page, the exported models, and the URL."""
    upstream = {name: key for name, key in keys.items() if name == "report" or name.startswith("export/")}
    url = plan.experiment.publish.url
    settings = {"url_sha256": sha256(url) if url else None}  # the URL may be private, and pages show a spec
    return plan.spec("publish", settings, code("components.pipeline.publish"), upstream)


def run(context: Context) -> PublishResult:
    """Copy all files; list them with sizes and hashes in manifest.json."""
    url, store, run_id = context.plan.experiment.publish.url, context.store, context.run_id
    folder = (open_store(url, home()).fenced(store.fence) if url else store.child("published")).child(run_id)
    files: list[dict[str, Any]] = []

    def put(source: Store, name: str, to: str) -> None:
        content = source.read_bytes(name)
        folder.write_bytes(to, content)
        files.append({"path": to, "bytes": len(content), "sha256": sha256(content)})

    for name in context.spec.upstream:
        if name == "report":
            continue
        model, family = store.child(context.uri(name)), name.removeprefix("export/")
        for file in model.find():
            if file != "result.json":
                put(model, file, f"models/{family}/{file}")
    if page := context.read("report", ReportResult).page:
        pages = store.child(os.path.dirname(page))
        for file in pages.find():
            put(pages, file, f"report/{file}")
    lineage = store.read_json(f"runs/{run_id}/run.json")["lineage"]
    manifest = {"schema": 1, "run_id": run_id, "lineage": lineage, "files": files}
    folder.write_json("manifest.json", manifest)
    elsewhere = [] if url else [f"published/{run_id}/manifest.json"]
    return PublishResult(published=run_id, files_published=len(files), elsewhere=elsewhere)


STAGE = Stage("publish", "run", spec, run, on_cluster=False)
