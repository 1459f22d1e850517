"""The rivals, one file a method."""
