"""The command line.

Exit code 0: done, 1: a run failed, 2: bad input, 130: interrupted; one clear sentence on standard error, no
traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.common.errors import InputError, RunError
from components.common.paths import config_path, home, working
from flows.signals import stop_on_signals

STORE = "output"

LOST = timedelta(minutes=2)  # a run writes its record several times a minute

LISTED = 20  # images that `score` prints at least, flagged or not


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    os.environ.update({name: value for name, value in environment().items() if name not in os.environ})
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    stop_on_signals()
    options = parser().parse_args(arguments)
    try:
        code = options.command(options) or 0
    except InputError as error:
        code = _complain(str(error), 2)
    except RunError as error:
        code = _complain(str(error), 1)
    except KeyboardInterrupt:
        code = _complain("interrupted; run the same command again to go on from here", 130)
    except BrokenPipeError:
        code = 0
    except OSError as error:
        code = _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    sys.stdout.flush()
    sys.exit(code)


def environment() -> dict[str, str]:
    """Settings of the tools we build on, unless the user has set them.

    Everything stays inside the project.
    """
    return {
        "PREFECT_HOME": str(working() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 is too little for a busy machine
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # failures are told once, by us
        "PREFECT_TASK_RUNNER_THREAD_POOL_MAX_WORKERS": "8",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _complain(sentence: str, code: int) -> int:
    print(f"atelier: {sentence}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="atelier", description="Train, tune, judge and publish generative image models, reproducibly."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _run(commands)
    _sweep(commands)
    _data(commands)

    families = _command(commands, "families", list_families, "the model families, their papers and phases")
    families.add_argument(
        "--hyperparameters", metavar="NAME", help="of this family: what a sweep can search, and who says so"
    )
    families.add_argument("--json", action="store_true")

    runs = _command(commands, "runs", list_runs, "the runs in the store, newest first")
    runs.add_argument("--json", action="store_true")
    _store(runs)

    explain = _command(commands, "explain", explain_run, "why each stage of a run ran or was cached")
    explain.add_argument("run", help="a run id, or `last`")
    _store(explain)

    _sample(commands)
    _score(commands)
    _judging(commands)

    report = _command(commands, "report", make_report, "build the pages anew, or look at them")
    report.add_argument("action", choices=("build", "serve", "pull"))
    report.add_argument("--run", help="only this run's page")
    report.add_argument("--port", type=int, default=8000)
    report.add_argument("-o", "--output", default="report", help="where `pull` puts the pages")
    _store(report)

    doctor = _command(commands, "doctor", examine, "check everything Atelier needs, and say what to do")
    doctor.add_argument("--thorough", action="store_true", help="start Ray for a moment too")
    doctor.add_argument("--json", action="store_true")
    _store(doctor)
    return top


def _command(
    commands: Any, name: str, function: Callable[..., int | None], text: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    added.set_defaults(command=function)
    return added


def _store(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store", default=STORE, help=f"the store: a folder or any fsspec URL (default: {STORE})"
    )


def _run(commands: Any) -> None:
    run = _command(commands, "run", run_pipeline, "run the pipeline; to resume, run the same command again")
    run.add_argument("config", nargs="?", type=Path, help="a YAML file; without one, the quick start")
    run.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting")
    run.add_argument("--only", action="append", default=[], metavar="FAMILY", help="run only these families")
    run.add_argument(
        "--force", action="append", default=[], metavar="STAGE", help="run a stage though it is done"
    )
    run.add_argument(
        "--plan", action="store_true", help="show what would run and what is cached; touch nothing"
    )
    run.add_argument("--explain", action="store_true", help="say why each stage runs or not")
    run.add_argument("--smoke", action="store_true", help="a few steps of everything: does it work at all?")
    run.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")


def _sweep(commands: Any) -> None:
    sweep = _command(commands, "sweep", run_sweep, "search hyperparameters; the same command again resumes")
    sweep.add_argument("config", nargs="?", type=Path, help="a YAML file with a section sweep")
    sweep.add_argument(
        "--resume",
        metavar="ID",
        nargs="?",
        const="last",
        help="go on with an interrupted sweep: a run id; without one, the last sweep, or CONFIG's",
    )
    sweep.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting")
    sweep.add_argument(
        "--force", action="append", default=[], metavar="STAGE", help="run a stage though it is done"
    )
    sweep.add_argument("--plan", action="store_true", help="show what would be searched; touch nothing")
    sweep.add_argument("--explain", action="store_true", help="say why each stage runs or not")
    sweep.add_argument("--json", action="store_true", help="the result as one JSON object")
    _store(sweep)
    sweep.set_defaults(store=None)  # the config's, or the usual one with --resume


def _sample(commands: Any) -> None:
    sample = _command(commands, "sample", draw_samples, "draw samples of an exported model")
    sample.add_argument("run", help="a run id, `last`, or the folder of an exported model")
    sample.add_argument("family", nargs="?", help="not needed with a folder")
    sample.add_argument("-n", type=int, default=16, help="how many (default: 16)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--label", help="a class, by name or number")
    sample.add_argument(
        "--prompt", action="append", default=[], help="what to show; several prompts take turns"
    )
    sample.add_argument("--steps", type=int, help="of the sampler (default: as the model has it)")
    sample.add_argument("--guidance", type=float, help="how close to class or prompt; 1: no guidance")
    sample.add_argument("--sampler", help="by name, of those the model's family knows")
    sample.add_argument("--source", type=Path, help="an image to reconstruct, enlarge, fill in or start from")
    sample.add_argument("--mask", type=Path, help="white where the source is to be filled in")
    sample.add_argument(
        "--strength", type=float, help="of the noise on the source: near 0 keeps it, 1 does not"
    )
    sample.add_argument(
        "--prior",
        choices=("model", "mixture"),
        default="model",
        help="mixture: codes from Gaussians fitted to those of training images, for a run (default: model)",
    )
    sample.add_argument(
        "--neighbours",
        action="store_true",
        help="also OUTPUT-neighbours: each sample with the nearest training image under it, for a run",
    )
    sample.add_argument("-o", "--output", type=Path, required=True, help="a .png or .webp file")
    _store(sample)


def _score(commands: Any) -> None:
    score = _command(commands, "score", score_images, "flag images that a model finds strange")
    score.add_argument("folder", help="images, or a URL")
    score.add_argument("--run", default="last", help="a run id, `last`, or the folder of an exported model")
    score.add_argument("--family", help="of the run (default: the first that can)")
    score.add_argument(
        "--quantile",
        type=float,
        default=0.95,
        help="of validation images' errors: above it is strange (default: 0.95)",
    )
    score.add_argument(
        "--background", help="what transparent images are laid on (default: as those of the model's data)"
    )
    score.add_argument("-o", "--output", type=Path, help="a .csv file")
    score.add_argument("--json", action="store_true")
    _store(score)


def _judging(commands: Any) -> None:
    judge = _command(commands, "evaluate", judge_folder, "judge any folder of images against a data set")
    judge.add_argument("folder", help="images; subfolders named after the classes give labels; or a URL")
    judge.add_argument("--data", required=True, metavar="NAME", help="the data set to compare with")
    judge.add_argument("--revision", help="of the data: a git revision or a version")
    judge.add_argument("--split", default="test", help="train, validation or test (default: test)")
    judge.add_argument("--extractor", help="auto, classifier, rotation, inception, efficientnet or custom")
    judge.add_argument(
        "--set", action="append", default=[], metavar="a=b", help="change a setting of `evaluate`"
    )
    judge.add_argument(
        "--independent",
        action="store_true",
        help="you vouch for independent samples, none selected: they then compare with those of runs",
    )
    judge.add_argument("--json", action="store_true")
    _store(judge)

    extractor = _command(commands, "extractor", keep_extractor, "the pinned extractor that judges a data set")
    extractor.add_argument("action", choices=("status", "renew"))
    extractor.add_argument("data", help="a data set")
    extractor.add_argument(
        "--set", action="append", default=[], metavar="a=b", help="change a setting of `evaluate`"
    )
    extractor.add_argument("--json", action="store_true")
    _store(extractor)


def _data(commands: Any) -> None:
    data = commands.add_parser(
        "data", help="prepare and version data sets", description="Prepare and version data sets."
    )
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = _command(actions, "list", data_list, "known and prepared data sets")
    listing.add_argument("--json", action="store_true")
    prepare = _command(actions, "prepare", data_prepare, "prepare a known data set and version it")
    prepare.add_argument("name", help="mnist5k, digits, emoji, emoji64 or torchvision:CLASS")
    prepare.add_argument("--replace", action="store_true", help="make and pin a new version")
    add = _command(actions, "add", data_add, "prepare your own images and version them")
    add.add_argument("name")
    add.add_argument("source", help="a folder or any fsspec URL; unpack an archive first")
    add.add_argument("--resolution", type=int, help="pixels a side (default: 32 or 64, as fits)")
    add.add_argument("--colour", choices=("auto", "grey", "rgb"), default="auto")
    add.add_argument("--background", default="white", help="what transparent images are laid on")
    add.add_argument("--captions", help="a file of captions")
    add.add_argument(
        "--max-skipped", type=int, help="bad files to bear with (default: 1 %% of them, at least 10)"
    )
    add.add_argument("--replace", action="store_true", help="replace a set of that name from another source")
    status = _command(actions, "status", data_status, "which versions are here, pinned and in the remote")
    status.add_argument("--json", action="store_true")
    versions = _command(actions, "versions", data_versions, "the versions of a data set")
    versions.add_argument("name")
    versions.add_argument("--json", action="store_true")
    for name, text in (
        ("push", "copy versions to the DVC remote"),
        ("pull", "fetch pinned versions from it"),
    ):
        moved = _command(actions, name, data_move, text)
        moved.add_argument("names", nargs="*", help="data sets (default: all)")
        moved.add_argument("--remote", help="a configured DVC remote (default: the default one)")
        moved.set_defaults(direction=name)
    remote = _command(actions, "remote", data_remote, "say where `push` and `pull` go: a folder or s3://...")
    remote.add_argument("url")
    remote.add_argument("--name", default="storage")


def run_pipeline(options: argparse.Namespace) -> int:
    """`atelier run`."""
    from flows import setup, start

    experiment = setup.experiment(config_path(options.config), options.set, options.only, smoke=options.smoke)
    if experiment.sweep:
        raise InputError(f"{options.config} describes a sweep: atelier sweep {options.config}")
    if options.plan:
        start.show_plan(experiment, options.force, as_json=options.json)
        return 0
    record = start.start(
        experiment, force=options.force, explain=options.explain, smoke=options.smoke, command=_command_line()
    )
    if options.json:
        print(json.dumps(start.summary(record)))
    else:
        start.show(record, _open(experiment.store.url))
    return 0 if record["status"] == "done" else 1


def run_sweep(options: argparse.Namespace) -> int:
    """`atelier sweep`."""
    from flows import searching, start

    if options.config is None and options.resume is None:
        raise InputError("name a config to start a sweep, or --resume ID to go on with one")
    if options.config and options.resume not in (None, "last"):
        raise InputError(
            f"{options.config} and --resume {options.resume}: name a config or a run; a config's sweep goes "
            "on where it was interrupted by itself"
        )
    if options.config is None and options.set:
        raise InputError("--resume goes on with the settings of that sweep; --set is for a config")
    resume = None
    if options.config is None:
        store = _open(options.store or STORE)
        record = find_run(store, options.resume, kind="sweep")
        resume, experiment = record["run_id"], searching.interrupted(store, record)
    else:
        where = [f"store.url={options.store}"] if options.store else []
        experiment = searching.from_file(config_path(options.config), [*options.set, *where])
    if options.plan:
        searching.show_plan(experiment, as_json=options.json)
        return 0
    record = start.start(
        experiment, force=options.force, explain=options.explain, command=_command_line(), resume=resume
    )
    store = _open(experiment.store.url)
    if options.json:
        print(json.dumps(start.summary(record) | {"sweep": searching.results(record, store)}))
    else:
        searching.show(record, store)
        start.show(record, store)
    return 0 if record["status"] == "done" else 1


def _command_line() -> str:
    """What was typed, for the record: without folders of this machine and without credentials."""
    from flows.record import public

    return " ".join(["atelier", *(public(argument) for argument in sys.argv[1:])])


def list_families(options: argparse.Namespace) -> None:
    """`atelier families`."""
    from components.families.catalogue import describe_families

    if options.hyperparameters:
        list_hyperparameters(options.hyperparameters, options.json)
        return
    rows = describe_families()
    if options.json:
        print(json.dumps(rows))
        return
    _table(
        ("family", "phases", "needs", "paper"),
        [(r["name"], ", ".join(r["phases"]), ", ".join(r["needs"]) or "-", r["paper"]) for r in rows],
    )


def list_hyperparameters(family: str, as_json: bool) -> None:
    """`atelier families --hyperparameters`."""
    from components.tuning.space import hyperparameters

    rows = [each.described() for each in hyperparameters(family).values()]
    if as_json:
        print(json.dumps(rows))
        return
    _table(
        ("name", "default", "values", "scale", "searched in", "where", "source"),
        [
            (
                r["name"],
                _value(r["default"]),
                _values(r),
                r["scale"],
                "sampling" if r["sampling"] else "training",
                _where(*r["active_if"]) if r["active_if"] else None,
                r["source"],
            )
            for r in rows
        ],
    )


def _where(name: str, *values: Any) -> str:
    """What another setting must be."""
    return f"{name}={' or '.join(map(_value, values))}"


def _value(value: Any) -> str:
    """As in a config file, but shorter."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).replace('"', "")


def _values(row: dict[str, Any]) -> str:
    """A range's ends, or what there is to choose from."""
    if row["kind"] == "range":
        return f"{row['low']:g} to {row['high']:g}"
    return " | ".join(map(_value, row["values"]))


def list_runs(options: argparse.Namespace) -> None:
    """`atelier runs`."""
    store = _open(options.store)
    records = [r for r in (_record(store, run_id) for run_id in reversed(store.list("runs"))) if r]
    if options.json:
        print(json.dumps(records))
        return
    _table(
        ("run", "status", "data", "families", "seconds", "page"),
        [
            (
                r["run_id"],
                standing(r),
                r["lineage"]["data"]["name"],
                ", ".join(r["lineage"]["config"]["families"]),
                f"{r['seconds']:.0f}",
                r["report"] or "-",
            )
            for r in records
        ],
    )


def standing(record: dict[str, Any]) -> str:
    """A run's status; `lost` where it says running, but its heart has stopped: run it again to resume."""
    silent = datetime.now(UTC) - datetime.fromisoformat(record["heartbeat"])
    return "lost" if record["status"] == "running" and silent > LOST else str(record["status"])


def explain_run(options: argparse.Namespace) -> None:
    """`atelier explain`."""
    from flows import start

    store = _open(options.store)
    _table(("stage", "state", "because"), start.explanation(store, find_run(store, options.run)))


def draw_samples(options: argparse.Namespace) -> None:
    """`atelier sample`."""
    from components.sampling.request import Wish
    from components.sampling.to_file import sample_to_file

    folder, places = model_folder(options.run, options.family, options.store)
    names = ("label", "source", "mask", "strength", "steps", "guidance", "sampler")
    wish = Wish(prompts=options.prompt, **{name: getattr(options, name) for name in names})
    for asked in ["--neighbours"] * options.neighbours + ["--prior mixture"] * (options.prior == "mixture"):
        if not places:
            raise InputError(f"{asked}: name a run in the store; a model's folder has no training images")
    if options.prior == "mixture":
        images = sample_mixture(options, folder, f"{places['prepare']}/data")
    else:
        images = sample_to_file(folder, options.output, n=options.n, seed=options.seed, wish=wish)
    print(options.output)
    if options.neighbours:
        from components.evaluation.jobs import write_neighbours

        beside = options.output.with_stem(f"{options.output.stem}-neighbours")
        write_neighbours(images, beside, _open(options.store), places)
        print(beside)


def sample_mixture(options: argparse.Namespace, model: Path, data: str) -> Any:
    """`atelier sample --prior mixture`: images (N, C, H, W)."""
    from components.analysis import mixture_prior

    for name in ("source", "mask", "strength", "steps", "guidance", "sampler", "prompt"):
        if getattr(options, name) not in (None, []):
            raise InputError(f"--{name} does not go with --prior mixture, which draws codes and decodes them")
    own = {name: getattr(options, name) for name in ("n", "seed", "label")}
    return mixture_prior.sample_to_file(model, options.output, _open(options.store), data, **own)


def model_folder(run: str, family: str | None, store: str) -> tuple[Path, dict[str, str]]:
    """The folder of an exported model, and the folders of its run's stages; `run` may be such a folder.

    Raises:
        InputError: the run has no model of the family.
    """
    if is_model(run):
        return Path(run), {}
    opened = _open(store)
    record = find_run(opened, run)
    places, models = stage_folders(record)
    if family not in models:
        known = ", ".join(models) or "none"
        raise InputError(f"run {record['run_id']} has no model of family {family!r}; it has: {known}")
    return opened.local_copy(models[family]), places


def is_model(folder: str) -> bool:
    """Whether a folder holds an exported model."""
    return (Path(folder) / "model.safetensors").exists()


def stage_folders(record: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The folders of a run's finished stages by their name, and those of its exported models by family."""
    there = [s for s in record["stages"] if s["state"] in ("ran", "cached")]
    folders = [(s, f"{s['uri']}/attempts/{s['attempt']}") for s in there]
    exported = {s["family"]: folder for s, folder in folders if s["name"] == "export"}
    return {s["name"]: folder for s, folder in folders}, exported


def score_images(options: argparse.Namespace) -> None:
    """`atelier score`."""
    from components.analysis import anomaly_scores
    from components.data.sources.names import shown
    from components.sampling import reconstruction_error

    model = scoring_model(options.run, options.family, options.store)
    scored, threshold = anomaly_scores.score_folder(
        options.folder, model, options.quantile, options.background
    )
    if options.output:
        anomaly_scores.write_csv(scored, options.output)
    flagged = sum(one.flagged for one in scored)
    if options.json:
        images = [asdict(one) for one in scored]
        print(json.dumps({"threshold": threshold, "flagged": flagged, "images": images}))
        return
    listed = scored[: max(flagged, LISTED)]  # the strangest come first
    rows = [(shown(one.file), f"{one.score:.5f}", "yes" if one.flagged else "") for one in listed]
    _table(("image", "score", "flagged"), rows)
    if len(listed) < len(scored):
        print(f"and {len(scored) - len(listed)} that are less strange; -o FILE.csv and --json have all")
    print(
        f"{flagged} of {len(scored)} images are above {threshold:.5f}, the {options.quantile:g} quantile of "
        f"the {reconstruction_error.MEASURE} of validation images"
    )


def scoring_model(run: str, family: str | None, store: str) -> Path:
    """The folder of the model that scores: of the family, or the first of the run that can."""
    from components.analysis.anomaly_scores import why_not

    if family or is_model(run):
        return model_folder(run, family, store)[0]
    opened = _open(store)
    record = find_run(opened, run)
    for folder in stage_folders(record)[1].values():
        if not why_not(opened.read_json(f"{folder}/config.json")):
            return Path(opened.local_copy(folder))
    raise InputError(f"run {record['run_id']} has no model that encodes images, and none to score them with")


def judge_folder(options: argparse.Namespace) -> None:
    """`atelier evaluate`."""
    from flows import judge, start

    changes = [*options.set, *([f"extractor={options.extractor}"] if options.extractor else [])]
    judged = judge.evaluate(
        options.folder,
        options.data,
        _open(options.store),
        judge.settings(changes),
        split=options.split,
        revision=options.revision,
        independent=options.independent,
        say=_say,
    )
    if options.json:
        print(json.dumps(judged))
    else:
        start.show_judged(judged)


def keep_extractor(options: argparse.Namespace) -> None:
    """`atelier extractor`."""
    from flows import judge

    store = _open(options.store)
    if options.action == "status":
        rows = judge.extractor_status(store, options.data)
        _rows(rows, options.json)
        if not rows and not options.json:
            print(f"no extractor is pinned for {options.data}: the first run or `evaluate` pins one")
        return
    pin = judge.renew_extractor(store, options.data, judge.settings(options.set), _say)
    if options.json:
        print(json.dumps(pin))
    elif pin["changed"]:
        print(
            f"extractor {pin['hash'][:8]} is pinned as number {pin['number']}; older numbers do not compare"
        )
    else:
        print(f"nothing to do: data and code give the extractor that is pinned, {pin['hash'][:8]}")


def make_report(options: argparse.Namespace) -> None:
    """`atelier report`."""
    from components import report

    store = _open(options.store)
    if options.action == "serve":
        report.serve(store, options.port)
    elif options.action == "pull":
        store.download("runs", Path(options.output) / "runs")
        store.download("index.html", Path(options.output) / "index.html")
        print(Path(options.output) / "index.html")
    else:
        for run_id in [find_run(store, options.run)["run_id"]] if options.run else store.list("runs"):
            print(report.build_run(store, run_id))
        print(report.build_index(store))


def examine(options: argparse.Namespace) -> int:
    """`atelier doctor`."""
    from components.diagnostics import checks as diagnostics_checks

    checks = diagnostics_checks.examine(home(), options.store, thorough=options.thorough)
    if options.json:
        print(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            mark = {True: "ok  ", False: "FAIL", None: "warn"}[check.ok]
            print(f"{mark}  {check.name:<22} {check.detail}")
            if check.advice and check.ok is not True:
                print(f"{'':28} -> {check.advice}")
    return 1 if any(check.ok is False for check in checks) else 0


def data_list(options: argparse.Namespace) -> None:
    """`atelier data list`."""
    from components.data.sources.prepare import available

    rows = available(home())
    if options.json:
        print(json.dumps(rows))
        return
    _table(
        ("name", "prepared", "images", "shape", "classes", "title"),
        [
            (
                r["name"],
                "yes" if r["prepared"] else "-",
                f"{sum(r['counts'].values()):,}" if r["prepared"] else "",
                f"{r['channels']}x{r['resolution']}x{r['resolution']}" if r["prepared"] else "",
                (r["classes"] or "-") if r["prepared"] else "",
                r["title"],
            )
            for r in rows
        ],
    )


def data_prepare(options: argparse.Namespace) -> None:
    """`atelier data prepare`."""
    from components.data.sources.prepare import prepare
    from components.data.versioning import dvc

    card = prepare(options.name, home(), replace=options.replace)
    _prepared(card, dvc.track(home(), card.name).version)


def data_add(options: argparse.Namespace) -> None:
    """`atelier data add`."""
    from components.data.sources.prepare import add
    from components.data.versioning import dvc

    names = ("resolution", "colour", "background", "captions", "max_skipped", "replace")
    card = add(options.name, options.source, home(), **{name: getattr(options, name) for name in names})
    _prepared(card, dvc.track(home(), card.name).version)


def _prepared(card: Any, version: str) -> None:
    counts = ", ".join(f"{n:,} {split}" for split, n in card.counts.items())
    classes = f", {card.num_classes} classes" if card.labels else ", unlabelled"
    print(
        f"{card.name}: {counts}; {card.channels}x{card.resolution}x{card.resolution}{classes}; "
        f"version {version[:10]}"
    )
    for reason, count in card.skipped.items():
        print(f"  skipped {count}: {reason}", file=sys.stderr)


def data_status(options: argparse.Namespace) -> None:
    """`atelier data status`."""
    from components.data.versioning import dvc

    _rows(dvc.status(home()), options.json)


def data_versions(options: argparse.Namespace) -> None:
    """`atelier data versions`."""
    from components.data.versioning import pins

    known = pins.versions(home(), options.name)
    if not known:
        raise InputError(f"data set {options.name!r} has no versions: prepare or add it first")
    _rows(known, options.json)


def data_move(options: argparse.Namespace) -> None:
    """`atelier data push` and `atelier data pull`."""
    from components.data.versioning import dvc

    move = dvc.push if options.direction == "push" else dvc.pull
    _rows(move(home(), options.names or None, options.remote), False)


def data_remote(options: argparse.Namespace) -> None:
    """`atelier data remote`."""
    from components.data.versioning import dvc

    dvc.set_remote(home(), options.url, options.name)


def _say(text: str) -> None:
    """Progress goes to standard error."""
    print(text, file=sys.stderr)


def _open(url: str) -> Any:
    from components.store import open_store

    return open_store(url, home())


def _record(store: Any, run_id: str) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = store.read_json(f"runs/{run_id}/run.json")
    except (FileNotFoundError, ValueError):
        return None
    return record


def find_run(store: Any, run_id: str, kind: str | None = None) -> dict[str, Any]:
    """The record of a run; `last` is the newest, or the newest of a kind: run or sweep."""
    known = store.list("runs")
    if run_id == "last" and known:
        of_kind = (one for one in reversed(known) if (_record(store, one) or {}).get("kind") == kind)
        run_id = known[-1] if kind is None else next(of_kind, known[-1])
    record = _record(store, run_id) if run_id in known else None
    if record is None:
        raise InputError(f"there is no run {run_id!r} in the store; `atelier runs` lists {len(known)}")
    return record


def _rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
    elif rows:
        _table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Plain columns, which other programs can read too."""
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
