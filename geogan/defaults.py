"""Default settings, said once: the command line shows them without importing torch."""

WINDOW = 2
"""Frames on each side of a date, in time steps of the archive."""

WIDTH = 32
"""Channels of the networks' first layer."""

CROP = 64
"""Side of a training window, in grid cells."""

BATCH = 8
"""Training windows a step."""

MEMBERS = 1
"""Draws of the ensemble in a training step; 1 for none."""

WEIGHT_PRIOR = 0.02
"""Weight of the adversarial prior term, unitless."""

WEIGHT_LIKELIHOOD = 0.1
"""Weight of the likelihood term, unitless."""

WEIGHT_WITHHELD = 1.0
"""Weight of the withheld term, unitless."""

MINUTES = 10.0
"""Length of a training run, in minutes, where neither steps nor minutes are given."""

SEED = 0
"""Seed of every random draw."""
