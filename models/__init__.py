"""The model families: one file per paper, each a list of phases (see models/family.py)."""

from __future__ import annotations

from models.autoencoder import Autoencoder
from models.dcgan import DCGAN
from models.diffusion import Diffusion
from models.family import Family
from models.vae import VAE

FAMILIES: dict[str, type[Family]] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "dcgan": DCGAN,
    "diffusion": Diffusion,
}
