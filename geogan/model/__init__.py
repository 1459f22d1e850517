"""A trained model: its networks, its reconstruction of films, the correction of its errors, and its file."""

from geogan.model.calibration import Calibration
from geogan.model.description import describe_model
from geogan.model.member_noise import draws_at
from geogan.model.member_smoothing import Ensemble, fit_smoothing
from geogan.model.member_spread import spread_factor
from geogan.model.model import Model, grid_of
from geogan.model.model_file import digest, load_model, save_model
from geogan.model.prepare import prepare_archive
from geogan.model.reconstruct import Networks, Reconstruction, fill_film, reconstruct
from geogan.model.spectra import Spectrum, SpectrumTally

__all__ = [
    "Calibration",
    "Ensemble",
    "Model",
    "Networks",
    "Reconstruction",
    "Spectrum",
    "SpectrumTally",
    "describe_model",
    "digest",
    "draws_at",
    "fill_film",
    "fit_smoothing",
    "grid_of",
    "load_model",
    "prepare_archive",
    "reconstruct",
    "save_model",
    "spread_factor",
]
