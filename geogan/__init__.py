"""Fill the gaps in geophysical fields by learning from the gappy measurements alone."""
