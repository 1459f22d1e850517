"""Figures: maps, reconstructions, training curves and scores. No figure needs a network connection."""

from geogan.plotting.field_map import plot_field
from geogan.plotting.figure_file import figure_path
from geogan.plotting.flags import observed_part
from geogan.plotting.identifiability import plot_identifiability
from geogan.plotting.masks import plot_masks
from geogan.plotting.reconstruction import plot_reconstruction
from geogan.plotting.score_figures import plot_ranks, plot_reliability, plot_spectra
from geogan.plotting.selection import select_band, select_date
from geogan.plotting.training_curves import plot_training

__all__ = [
    "figure_path",
    "observed_part",
    "plot_field",
    "plot_identifiability",
    "plot_masks",
    "plot_ranks",
    "plot_reconstruction",
    "plot_reliability",
    "plot_spectra",
    "plot_training",
    "select_band",
    "select_date",
]
