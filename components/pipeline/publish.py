"""Stage `publish`: copy models, samples and pages to a public place; the manifest is written last."""

from __future__ import annotations

from collections.abc import Mapping

from components.common.errors import RunError
from components.common.hashing import sha256
from components.common.paths import home
from components.pipeline.plan import Plan
from components.pipeline.stage import Context, Stage
from components.records.run import RunManifest
from components.records.stages import PublishResult, ReportResult
from components.stages.code_digest import code
from components.stages.spec import Spec
from components.store import open_store


def spec(plan: Plan, keys: Mapping[str, str], failed: Mapping[str, str]) -> Spec:
    """Return the spec: the page, the exported models, and the URL."""
    upstream = {name: key for name, key in keys.items() if name == "report" or name.startswith("export/")}
    url = plan.experiment.publish.url
    settings: dict[str, object] = {  # the URL may be private, and pages show a spec
        "url_sha256": sha256(url) if url else None
    }
    if plan.experiment.publish.formats:
        settings["formats"] = list(plan.experiment.publish.formats)
    return plan.spec("publish", settings, code("components.pipeline.publish"), upstream)


def run(context: Context) -> PublishResult:
    """Copy all files; list them with sizes and hashes in manifest.json."""
    from components.publishing.publish import MANIFEST, publish  # imports PyTorch, which plans do without

    url, store, run_id = context.plan.experiment.publish.url, context.store, context.run_id
    place = open_store(url, home()).fenced(store.fence) if url else store.child("published")
    manifest = RunManifest.read(store.read_json(f"runs/{run_id}/run.json"))
    if manifest is None:
        raise RunError(f"runs/{run_id}/run.json cannot be read; run the same command again")
    exported = [name for name in context.spec.upstream if name != "report"]
    models = {name.removeprefix("export/"): context.uri(name) for name in exported}
    page = context.read("report", ReportResult).page
    formats, notes = context.plan.experiment.publish.formats, list[str]()
    files = publish(store, manifest, place.child(run_id), models, page, graphs=formats, notes=notes)
    elsewhere = [] if url else [f"published/{run_id}/{MANIFEST}"]
    return PublishResult(published=run_id, files_published=len(files), formats=notes, elsewhere=elsewhere)


STAGE = Stage("publish", "run", spec, run, on_cluster=False)
