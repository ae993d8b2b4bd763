"""Readers and writers of the files at the border."""
