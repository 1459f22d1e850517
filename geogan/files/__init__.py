"""Files and folders that people name: safe paths, locks, atomic replacement, checked JSON."""
