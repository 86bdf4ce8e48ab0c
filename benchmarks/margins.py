"""EQ-T of a trained StyleGAN3 with other margins around its canvas, which have no weights.

    python benchmarks/margins.py output/.../model [--margins 2 4 6 8 10] [--samples 32]

What a shift moves in from outside comes from the margin; where that is too narrow, zeros of the convolutions'
padding come in instead. The folder is that of a training's or an export's model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from components.evaluation.equivariance import MotionErrors
from components.families.artifact import load_model
from components.sampling import generate

PEAK_TO_PEAK = 2.0  # of pixels


def eq_t(folder: Path, margin: int, samples: int) -> float:
    """Return EQ-T in dB (Eq. 1 of Karras et al. 2021) of the model in a folder, sampled with a margin."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "model"
        shutil.copytree(folder, copy)
        config = json.loads((copy / "config.json").read_text())
        config["config"]["margin"] = margin
        (copy / "config.json").write_text(json.dumps(config))
        generator, card, _ = load_model(copy)
    recorder = MotionErrors(generator.eval(), 0, 0)
    generate.draw(recorder, card, n=samples, seed=0, start=0, device="cpu")
    return float(10 * np.log10(PEAK_TO_PEAK**2 / np.concatenate(recorder.shifts).mean()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--margins", type=int, nargs="*", default=[2, 4, 6, 8, 10])
    parser.add_argument("--samples", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for margin in args.margins:
        print(f"margin {margin:3}: EQ-T {eq_t(args.model, margin, args.samples):5.1f} dB", flush=True)


if __name__ == "__main__":
    main()
