"""`atelier sample` and `atelier score`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from flows.cli.shared import (
    add_command,
    add_store,
    find_run,
    is_model,
    model_folder,
    open_named_store,
    print_table,
    stage_folders,
)

LISTED = 20  # images that `score` prints at least, flagged or not


def add_sample(commands: Any) -> None:
    """Add `sample`."""
    sample = add_command(commands, "sample", draw_samples, "draw samples of an exported model")
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
    add_store(sample)


def add_score(commands: Any) -> None:
    """Add `score`."""
    score = add_command(commands, "score", score_images, "flag images that a model finds strange")
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
    add_store(score)


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
        write_neighbours(images, beside, open_named_store(options.store), places)
        print(beside)


def sample_mixture(options: argparse.Namespace, model: Path, data: str) -> Any:
    """`atelier sample --prior mixture`: images (N, C, H, W)."""
    from components.analysis import mixture_prior

    for name in ("source", "mask", "strength", "steps", "guidance", "sampler", "prompt"):
        if getattr(options, name) not in (None, []):
            raise InputError(f"--{name} does not go with --prior mixture, which draws codes and decodes them")
    own = {name: getattr(options, name) for name in ("n", "seed", "label")}
    return mixture_prior.sample_to_file(model, options.output, open_named_store(options.store), data, **own)


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
    print_table(("image", "score", "flagged"), rows)
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
    opened = open_named_store(store)
    record = find_run(opened, run)
    for folder in stage_folders(record)[1].values():
        if not why_not(opened.read_json(f"{folder}/config.json")):
            return Path(opened.local_copy(folder))
    raise InputError(f"run {record['run_id']} has no model that encodes images, and none to score them with")
