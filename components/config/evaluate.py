"""The section `evaluate`: how results are evaluated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from components.config.base import Section


class Custom(Section):
    """An extractor of the user's own: a network and its weights, or a TorchScript file.

    Its input is (pixels / 255 - mean) / std, float32 (N, channels, resize, resize); its output (N, dim).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    network: str | None = None  # package.module:Class, or path/to/file.py:Class; None with torchscript
    torchscript: bool = (
        False  # the weights file is a TorchScript module, which is code: sha256 vouches for it
    )
    weights: str  # a .safetensors file, or the TorchScript file; relative to the project
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # of the weights file
    dim: int = Field(ge=1)
    resize: int = Field(ge=8)  # pixels
    channels: Literal[1, 3] = 3
    mean: list[float] = [0.5]  # one for all channels, or one each
    std: list[float] = [0.5]

    @model_validator(mode="after")
    def _one_form(self) -> Custom:
        if (self.network is None) != self.torchscript:
            raise ValueError("name either a network (with .safetensors weights) or torchscript: true")
        return self


class Evaluate(Section):
    """How the results are judged."""

    samples: int = Field(1000, ge=8)  # per side; at most the size of the test split
    seed: int = Field(1_000_000, ge=0)  # of the judged samples; what selects uses others
    extractor: Literal["auto", "classifier", "rotation", "inception", "efficientnet", "custom"] = (
        "auto"  # classifier if the data is labelled, else rotation
    )
    extractor_epochs: int = Field(8, ge=1)  # of classifier and rotation
    inception_path: str | None = None  # the 2015 Inception weights; None: ATELIER_INCEPTION, caches, download
    custom: Custom | None = None
    lpips_path: str | None = None  # LPIPS's AlexNet trunk; None: ATELIER_ALEXNET, torch hub's cache, or none
    threads: int = Field(1, ge=1)  # per judging job: changes bits
    # Drawn for every variant of a family's studies, such as each number of sampling steps; at most the size
    # of the test split. A study compares its variants with each other: few images for many variants show the
    # course, and are not the leaderboard's numbers. 0: no studies.
    study_samples: int = Field(250, ge=0)
    uses: bool = True  # what codes are good for, of families that encode images
    # Classes by name, each left out of the training of one more model, which is then to find it strange;
    # "all": every class in turn. For families that encode images, and are not told their class.
    held_out: Literal["all"] | tuple[str, ...] = ()

    @field_validator("held_out", mode="before")
    @classmethod
    def _by_name(cls, asked: Any) -> Any:
        """One class needs no list, and the names of digits are numbers to YAML."""
        if asked == "all":
            return asked
        names = asked if isinstance(asked, list | tuple) else (asked,)
        if not all(isinstance(name, str | int | float) and not isinstance(name, bool) for name in names):
            raise ValueError("names of classes are wanted, such as [3, 7], or all")
        return tuple(map(str, names))

    @model_validator(mode="after")
    def _described(self) -> Evaluate:
        if 0 < self.study_samples < 8:
            raise ValueError(f"study_samples={self.study_samples} are too few to judge; give 0 or at least 8")
        if self.held_out and not self.uses:
            raise ValueError("held_out is for what codes are good for, which uses=false turns off")
        if (self.extractor == "custom") != (self.custom is not None):
            raise ValueError("extractor: custom and a section custom go together")
        return self
