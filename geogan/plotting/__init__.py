"""Figures: maps, reconstructions, training curves and scores. No figure needs a network connection."""

from geogan.plotting.animation import animate
from geogan.plotting.field_map import plot_field
from geogan.plotting.figure_file import figure_path
from geogan.plotting.hovmoller import plot_hovmoller
from geogan.plotting.identifiability import plot_identifiability
from geogan.plotting.map_style import MapStyle
from geogan.plotting.masks import plot_masks
from geogan.plotting.members import plot_members
from geogan.plotting.methods import plot_methods
from geogan.plotting.reconstruction import plot_reconstruction
from geogan.plotting.score_figures import score_figures
from geogan.plotting.training_curves import plot_training

__all__ = [
    "MapStyle",
    "animate",
    "figure_path",
    "plot_field",
    "plot_hovmoller",
    "plot_identifiability",
    "plot_masks",
    "plot_members",
    "plot_methods",
    "plot_reconstruction",
    "plot_training",
    "score_figures",
]
