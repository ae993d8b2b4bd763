"""Migrations of the store, oldest first by their number."""
