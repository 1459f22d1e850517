"""Algorithm 1: from a field to a trained model."""
