"""What was built from what: decides in a fraction of a second that there is nothing to do.

Imports the standard library alone. A file counts as changed when its content has, whatever its
time stamp says.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from cnnpaper.files import sha256_file, write_atomic

PACKAGES = (
    "fonttools", "jinja2", "matplotlib", "numpy", "pandas", "pikepdf", "pydantic", "scipy",
    "statsmodels",
)  # fmt: skip
"""Packages whose versions may change a figure, a table or the PDF."""
PROGRAMS = ("xelatex", "xdvipdfmx", "bibtex", "pdftotext")


def build_folder(root: Path, study: str) -> Path:
    """Everything between logs and paper of one study; may be deleted at any time."""
    return root / "build" / "report" / study


def output_path(root: Path, study: str) -> Path:
    """Where the paper of a study lies."""
    name = "CNN_report.pdf" if study == "reference" else f"CNN_report-{study}.pdf"
    return root / "report" / name


def input_files(root: Path, study: str) -> Iterator[Path]:
    """Every file that the paper of ``study`` is a function of."""
    for folder, patterns in (
        (root / "experiments", ("*.toml",)),
        (root / "experiments" / "study", (f"{study}.toml",)),
        (root / "results" / "log" / study, ("*/run.jsonl", "*/predictions.npz")),
        (root / "results" / "log" / study, ("*/certificate.json",)),
        (root / "results" / "log" / study, ("test-evaluations.jsonl", "timing.jsonl")),
        (root / "report", ("*.j2", "*.sty", "*.bib", "*.toml")),
        (root / "cnnpaper", ("**/*.py",)),
        (root, ("uv.lock", "pyproject.toml")),
    ):
        for pattern in patterns:
            yield from sorted(folder.glob(pattern))


def manifest(root: Path, study: str, **options: object) -> dict[str, str]:
    """Digests of all inputs, versions of all tools, and the options: equal means nothing to do."""
    found = {
        path.relative_to(root).as_posix(): sha256_file(path) for path in input_files(root, study)
    }
    return {
        **found,
        "trials": repr((root / "results" / "log" / "ablation").is_dir()),  # the text names them
        **{f"option {name}": repr(value) for name, value in sorted(options.items())},
        **tools(),
    }


def tools() -> dict[str, str]:
    """Versions of the packages, and which programs of TeX are there."""
    versions = {"python": platform.python_version(), **package_versions(PACKAGES)}
    for name in PROGRAMS:
        path = shutil.which(name)
        real = Path(path).resolve() if path else None
        versions[f"program {name}"] = f"{real} {real.stat().st_size}" if real else "missing"
    return versions


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions."""
    return {f"package {name}": metadata.version(name) for name in names}


def digest(*parts: str | bytes) -> str:
    """SHA-256 over ``parts`` and their boundaries."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()


@dataclass
class State:
    """What the last build of a study left behind."""

    path: Path
    inputs: dict[str, str] = field(default_factory=dict)
    """The :func:`manifest` of the last build that went through."""
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Step → ``key`` of its inputs, ``output`` digest of what it gave."""
    summary: str = ""
    """The line that ended it."""

    @classmethod
    def load(cls, root: Path, study: str) -> State:
        """The state of the last build; empty where there is none, or none that we wrote."""
        path = build_folder(root, study) / "state.json"
        try:
            values = json.loads(path.read_text("utf-8"))
            if values.pop("digest") == digest(_text(values)):
                return cls(path, **values)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass
        return cls(path)

    def save(self) -> None:
        """Write it, whole or not at all."""
        values = {"inputs": self.inputs, "steps": self.steps, "summary": self.summary}
        write_atomic(self.path, _text({**values, "digest": digest(_text(values))}).encode())

    def fresh(self, step: str, key: str, output: Path) -> bool:
        """Was ``output`` made by ``step`` from the inputs of ``key``, and is it still that?"""
        known = self.steps.get(step, {})
        return (
            known.get("key") == key
            and output.is_file()
            and sha256_file(output) == known.get("output")
        )

    def done(self, step: str, key: str, output: Path, **more: Any) -> None:
        """Remember that ``step`` made ``output``; saved at once, so a kill loses nothing."""
        self.steps[step] = {"key": key, "output": sha256_file(output), **more}
        self.save()


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=True, indent=1, sort_keys=True)


def code_key(units: Mapping[str, str]) -> str:
    """One digest for the units of :func:`cnnpaper.codeunits.code_units`."""
    return digest(*(f"{name} {value}" for name, value in sorted(units.items())))
