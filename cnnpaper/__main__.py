"""``python -m cnnpaper``: the command line, in a clean environment."""

import os
import sys

from cnnpaper.files import INTERPRETER_VARIABLES, OTHER_VARIABLES, clean_environment


def main() -> None:
    """Start the command line; where variables have misled this interpreter, start it again."""
    clean = clean_environment()
    if any(name in os.environ for name in INTERPRETER_VARIABLES):
        # the modules of another Python may already be on the path
        os.execve(sys.executable, [sys.executable, "-m", "cnnpaper", *sys.argv[1:]], clean)
    for name in OTHER_VARIABLES:
        os.environ.pop(name, None)
    from cnnpaper.cli import main as start

    start()


if __name__ == "__main__":
    main()
