"""Algorithm 1: from a field to a trained model."""

from geogan.training.checkpoint import Checkpoint, claimed
from geogan.training.loop import Progress
from geogan.training.objective import prior_discriminator, prior_generator
from geogan.training.run import train_model
from geogan.training.run_log import RunLog
from geogan.training.setup import Inputs, prepare_training, settings_json
from geogan.training.state_file import read_state_text, saved_step

__all__ = [
    "Checkpoint",
    "Inputs",
    "Progress",
    "RunLog",
    "claimed",
    "prepare_training",
    "prior_discriminator",
    "prior_generator",
    "read_state_text",
    "saved_step",
    "settings_json",
    "train_model",
]
