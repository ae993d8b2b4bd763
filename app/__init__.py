"""Command line, web pages, jobs and the wiring of all layers."""
