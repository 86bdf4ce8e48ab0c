"""The experiment: the data, the families, and how they are trained, evaluated, judged and published.

`families` holds a block per family: the fields of its Config and, under `train`, its changes to the common
training settings. Results depend only on the experiment and the data.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from components.common.errors import InputError
from components.common.validation import checked_name
from components.config.base import Section
from components.config.evaluate import Evaluate
from components.config.gate import Gate
from components.config.sweep import Sweep
from components.config.train import Train

CLUSTERS = ("ray", "http", "https")  # the protocols of addresses of clusters


def checked_address(address: str) -> str:
    """Return the address of a Ray cluster; raise ValueError if it is none."""
    try:
        parts = urlsplit(address)
        valid = bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
    except ValueError:  # the port is no number
        valid = False
    if not valid or parts.scheme not in CLUSTERS or "@" in address or parts.query or parts.fragment:
        raise ValueError(
            "expected ray://HOST:10001 for a run of this process with the workers of a cluster, or "
            "http://HOST:8265 for a Ray job; tokens belong in RAY_AUTH_TOKEN"
        )
    return address.rstrip("/")


class Data(Section):
    """The data set and its version."""

    name: Annotated[str, AfterValidator(checked_name)] = "mnist5k"
    revision: str | None = None  # a git revision or a data version; None: the pinned one
    refresh: bool = False  # whether each run reads the source of an added set again; changes make a version
    horizontal_flip: bool = False  # mirror training images at random; wrong for digits and letters


class Publish(Section):
    """The place where results are published."""

    url: str | None = None  # any fsspec URL; None: published/ in the store
    formats: tuple[Literal["onnx", "torch_export"], ...] = ()  # besides weights, for use without Atelier


def checked_folder(folder: str) -> str:
    """Return the path of a folder of this machine; raise ValueError if it is a URL."""
    if "://" in folder or not folder:
        raise ValueError("expected a folder of this machine")
    return folder


Tool = Literal["tensorboard", "mlflow", "wandb"]
"""What the metrics of a run can be exported to."""


class Store(Section):
    """The store of all results."""

    url: str = "output"  # a folder (relative to the project) or any fsspec URL


class Price(Section):
    """The price of an hour of a worker, for the costs that `atelier runs` lists."""

    worker_hour: float = Field(0.0, ge=0)
    currency: str = Field("EUR", min_length=1, max_length=8)


Families = dict[str, dict[str, Any]]
"""Settings by family, as a config has them."""


class Experiment(Section):
    """The complete configuration of a run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda if this machine has a GPU
    cluster: Annotated[str, AfterValidator(checked_address)] | None = None  # None: this machine
    data: Data = Data()
    families: Families = Field(min_length=1)
    train: dict[str, Any] = {}
    evaluate: Evaluate = Evaluate()
    sweep: Sweep | None = None
    gate: Gate = Gate()
    publish: Publish = Publish()
    store: Store = Store()
    # Who is told of failed runs, champions, reviews and unhealthy trainings: URLs of Apprise, or "$NAME" for
    # one in an environment variable. No record has them.
    notify: list[str] = []
    price: Price = Price()
    # Other tools that get the metrics and samples at the end of a run, each with its folder.
    export_metrics: dict[Tool, Annotated[str, AfterValidator(checked_folder)]] = {}

    @field_validator("families")
    @classmethod
    def _with_settings(cls, families: Families) -> Families:
        for family, block in families.items():
            if not isinstance(block.get("train", {}), dict):
                raise ValueError(f"{family}.train must contain settings such as `steps: 100`")
        return families

    @property
    def swept(self) -> str:
        """The family that the sweep searches.

        Raises:
            InputError: there is no section sweep, or it does not determine the family.
        """
        if self.sweep is None:
            raise InputError("this config has no section sweep: use `atelier run`")
        family = self.sweep.family or (next(iter(self.families)) if len(self.families) == 1 else None)
        if family not in self.families:
            names = ", ".join(self.families)
            raise InputError(f"sweep.family={family!r}: name the family to search, one of: {names}")
        return family

    @property
    def smoke(self) -> bool:
        """Whether its trainings are those of `--smoke`."""
        return any(self.training(family).smoke for family in self.families)

    def training(self, family: str) -> Train:
        """Return the training settings of `family`: the common ones with its changes."""
        return Train(**{**self.train, **self.families[family].get("train", {})})
