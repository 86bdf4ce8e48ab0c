"""Settings that count steps or images of training."""

from components.config.train import Train
from models.dcgan import DCGANConfig
from models.step_counts import step_counts
from models.stylegan import StyleGANConfig
from models.vae import VAEConfig


def test_settings_that_count_steps_are_marked() -> None:
    assert step_counts(DCGANConfig) == {"instance_noise_steps", "instance_noise_from", "ada_steps"}
    assert step_counts(VAEConfig) == {"beta_warmup"}
    assert step_counts(StyleGANConfig) >= {"stable_images", "fade_images", "ada_steps"}
    assert step_counts(Train) == {"warmup_steps"}
