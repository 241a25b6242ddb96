"""``python -m cnnpaper``: the same command line as ``cnnpaper``."""

from cnnpaper.cli import main

if __name__ == "__main__":
    main()
