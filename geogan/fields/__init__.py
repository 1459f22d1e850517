"""Labelled fields: axes, dates, places, variables, and what is known beside them."""
