"""The model families by name: one file per paper, each a list of phases (see models/family.py)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.family import Family


class Registry(MutableMapping[str, "type[Family]"]):
    """Families by name. A family is imported when it is looked up, so that names do not need PyTorch."""

    def __init__(self, classes: Mapping[str, str]):
        self._classes: dict[str, str | type[Family]] = dict(classes)

    def __getitem__(self, name: str) -> type[Family]:
        family = self._classes[name]
        if isinstance(family, str):
            module, _, class_name = family.partition(":")
            family = self._classes[name] = getattr(importlib.import_module(module), class_name)
        return family

    def modules(self) -> list[str]:
        """Return the modules that define the families."""
        return [c.partition(":")[0] if isinstance(c, str) else c.__module__ for c in self._classes.values()]

    def __setitem__(self, name: str, family: type[Family]) -> None:
        self._classes[name] = family

    def __delitem__(self, name: str) -> None:
        del self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


FAMILIES = Registry(
    {
        "autoencoder": "models.autoencoder:Autoencoder",
        "vae": "models.vae:VAE",
        "vqvae": "models.vqvae:VQVAE",
        "gan": "models.gan:GAN",
        "dcgan": "models.dcgan:DCGAN",
        "wgan": "models.wgan:WGAN",
        "wgan_gp": "models.wgan_gp:WGANGP",
        "sngan": "models.sngan:SNGAN",
        "cgan": "models.cgan:CGAN",
        "r3gan": "models.r3gan:R3GAN",
        "stylegan": "models.stylegan:StyleGAN",
        "stylegan2": "models.stylegan2:StyleGAN2",
        "stylegan3": "models.stylegan3:StyleGAN3",
        "pix2pix": "models.pix2pix:Pix2Pix",
        "cyclegan": "models.cyclegan:CycleGAN",
        "rrdb": "models.rrdb:RRDB",
        "esrgan": "models.esrgan:ESRGAN",
        "diffusion": "models.diffusion:Diffusion",
        "super_resolution": "models.super_resolution:SuperResolution",
        "palette": "models.palette:Palette",
        "inpainting": "models.inpainting:Inpainting",
        "kl_vae": "models.kl_vae:KLVAE",
        "latent_diffusion": "models.latent_diffusion:LatentDiffusion",
    }
)
