"""`python -m app`: the `tomodx` command without its console script."""

from app.cli import main

if __name__ == "__main__":
    main()
