"""What a training leaves: all that filling needs."""
