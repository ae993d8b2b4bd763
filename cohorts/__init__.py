"""Donors, tomograms and their numeric tables: manifest, store, splits, statistics."""
