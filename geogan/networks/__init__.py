"""The generator and the discriminator."""

from geogan.networks.discriminator import Discriminator
from geogan.networks.unet import UNet

__all__ = ["Discriminator", "UNet"]
