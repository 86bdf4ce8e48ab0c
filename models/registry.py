"""The model families: one file per paper, each a list of phases (see models/family.py)."""

from __future__ import annotations

from models.autoencoder import Autoencoder
from models.cgan import CGAN
from models.cyclegan import CycleGAN
from models.dcgan import DCGAN
from models.diffusion import Diffusion
from models.esrgan import ESRGAN
from models.family import Family
from models.gan import GAN
from models.inpainting import Inpainting
from models.kl_vae import KLVAE
from models.latent_diffusion import LatentDiffusion
from models.palette import Palette
from models.pix2pix import Pix2Pix
from models.r3gan import R3GAN
from models.rrdb import RRDB
from models.sngan import SNGAN
from models.stylegan import StyleGAN
from models.stylegan2 import StyleGAN2
from models.stylegan3 import StyleGAN3
from models.super_resolution import SuperResolution
from models.vae import VAE
from models.vqvae import VQVAE
from models.wgan import WGAN
from models.wgan_gp import WGANGP

FAMILIES: dict[str, type[Family]] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "vqvae": VQVAE,
    "gan": GAN,
    "dcgan": DCGAN,
    "wgan": WGAN,
    "wgan_gp": WGANGP,
    "sngan": SNGAN,
    "cgan": CGAN,
    "r3gan": R3GAN,
    "stylegan": StyleGAN,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "rrdb": RRDB,
    "esrgan": ESRGAN,
    "diffusion": Diffusion,
    "super_resolution": SuperResolution,
    "palette": Palette,
    "inpainting": Inpainting,
    "kl_vae": KLVAE,
    "latent_diffusion": LatentDiffusion,
}
