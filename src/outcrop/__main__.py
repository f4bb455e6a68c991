"""``python -m outcrop`` is the command line."""

from outcrop.cli.app import main

if __name__ == "__main__":
    main()
