"""Find out in milliseconds whether TeX can set the paper, and install it where that is possible.

    python3 -m cnnpaper.texsetup

Runs on a bare Python. On Debian and Ubuntu, as root or with sudo that asks no password, what is
missing is installed with apt after saying so; anywhere else the command to type is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cnnpaper.errors import UserError

PROGRAMS = ("xelatex", "latexmk", "bibtex", "kpsewhich", "pdftotext", "pdftoppm", "pdffonts")
PACKAGE = re.compile(r"\\(?:RequirePackage|usepackage)\s*(?:\[[^]]*\])?\s*\{([^}]*)\}")
FONT_FILES = ("lmroman10-regular.otf", "lmsans10-regular.otf", "lmmono10-regular.otf")
REPORT = Path("report")
FONTS = ("NanumMyeongjo", "NanumGothic")

DEBIAN = [
    *("latexmk", "texlive-latex-recommended", "texlive-latex-extra", "texlive-fonts-recommended"),
    *("texlive-science", "lmodern", "poppler-utils", "texlive-xetex", "fonts-nanum"),
]
"""Packages of Debian 12 and Ubuntu, 180 MB to download."""

BY_HAND = f"""\
  Debian, Ubuntu:  sudo apt-get install --no-install-recommends {" ".join(DEBIAN)}
  Fedora:          sudo dnf install texlive-scheme-medium texlive-collection-latexextra \
texlive-collection-mathscience latexmk poppler-utils naver-nanum-myeongjo-fonts \
naver-nanum-gothic-fonts
  Arch:            sudo pacman -S texlive-xetex texlive-latexextra texlive-fontsrecommended \
texlive-mathscience texlive-binextra poppler   (Nanum fonts: ttf-nanum from the AUR)
  macOS:           brew install poppler && brew install --cask mactex-no-gui font-nanum-myeongjo \
font-nanum-gothic"""


def tex_files(report: Path) -> list[str]:
    """The TeX packages that the style file and the templates in ``report`` load, and font files."""
    sources = [*report.glob("*.sty"), *report.glob("*.tex.j2")]
    found = [names for path in sources for names in PACKAGE.findall(path.read_text("utf-8"))]
    packages = {f"{name.strip()}.sty" for names in found for name in names.split(",")}
    return sorted(packages - {path.name for path in sources}) + list(FONT_FILES)


def missing(report: Path) -> list[str]:
    """The programs, TeX files and fonts that the paper in ``report`` needs and that are absent."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if "kpsewhich" not in absent:
        needed = tex_files(report)
        found = {Path(line).name for line in _output("kpsewhich", *needed)}
        absent += [name for name in needed if name not in found]
    if shutil.which("fc-list"):  # macOS has none: XeTeX asks the system itself there
        families = "\n".join(_output("fc-list", ":", "family")).replace(" ", "")
        absent += [f"font {name}" for name in FONTS if name not in families]
    return absent


def _output(*command: str) -> list[str]:
    """Lines that a program prints, whatever its exit code: kpsewhich has 1 for a missing file."""
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout.decode("utf-8", errors="replace").splitlines()


def check() -> None:
    """Refuse to go on without TeX.

    Raises:
        UserError: what is missing, and the command that installs it, for each kind of system.
    """
    if absent := missing(REPORT):
        raise UserError(f"TeX is not complete here; missing: {', '.join(absent)}\n{BY_HAND}")


def _apt() -> list[str] | None:
    """How to call apt-get with the rights to install, or None where that is not to be had."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    return None


def install() -> None:
    """Make sure that TeX is complete: nothing to do, apt, or an error with the command to type.

    Raises:
        UserError: it has to be installed by hand, or apt failed.
    """
    absent = missing(REPORT)
    apt = _apt()
    if not absent:
        return
    if apt is None:
        check()
        return
    _say(f"the paper needs TeX; missing here: {', '.join(absent)}")
    _say("installing with apt-get, about 180 MB to download, a minute or two:")
    _say(" ".join(DEBIAN))
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *DEBIAN]):
        # the packages' own messages would bury ours; apt's errors are on the other stream
        done = subprocess.run([*apt, "-qq", *arguments], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise UserError(
                f"apt-get {arguments[0]} ended with code {done.returncode} (reason above)\n"
                "mend that, or install TeX by hand, and run the same make target again:\n"
                f"{BY_HAND}"
            )
    check()


def _say(text: str) -> None:
    print(f"cnnpaper: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit code: 0, 2 where the user has to do something, 130 for Ctrl-C."""
    try:
        install()
    except UserError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("interrupted; run the same target again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
