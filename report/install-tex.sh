#!/bin/sh
# Find out in a moment whether TeX can set the paper; install what is missing where apt can be
# asked (as root, or by a sudo that asks no password); elsewhere print the command to type.
set -eu
say() { echo "cnnpaper: $*" >&2; }

debian="latexmk texlive-xetex texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended \
lmodern fonts-nanum poppler-utils" # Debian 12, Ubuntu 24.04: 180 MB to download

missing() {
    for program in xelatex xdvipdfmx latexmk kpsewhich pdftoppm; do
        command -v "$program" >/dev/null || echo "$program"
    done
    command -v kpsewhich >/dev/null || return 0
    # the packages that the templates load, one a line, and a font
    files=$(cat report/layout/*.sty report/layout/*.tex.j2 | tr '\n' ' ' |
        grep -oE '\\(RequirePackage|usepackage) *(\[[^]]*\])? *\{[^}]*\}' |
        sed 's/.*{//; s/}.*//' | tr ',' '\n' | sed '/^cnnpaper$/d; s/ //g; s/..*/&.sty/' | sort -u)
    found=$(kpsewhich $files lmroman10-regular.otf || true)
    for file in $files lmroman10-regular.otf; do
        case $found in *"/$file"*) ;; *) echo "$file" ;; esac
    done
    command -v fc-list >/dev/null || return 0 # macOS has none: XeTeX asks the system itself there
    fonts=$(fc-list : family | tr -d ' ')
    for font in NanumMyeongjo NanumGothic; do
        case $fonts in *$font*) ;; *) echo "the font $font" ;; esac
    done
}
by_hand() {
    cat >&2 <<END
  Debian, Ubuntu:  sudo apt-get install --no-install-recommends $debian
  Fedora:          sudo dnf install texlive-scheme-medium texlive-collection-latexextra latexmk \
poppler-utils naver-nanum-myeongjo-fonts naver-nanum-gothic-fonts
  Arch:            sudo pacman -S texlive-xetex texlive-latexextra texlive-fontsrecommended \
texlive-binextra poppler   (Nanum fonts: ttf-nanum from the AUR)
  macOS:           brew install poppler && brew install --cask mactex-no-gui font-nanum-myeongjo \
font-nanum-gothic
END
    exit 2
}
missing_here() { missing | paste -sd, - | sed 's/,/, /g'; }

absent=$(missing_here)
[ -n "$absent" ] || exit 0
say "the paper needs TeX; missing here: $absent"
apt=
if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        apt="sudo -n DEBIAN_FRONTEND=noninteractive apt-get -qq"
    fi
fi
if [ -z "$apt" ]; then
    say "install it by the command for your system, then rerun:"
    by_hand
fi
say "installing with apt-get, about 180 MB to download, a minute or two: $debian"
# apt's errors go to the other stream
if ! $apt update >/dev/null || ! $apt install --yes --no-install-recommends $debian >/dev/null; then
    say "apt-get failed (its reason is above); fix that or install TeX by hand, then rerun:"
    by_hand
fi
absent=$(missing_here)
[ -z "$absent" ] || { say "still missing: $absent; install it by hand, then rerun:"; by_hand; }
