"""Products: filled stores that survive kills, resume and grow."""
