"""Simulated tomograms with exact truth."""
