"""The physics of measuring: how a field becomes a gappy, noisy, blurred measurement."""
