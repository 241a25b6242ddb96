#!/bin/sh
# Make a Python environment from uv.lock, or do nothing where it is complete:
#
#     sh cnnpaper/environment.sh .venv                   report and command line, no torch
#     sh cnnpaper/environment.sh .venv-train train dev   with torch and the developer's tools
#
# What it was made from is written into the environment last and removed first, so that one whose
# set-up was interrupted is set up again. The Makefile calls this with a clean environment.
set -eu
folder=$1
shift
stamp=$folder/made-from # this folder (scripts hold its path), the groups, and the lock
say() { echo "cnnpaper: $*" >&2; }
stop() { say "$*"; exit 2; }

[ -f uv.lock ] || stop "uv.lock is missing here: start in the root of the repository"
complete() { [ -x "$folder/bin/python" ] && { pwd -P; echo "$1"; cat uv.lock; } | cmp -s - "$stamp"; }
complete "$*" && exit 0

# one set-up at a time, where the system has flock; the installer inherits the lock
mkdir -p build
if command -v flock >/dev/null 2>&1; then
    exec 9>build/setup.lock
    flock -n 9 || { say "another set-up is under way; waiting for it"; flock 9 || true; }
    complete "$*" && exit 0
fi

# --------------------------------------------------------------------------------- which Python
tell='import sys; v = sys.version_info[:2]; sys.stdout.write("%d.%d" % v); sys.exit(not (3, 11) <= v <= (3, 13))'
python= seen=
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    [ -n "$seen" ] && [ -n "${PYTHON:-}" ] && break # the one that was asked for, or none
    version=$("$candidate" -c "$tell" 2>/dev/null) && python=$candidate && break
    seen="$seen, $candidate ${version:+is Python }${version:-is not there}"
done
[ -n "$python" ] || stop "Python 3.11 to 3.13 with venv is needed${seen}
install one, or name it: make report PYTHON=python3.12"

# ---------------------------------------------------------------- uv, as pip gives it to anybody
uv_version=$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' uv.lock)
hashes=$(awk '/^name = /{ours = $0 == "name = \"uv\""} ours && /\.whl"/' uv.lock |
    sed -n 's/.*hash = "\(sha256:[0-9a-f]*\)".*/--hash=\1/p')
[ -n "$uv_version" ] && [ -n "$hashes" ] || stop "uv.lock: does not hold uv; restore it from version control"
uv=build/uv-$uv_version
if [ ! -x "$uv" ]; then
    say "fetching the installer, uv $uv_version"
    there=$(mktemp -d build/uv.XXXXXX)
    trap 'rm -rf "$there"' EXIT
    "$python" -m venv "$there/venv" || stop "$python has no venv (Debian, Ubuntu: apt install python3-venv)"
    echo "uv==$uv_version" $hashes >"$there/requirements.txt"
    "$there/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --require-hashes -r "$there/requirements.txt" ||
        stop "pip could not fetch uv (its reason is above); check the network connection and rerun"
    mv "$there/venv/bin/uv" "$uv" # whole or absent, also where two set-ups run at once
fi

# --------------------------------------------------------------------------------- the packages
if [ -d "$folder" ] && [ ! -f "$folder/pyvenv.cfg" ] &&
    ls -A "$folder" | grep -qvxE 'bin|include|lib|lib64|share|\.gitignore|\.lock|CACHEDIR\.TAG'; then
    stop "$folder is in the way: it is not a Python environment; move it away and rerun"
fi
case $* in *train*) size="with torch, about 5.6 GB" ;; *) size="no torch, about 0.4 GB" ;; esac
say "setting up $folder ($size)"
# an interrupted set-up may have left half a package that looks installed
[ -f "$stamp" ] && again= || again=--reinstall
[ -f "$folder/pyvenv.cfg" ] && [ -x "$folder/bin/python" ] || { rm -rf "$folder"; again=; }
rm -f "$stamp"
groups=
for group; do groups="$groups --group $group"; done
quiet=--quiet
[ -t 2 ] && quiet=
UV_PROJECT_ENVIRONMENT=$folder UV_PYTHON_DOWNLOADS=never \
    "$uv" sync --frozen --no-default-groups --python "$python" $quiet $again $groups ||
    stop "the set-up of $folder stopped (uv's reason is above); rerun to set it up again"
{ pwd -P; echo "$*"; cat uv.lock; } >"$stamp.tmp"
mv "$stamp.tmp" "$stamp"
