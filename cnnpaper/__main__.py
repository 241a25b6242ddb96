"""``python -m cnnpaper``: the command line, in a clean environment."""

import os
import sys

from cnnpaper.files import clean_environment


def main() -> None:
    """Start the command line; where variables would mislead it, in a new interpreter without."""
    clean = clean_environment()
    if len(clean) < len(os.environ):
        # the modules of another Python may already be on the path
        os.execve(sys.executable, [sys.executable, "-m", "cnnpaper", *sys.argv[1:]], clean)
    from cnnpaper.cli import main as start

    start()


if __name__ == "__main__":
    main()
