"""The paper's text: facts, tables, claims and figures of a study put into the templates."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cnnpaper.config import read_toml
from cnnpaper.files import UserError
from cnnpaper.paper import Edition
from cnnpaper.paper.claims import Claims
from cnnpaper.paper.drawings import FEWEST, drawings
from cnnpaper.paper.extra import Extras
from cnnpaper.paper.html import HtmlFace, data_uri, kept_together, numbered
from cnnpaper.paper.ledger import Cite, Ledger, Sources, Value
from cnnpaper.paper.publication import picked, read_publication
from cnnpaper.paper.references import Bibliography
from cnnpaper.paper.tables import Tables
from cnnpaper.paper.tabular import Column, Table, table
from cnnpaper.paper.templates import environment, render
from cnnpaper.paper.tex import TexFace, pdf_string
from cnnpaper.paper.texts import Texts
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import Findings, analyse
from cnnpaper.study.load import StudyData, load

SECTIONS = (
    "introduction", "related", "networks", "protocol", "results", "discussion", "limitations",
    "conclusion", "reproducibility",
)  # fmt: skip
"""Templates of the body, in order; sections of one's own stand after one of them."""
SAMPLES = 4  # rows of the ledger that are printed; all of it is attached
OTHER = {"en": "ko", "ko": "en"}  # the language of the second abstract


def compose(
    root: Path, study: str, edition: Edition, *, allow_stale: bool = False, draw: bool = True
) -> Document:
    """Read a study and put it into the templates of an edition.

    Raises:
        UserError: a run, a file of the paper or a template has a mistake.
    """
    data = load(root, study, allow_stale=allow_stale)
    return Document(data, analyse(data), edition, draw=draw)


class Document:
    """A study that was read, and what it found, in the templates of an edition: every source of
    the paper, and what stands behind it."""

    files: dict[str, str]
    """Name → source: ``paper.tex`` and ``ledger.tex``, or ``paper.html``."""

    def __init__(
        self, data: StudyData, found: Findings, edition: Edition, *, draw: bool = True
    ) -> None:
        self.data, self.found = data, found
        self.language = "ko" if edition.startswith("ko") else "en"
        self.imported = data.study.origin == "imported"
        self.report = data.root / "report"
        self.publication = read_publication(data.root, data.study)
        self.ledger, self.sources = Ledger(), Sources(data.root)
        self.values = self._values(self.language)
        self.words = self.values.words
        self.bibliography = Bibliography(self.report / "references.bib", self.words)
        face = HtmlFace if "html" in edition else TexFace
        self.face = face(self.bibliography.parts, self.words.formula)
        self.printed = self.face.printed
        self.tables = Tables(self.values).all()
        self.claims = Claims(self.values)
        self.drawings = drawings(self.values) if draw else {}
        self.env = environment(self.report, self.face, self._known())
        self.files = self._files()

    def _values(self, language: str) -> Values:
        korean = {e.name: e.korean for e in self.data.experiments.values()}
        words = Words(self.report / language / "words.toml", korean if language == "ko" else {})
        return Values(self.data, self.found, self.ledger, self.sources, words)

    def _files(self) -> dict[str, str]:
        context = self._context(self.claims)
        parts: dict[str, Any] = {
            "abstract": self._part(f"{self.language}/abstract", context),
            "second": self._second(),
            "body": self._body(context),
            "appendix": "" if self.imported else self._part(f"{self.language}/appendix", context),
        }
        shown = [value for value in self.printed.values() if value.sources]
        shown = shown[:: max(1, len(shown) // SAMPLES)][:SAMPLES]
        context["samples"] = self._samples(shown)
        parts["provenance"] = self._part(f"{self.language}/provenance", context)
        works = self.bibliography
        parts["references"] = [(work.key, *works.reference(work)) for work in works.entries()]
        main = f"paper.{self.face.name}"
        text = render(self.env, f"layout/{main}.j2", {**context, **parts})
        if self.face.name == "html":
            return {main: kept_together(numbered(text))}
        return {main: _tidy(text), "ledger.tex": self._ledger_tex(shown)}

    def _part(self, name: str, context: Mapping[str, Any]) -> Markup:
        text = render(self.env, f"{name}.j2", context)
        return Markup(self.face.paragraphs(_joined(text)))

    def _body(self, context: Mapping[str, Any]) -> Markup:
        names = ["imported"] if self.imported else list(SECTIONS)
        parts = [(name, self._part(f"{self.language}/{name}", context)) for name in names]
        # those of one's own come last, when the ledger has every value, and stand in their places
        for extra in reversed(self.publication.section):
            if extra.after not in (*SECTIONS, *names):
                raise UserError(
                    f"report/paper.toml: section {extra.file!r}: after = {extra.after!r}: there is "
                    f"no such section; there are {', '.join(names)}"
                )
            if extra.study in ("", self.data.study.name) and extra.after in names:
                own = f"extra/{extra.file}.{self.language}"
                file = own if (self.report / f"{own}.j2").is_file() else f"extra/{extra.file}"
                place = [name for name, _ in parts].index(extra.after) + 1
                parts.insert(place, ("", self._part(file, context)))
        return Markup("\n\n").join(part for _, part in parts)

    def _second(self) -> dict[str, Any]:
        """The other language's abstract, of one paragraph, and its words; nothing where the paper
        has no title in that language."""
        language = OTHER[self.language]
        if language not in self.publication.title:
            return {}
        values = self._values(language)
        context = self._context(Claims(values))
        abstract = Markup(_joined(render(self.env, f"{language}/abstract.j2", context)).strip())
        return {"language": language, "words": values.words, "abstract": abstract}

    def _known(self) -> dict[str, Any]:
        """What every template and macro may call and read."""
        stale = self.data.stale
        extras = Extras(self.values, self.face.name, self.tables, self.drawings)
        return {
            "cite": lambda *names: Cite(names),
            "citet": lambda name: Cite((name,), textual=True),
            "breakable": self.face.breakable,
            "reference": self._reference,
            "formulas": read_toml(self.report / "layout" / "formulas.toml"),
            "two_columns": self.publication.columns == 2,
            "style": (self.report / "layout" / "paper.css").read_text("utf-8"),
            "words": self.words,
            "main": self.language,
            "publication": self.publication,
            "flags": flags(self.data),
            "tables": defaultdict(lambda: None, self.tables),  # None for those that are absent
            "figures": defaultdict(lambda: None, self.drawings),
            "stale": sorted(stale),
            "stale_why": [why for path in sorted(stale) for why in stale[path]],
            "value": self.ledger.__getitem__,
            "own_table": extras.own_table,
            "own_figure": extras.own_figure,
            # called by the page of HTML at its end, when everything is printed
            "ledger_rows": lambda: [self._row(v, 3) for _, v in sorted(self.printed.items())],
            "attached": lambda: [(n, data_uri(n, d)) for n, d in sorted(self.attachments.items())],
        }

    def _context(self, claims: Claims) -> dict[str, Any]:
        """What the prose reads, in the language of the claims."""
        words = claims.words
        return {
            "study": claims.values.study,
            "texts": Texts(claims.values),
            "values": claims.values,
            "claims": claims,
            "words": words,
            "josa": words.josa,
            "pick": lambda texts: picked(texts, words.language),
        }

    def _reference(self, label: str) -> tuple[str, str]:
        """What stands before and after the number of a reference: ``Section 3``, ``3절``."""
        before, _, after = self.words.text(f"ref.{label.partition(':')[0]}").partition("{number}")
        return before, after

    def _row(self, value: Value, most: int = 1) -> tuple[str, str, str, str, list[str]]:
        """Key, text, exact value, formula and first sources of a value, in the paper's words."""
        unit = self.words.label("unit", value.unit) if value.unit else ""
        where = [str(source) for source in value.sources] or [self.words.text("value.code")]
        if len(where) > most:
            where[most - 1] += f" (+{len(where) - most})"
        formula = self.words.formula(value.formula)
        # twelve digits: the last ones differ between processors
        exact = f"{value.exact:.12g}" if isinstance(value.exact, float) else str(value.exact)[:24]
        return value.key, value.text, f"{exact} {unit}", formula, where[:most]

    def _samples(self, shown: list[Value]) -> Table:
        """Rows of the ledger, evenly spread over the values that the text prints."""
        rows = [
            [self.face.target(key), text, how, *where]
            for key, text, _, how, where in map(self._row, shown)
        ]
        columns = [
            Column(key=key, head=self.words.text(f"table.{key}"),
                   kind="number" if key == "printed" else "wrap")
            for key in ("key", "printed", "computed", "source")
        ]  # fmt: skip
        return table("provenance", columns, rows)

    def _ledger_tex(self, samples: list[Value]) -> str:
        r"""``\ledgerdef`` of every printed value: what a viewer shows, and where the link leads."""
        lines = ["% Made with the paper: description and target of every printed value."]
        for value in self.printed.values():
            key, _, _, how, (where,) = self._row(value)
            target = f"ledger.{key}" if value in samples else "provenance"
            about = pdf_string(f"{key}: {how}; {where}")
            lines.append(rf"\ledgerdef{{{key}}}{{{about}}}{{{target}}}")
        return "\n".join(lines) + "\n"

    @property
    def attachments(self) -> dict[str, bytes]:
        """Tables, runs and epochs as CSV, and ``ledger.json``, by name."""
        found = {f"{name}.csv": item.csv().encode() for name, item in self.tables.items()}
        for name, frame in (("runs", self.data.runs), ("epochs", self.data.epochs)):
            found[f"{name}.csv"] = frame.to_csv(index=False, lineterminator="\n").encode()
        values = ",\n".join(
            json.dumps({**row, "printed": row["key"] in self.printed}, ensure_ascii=False)
            for row in self.ledger.dump()
        )
        head = {"study": self.data.study.name, "claims": self.claims.record}
        text = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "values": [\n{values}\n]}}\n'
        return {**found, "ledger.json": text.encode()}

    @property
    def summary(self) -> str:
        """What a line for people says of the paper's runs."""
        count = len(self.data.logs)
        if self.imported:
            return f"{count} imported run{'' if count == 1 else 's'}"
        return f"{count} of {len(self.data.specs)} declared runs"

    @property
    def epoch(self) -> int | None:
        """Start of the last run, seconds since 1970; None where no log says."""
        starts = [r.header.started for r in self.data.logs.values() if r.header.started]
        return int(datetime.fromisoformat(max(starts)).timestamp()) if starts else None


def flags(data: StudyData) -> dict[str, bool]:
    """What the templates ask before they say something."""
    study, logs, tuning = data.study, data.logs, data.tuning
    timed = study.budget.steps if study.budget else ()
    names = " ".join(run.header.data.name or "" for run in logs.values()).lower()
    return {
        "several_networks": len(study.networks) > 1,
        "arms": bool(study.arm),
        "several_seeds": any(len(arm.seeds) > 1 for arm in study.arms.values()),
        "any": bool(logs),
        "all": not data.missing,
        "reads_test": study.data.test_images > 0,
        "synthetic": study.data.set == "synthetic" or "synthetic" in names,
        "reencoded": study.data.set == "jpeg75",
        "original": study.data.set == "original",
        "imported": study.origin == "imported",
        "contrast": study.contrast is not None,
        "budget": study.budget is not None,
        "two_cores": study.threads == 2,
        # Rocket Lake, which has no bfloat16: what names itself so and has it is another
        "masked": study.budget is not None and study.budget.processor == "GenuineIntel 6-167",
        "intervals": any(len(data.complete_seeds(arm or "")) >= FEWEST for arm in study.arms),
        "own_time": bool(study.equal_epochs and data.complete_seeds(study.equal_epochs)),
        "connected": sum(bool(data.complete_seeds(arm)) for arm in timed) > 1,
        "tuning": data.tuning is not None,
        "precision": data.precision is not None,
        "searched_in_bfloat16": tuning is not None and tuning.recipe.precision == "bfloat16",
        "tuned": any(o.from_study for e in data.experiments.values() for o in e.override.values()),
        "smoothing": data.recipe.label_smoothing > 0,
        "clipping": data.recipe.clip_norm > 0,
        "augmented": data.recipe.crop_padding > 0,
        "alternating": data.recipe.flip == "alternating",
        "departures": any(o.why for e in data.experiments.values() for o in e.override.values()),
    }


def _joined(text: str) -> str:
    """A condition ends its line, so punctuation after it would stand apart."""
    return re.sub(r"[ \t]*\n[ \t]*(?=[,.;:)])", "", text)


def _tidy(text: str) -> str:
    """No more than one empty line, no blanks at ends of lines: for people who read the source."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
