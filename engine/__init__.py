"""Volumes in, objects and measurements out: values, files, physics, simulation, segmentation."""

__version__ = "0.1.0"
