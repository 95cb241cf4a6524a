"""`python -m monochord`."""

from monochord.cli import main

if __name__ == "__main__":
    main()
