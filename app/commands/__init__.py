"""Command groups of `tomodx`, one file each."""
