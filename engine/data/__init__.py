"""Frozen values that cross file borders."""
