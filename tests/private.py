"""What must not be published: patterns, and the texts inside of a PDF."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pikepdf

PATTERNS = {  # written so that this file does not match them itself
    "a home folder": r"/(?:roo[t]|hom[e]|User[s]|export/hom[e])/|[A-Z]:\\User[s]",
    "a folder of the machine that wrote it": r"(?<![\w.])/(?:wor[k]|worksp[a]ce|bui[l]ds|mn[t])/",
    "an e-mail address": r"[\w.+-]+@(?!v\d)[\w-]+\.[a-z]{2,}\b",
    "a key of a cloud": r"\b(?:AKI[A]|ASI[A])[0-9A-Z]{16}\b|\bAIz[a][\w-]{35}",
    "a token of a forge": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}",
    "a token of a service": r"\bhf_[A-Za-z]{30,}|\bsk-[A-Za-z0-9_-]{32,}|\bxox[abprs]-[\w-]{10,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY",
    "a password in an address": r"[a-z]+://[^\s/:@]+:[^\s/@]+@",
}
GENERIC = {
    *("root", "user", "users", "admin", "runner", "ubuntu", "debian", "docker", "build", "builder"),
    *(
        "localhost",
        "localdomain",
        "home",
        "test",
        "tests",
        "jovyan",
        "vagrant",
        "codespace",
        "node",
    ),
    *("github", "gitlab", "jenkins", "worker", "linux", "macos", "python", "work", "default"),
}
"""Names of users and hosts that name nobody, and that are words too."""
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_KEY", re.IGNORECASE)


def identities() -> dict[str, str]:
    """What names the person and the machine that run the tests → what it is."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        user = ""
    named = {user: "the user's name", socket.gethostname(): "the host's name"}
    named |= {os.environ.get(v, ""): f"${v}" for v in ("USER", "LOGNAME", "HOSTNAME", "HOME")}
    named |= {value: f"${name}" for name, value in os.environ.items() if SECRET.search(name)}
    return {
        text: what
        for text, what in named.items()
        if len(text) >= 4 and text.lower() not in GENERIC and not text.isdigit()
    }


def leaks(text: str, named: dict[str, str]) -> list[str]:
    """What of the above stands in ``text``, each with the place where it stands."""
    found = []
    for what, pattern in PATTERNS.items():
        found += [f"{what}: {m[0]}" for m in re.finditer(pattern, text)]
    for name, what in named.items():
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            found.append(f"{what}: {name}")
    return found


def texts(path: Path) -> Iterator[str]:
    """The text of a file; of a PDF every object and every stream, unpacked, attachments too."""
    yield path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix != ".pdf":
        return
    with pikepdf.open(path) as document:
        yield document.trailer.unparse(resolved=True).decode("utf-8", errors="replace")
        for thing in document.objects:
            if isinstance(thing, pikepdf.Stream):
                yield repr(dict(thing.items()))
                yield thing.read_bytes().decode("utf-8", errors="replace")
            else:
                yield thing.unparse().decode("utf-8", errors="replace")
