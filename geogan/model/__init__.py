"""A trained model: its networks, its reconstruction of films, the correction of its errors, and its file."""

from geogan.model.calibration import Calibration
from geogan.model.member_smoothing import Ensemble, fit_smoothing
from geogan.model.member_spread import spread_factor
from geogan.model.model import Model
from geogan.model.model_file import digest, load_model, save_model
from geogan.model.prepare import prepare_archive
from geogan.model.reconstruct import Networks, Reconstruction, reconstruct

__all__ = [
    "Calibration",
    "Ensemble",
    "Model",
    "Networks",
    "Reconstruction",
    "digest",
    "fit_smoothing",
    "load_model",
    "prepare_archive",
    "reconstruct",
    "save_model",
    "spread_factor",
]
