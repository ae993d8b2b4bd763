"""Named numeric features of a case."""
