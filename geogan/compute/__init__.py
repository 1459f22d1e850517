"""Threads, processes, devices, and passes over arrays by whole chunks."""
