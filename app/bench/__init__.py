"""Benchmarks behind `tomodx bench`, one file each."""
