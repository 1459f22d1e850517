"""The verbs, one function a file."""
