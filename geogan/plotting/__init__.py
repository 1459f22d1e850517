"""Maps, reconstructions, training curves; no network is needed."""

from geogan.plotting.field_map import plot_field
from geogan.plotting.figure_file import figure_path
from geogan.plotting.flags import observed_part
from geogan.plotting.reconstruction import plot_reconstruction
from geogan.plotting.selection import select_band, select_date
from geogan.plotting.training_curves import plot_training

__all__ = [
    "figure_path",
    "observed_part",
    "plot_field",
    "plot_reconstruction",
    "plot_training",
    "select_band",
    "select_date",
]
