"""The networks: generators, discriminators and what predicts the error."""

from collections.abc import Callable

from geogan.model.networks.dense import DenseDiscriminator, DenseGenerator
from geogan.model.networks.discriminator import DenseHeadDiscriminator, Discriminator
from geogan.model.networks.error import ErrorNet
from geogan.model.networks.protocol import Critic, Generator
from geogan.model.networks.sagan import SaganDiscriminator, SaganGenerator
from geogan.model.networks.spread_table import SpreadTable
from geogan.model.networks.unet import UNet

# By their names on the command line; all take frames, channels and width, and those of ONE_SIZE the size of a window.
GENERATORS: dict[str, Callable[..., Generator]] = {"unet": UNet, "sagan": SaganGenerator, "dense": DenseGenerator}
DISCRIMINATORS: dict[str, Callable[..., Critic]] = {
    "convolutional": Discriminator,
    "dense_head": DenseHeadDiscriminator,
    "dense": DenseDiscriminator,
    "sagan": SaganDiscriminator,
}
ONE_SIZE = ("dense_head", "dense")
ErrorModel = ErrorNet | SpreadTable
"""What predicts the standard deviation of the error: a trained network, or the table of a Gaussian posterior."""

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "ONE_SIZE",
    "Critic",
    "Discriminator",
    "ErrorModel",
    "ErrorNet",
    "Generator",
    "SpreadTable",
]
