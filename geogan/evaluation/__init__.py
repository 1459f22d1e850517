"""Scores: the model and its rivals on withheld cells."""
