"""Image formation: contrast transfer, missing wedge, projection, reconstruction."""
