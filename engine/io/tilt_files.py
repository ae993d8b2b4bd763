"""Tilt files."""


def read_tilt_series(path):
    """PLACEHOLDER until the real reader is in."""
    raise NotImplementedError
