"""Atelier in Python: load and sample models, evaluate images, run experiments.

    import atelier
    model = atelier.load("FOLDER")
    atelier.sheet(model.sample(16, seed=0)).save("drawn.png")

Loading and sampling import neither Prefect nor Ray. Invalid input raises InputError, a ValueError, and a run
that fails on valid input RunError, a RuntimeError; their messages are sentences for people.
"""

from atelier.evaluation import evaluate
from atelier.experiments import run, runs
from atelier.images import sheet
from atelier.model import Model, load
from components.common.errors import InputError, RunError

__all__ = ["InputError", "Model", "RunError", "evaluate", "load", "run", "runs", "sheet"]
