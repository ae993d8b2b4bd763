"""What a subtomogram is, how surely, and whether it is none of what is known."""
