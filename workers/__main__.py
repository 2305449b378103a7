"""The command `clearance`, for a parent that knows only its own Python: `python -m workers`."""

from workers.cli import main

if __name__ == "__main__":
    main()
