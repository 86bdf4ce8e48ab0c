"""The section `evaluate`: how results are evaluated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from components.config.base import Section


class Custom(Section):
    """A custom extractor: a network and its weights, or a TorchScript file.

    Its input is (pixels / 255 - mean) / std, float32 (N, channels, resize, resize); its output is (N, dim).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    network: str | None = None  # package.module:Class, or path/to/file.py:Class; None with torchscript
    torchscript: bool = False  # the weights file is a TorchScript module: code, therefore the sha256
    weights: str  # a .safetensors file, or the TorchScript file; relative to the project
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # of the weights file
    dim: int = Field(ge=1)
    resize: int = Field(ge=8)  # pixels
    channels: Literal[1, 3] = 3
    mean: list[float] = [0.5]  # one value, or one per channel
    std: list[float] = [0.5]

    @model_validator(mode="after")
    def _one_form(self) -> Custom:
        if (self.network is None) != self.torchscript:
            raise ValueError("give either a network (with .safetensors weights) or torchscript: true")
        return self


class Evaluate(Section):
    """The settings of evaluations."""

    samples: int = Field(1000, ge=8)  # generated and real; at most the size of the test split
    seed: int = Field(1_000_000, ge=0)  # of the evaluated samples; selection uses other seeds
    # auto: classifier if the data has labels, else rotation.
    extractor: Literal["auto", "classifier", "rotation", "inception", "efficientnet", "custom"] = "auto"
    # Of classifier and rotation, of 64 images each. None: 8 epochs, and at least 400, which small data needs.
    extractor_steps: int | None = Field(None, ge=1)
    inception_path: str | None = None  # the 2015 Inception weights; None: ATELIER_INCEPTION, caches, download
    custom: Custom | None = None
    lpips_path: str | None = None  # LPIPS's AlexNet; None: ATELIER_ALEXNET or torch hub's cache, if present
    # Images of each split in the reference, at most, which results are compared with; None: all.
    reference_images: int | None = Field(None, ge=8)
    threads: int = Field(1, ge=1)  # per evaluation job; changes bits
    # Samples per variant of a family's ablations, such as each number of sampling steps; at most the size of
    # the test split. Fewer than for the leaderboard suffice to compare the variants with each other, but the
    # values are not the leaderboard's. 0: no ablations.
    ablation_samples: int = Field(250, ge=0)
    latent_analysis: bool = True  # analyse the latent space of families that encode images
    # Training images that the analyses use, at most, and a fifth as many of each other split.
    analysis_images: int = Field(5000, ge=40)
    # Of the classifier of the classification accuracy score, whose values compare at the same number only.
    classifier_steps: int = Field(400, ge=1)
    # Names of classes, or "all". For each class a model is trained without it, and should then score its
    # images as anomalous. For families that encode images and are not class-conditional.
    held_out_classes: Literal["all"] | tuple[str, ...] = ()

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _class_names(cls, value: Any) -> Any:
        """Accept a single class without a list, and names of digits, which YAML reads as numbers."""
        if value == "all":
            return value
        names = value if isinstance(value, list | tuple) else (value,)
        if not all(isinstance(name, str | int | float) and not isinstance(name, bool) for name in names):
            raise ValueError("give names of classes, such as [3, 7], or all")
        return tuple(map(str, names))

    @model_validator(mode="after")
    def _consistent(self) -> Evaluate:
        if 0 < self.ablation_samples < 8:
            raise ValueError(f"ablation_samples={self.ablation_samples} is too few; give 0 or at least 8")
        if self.held_out_classes and not self.latent_analysis:
            raise ValueError(
                "held_out_classes is part of the latent analysis, which latent_analysis=false turns off"
            )
        if (self.extractor == "custom") != (self.custom is not None):
            raise ValueError("extractor: custom needs a section custom, and a section custom needs it")
        return self
