"""An archive as training and filling read it."""
