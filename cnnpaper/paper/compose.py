"""The paper's text: facts, tables, claims and figures of a study put into the templates.

Nothing is written here. :func:`compose` returns a :class:`Document`, every source of the paper by
name with the ledger, tables and figures behind it; :mod:`cnnpaper.paper.build` writes them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from cnnpaper.config import read_toml
from cnnpaper.files import UserError
from cnnpaper.paper import Edition
from cnnpaper.paper.claims import Claims
from cnnpaper.paper.drawings import Drawing, drawings
from cnnpaper.paper.extra import Extras
from cnnpaper.paper.html import HtmlFace
from cnnpaper.paper.ledger import Cite, Ledger, Sources, Value
from cnnpaper.paper.publication import Extra, Publication, picked, read_publication
from cnnpaper.paper.references import Bibliography
from cnnpaper.paper.tables import Tables
from cnnpaper.paper.tabular import Column, Table, table
from cnnpaper.paper.templates import Printer, environment, render
from cnnpaper.paper.tex import TexFace, pdf_string
from cnnpaper.paper.texts import Texts
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Words
from cnnpaper.study.analysis import Findings, analyse

if TYPE_CHECKING:
    from cnnpaper.study.load import StudyData

SECTIONS = (
    "introduction", "related", "networks", "protocol", "results", "discussion", "limitations",
    "conclusion", "reproducibility",
)  # fmt: skip
"""Templates of the body, in order; sections of one's own stand after one of them."""
SAMPLES = 4  # rows of the ledger that are printed; all of it is attached
OTHER = {"en": "ko", "ko": "en"}  # the language of the second abstract


@dataclass(frozen=True)
class Document:
    """Everything that the paper is made of."""

    face: str
    words: Words
    files: dict[str, str]  # name → source: `paper.tex` and `ledger.tex`, or `paper.html`
    ledger: Ledger
    printed: dict[str, Value]
    tables: dict[str, Table]
    drawings: dict[str, Drawing]
    attachments: dict[str, bytes]  # name → content: CSVs and `ledger.json`
    publication: Publication
    epoch: int | None  # start of the last run, seconds since 1970; None where no log says
    summary: str
    claims: tuple[str, ...]  # kinds of the sentences that compare: the same in every edition


def compose(
    root: Path, study: str, edition: Edition, *, allow_stale: bool = False, draw: bool = True
) -> Document:
    """Read a study and put it into the templates of an edition.

    Raises:
        UserError: a run, a file of the paper or a template has a mistake.
    """
    from cnnpaper.study.load import load

    data = load(root, study, allow_stale=allow_stale)
    return Composer(data, analyse(data), edition, draw=draw).document()


class Composer:
    """Puts a study that was read, and what it found, into the templates of an edition."""

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
        self.face = HtmlFace(self.words.formula) if "html" in edition else TexFace()
        self.bibliography = Bibliography(self.report / "references.bib", self.words)
        self.printer = Printer(self.face, self.bibliography.parts)
        self.tables = Tables(self.values).all()
        self.claims = Claims(self.values)
        self.drawings = drawings(self.values) if draw else {}
        self.extras = Extras(
            self.report / "extra", self.face.name, self.ledger,
            names=[self.values.name(model) for model in data.study.networks],
            taken=[*self.tables, *self.drawings, "runs", "epochs", "ledger", "figures"],
        )  # fmt: skip

    def _values(self, language: str) -> Values:
        korean = {e.name: e.korean for e in self.data.experiments.values()}
        words = Words(self.report / language / "words.toml", korean if language == "ko" else {})
        return Values(self.data, self.found, self.ledger, self.sources, words)

    def document(self) -> Document:
        """All sources of the paper."""
        env = environment(self.report, self.printer, self._macros())
        context = self._context(self.claims)
        parts: dict[str, Any] = {"abstract": self._part(env, "abstract", context)}
        parts["second"] = self._second(env)
        parts["body"] = self._body(env, context)
        parts["appendix"] = "" if self.imported else self._part(env, "appendix", context)
        shown = [value for value in self.printer.printed.values() if value.sources]
        shown = shown[:: max(1, len(shown) // SAMPLES)][:SAMPLES]
        samples = self._samples(shown)
        parts["provenance"] = self._part(env, "provenance", {**context, "samples": samples})
        parts["references"] = [
            (entry.key, self.bibliography.reference(entry)) for entry in self.bibliography.entries()
        ]
        main = f"paper.{self.face.name}"
        files = {main: render(env, f"layout/{main}.j2", {**context, **parts})}
        if self.face.name == "tex":
            files = {main: _tidy(files[main]), "ledger.tex": self._ledger_tex(shown)}
        return Document(
            face=self.face.name, words=self.words, files=files, ledger=self.ledger,
            printed=self.printer.printed, tables=self.tables | self.extras.tables,
            drawings=self.drawings | self.extras.figures, attachments=self._attachments(),
            publication=self.publication, epoch=self._epoch(), summary=self._summary(),
            claims=tuple(kind for kind, _, _ in self.claims.record),
        )  # fmt: skip

    def _part(self, env: Any, name: str, context: Mapping[str, Any], folder: str = "") -> Markup:
        text = render(env, f"{folder or self.language}/{name}.j2", context)
        return Markup(self.face.paragraphs(_joined(text)))

    def _body(self, env: Any, context: Mapping[str, Any]) -> Markup:
        names = ["imported"] if self.imported else list(SECTIONS)
        parts = [(name, self._part(env, name, context)) for name in names]
        # those of one's own come last, when the ledger has every value, and stand in their places
        asks = {"value": self.ledger.__getitem__, "own_table": self.extras.own_table,
                "own_figure": self.extras.own_figure}  # fmt: skip
        for extra in reversed(self._sections(names)):
            own = f"{extra.file}.{self.language}"
            file = own if (self.report / "extra" / f"{own}.j2").is_file() else extra.file
            part = self._part(env, file, {**context, **asks}, "extra")
            parts.insert([name for name, _ in parts].index(extra.after) + 1, ("", part))
        return Markup("\n\n").join(part for _, part in parts)

    def _sections(self, names: list[str]) -> list[Extra]:
        """Sections of one's own that this paper has."""
        for extra in self.publication.section:
            if extra.after not in (*SECTIONS, *names):
                raise UserError(
                    f"report/paper.toml: section {extra.file!r}: after = {extra.after!r}: there is "
                    f"no such section; there are {', '.join(names)}"
                )
        wanted = ("", self.data.study.name)
        return [e for e in self.publication.section if e.study in wanted and e.after in names]

    def _second(self, env: Any) -> dict[str, Any]:
        """The other language's abstract, of one paragraph, and its words; nothing where the paper
        has no title in that language."""
        language = OTHER[self.language]
        if language not in self.publication.title:
            return {}
        values = self._values(language)
        text = render(env, f"{language}/abstract.j2", self._context(Claims(values)))
        abstract = Markup(_joined(text).strip())
        return {"language": language, "words": values.words, "abstract": abstract}

    def _macros(self) -> dict[str, Any]:
        return {
            "cite": lambda *names: Cite(names),
            "citet": lambda name: Cite((name,), textual=True),
            "breakable": self.face.breakable,
            "reference": self._reference,
            "formulas": read_toml(self.report / "layout" / "formulas.toml"),
            "two_columns": self.publication.columns == 2,
            "face": self.face,
            "words": self.words,
        }

    def _reference(self, label: str) -> tuple[str, str]:
        """What stands before and after the number of a reference: ``Section 3``, ``3절``."""
        before, _, after = self.words.text(f"ref.{label.partition(':')[0]}").partition("{number}")
        return before, after

    def _context(self, claims: Claims) -> dict[str, Any]:
        """What the templates read, in the language of the claims."""
        words, stale = claims.words, self.data.stale
        return {
            "study": claims.values,
            "texts": Texts(claims.values),
            "values": claims.values,
            "claims": claims,
            "words": words,
            "josa": words.josa,
            "flags": flags(self.data),
            "tables": defaultdict(lambda: None, self.tables),  # None for those that are absent
            "figures": defaultdict(lambda: None, self.drawings),
            "publication": self.publication,
            "pick": lambda texts: picked(texts, words.language),
            "main": self.language,
            "ledger_rows": self._ledger_rows,
            "stale": sorted(stale),
            "stale_why": [why for path in sorted(stale) for why in stale[path]],
        }

    def _samples(self, shown: list[Value]) -> Table:
        """Rows of the ledger, evenly spread over the values that the text prints."""
        rows = [
            [self.face.target(v.key), v.text, self.words.formula(v.formula), *self._where(v)]
            for v in shown
        ]
        columns = [
            Column(key=key, head=self.words.text(f"table.{key}"),
                   kind="number" if key == "printed" else "wrap")
            for key in ("key", "printed", "computed", "source")
        ]  # fmt: skip
        return table("provenance", columns, rows)

    def _ledger_tex(self, samples: list[Value]) -> str:
        r"""``\ledgerdef`` of every printed value: what a viewer shows, and where the link leads."""
        rows = {value.key for value in samples}
        lines = ["% Made with the paper: description and target of every printed value."]
        for value in self.printer.printed.values():
            (where,) = self._where(value)
            about = f"{value.key}: {self.words.formula(value.formula)}; {where}"
            target = f"ledger.{value.key}" if value.key in rows else "provenance"
            lines.append(rf"\ledgerdef{{{value.key}}}{{{pdf_string(about)}}}{{{target}}}")
        return "\n".join(lines) + "\n"

    def _ledger_rows(self) -> Iterator[tuple[str, str, str, str, list[str]]]:
        """Key, text, exact value, formula and sources of every value printed by now, for HTML."""
        for value in sorted(self.printer.printed.values(), key=lambda value: value.key):
            unit = self.words.label("unit", value.unit) if value.unit else ""
            exact, how = f"{str(value.exact)[:24]} {unit}", self.words.formula(value.formula)
            yield value.key, value.text, exact, how, self._where(value, 3)

    def _where(self, value: Value, most: int = 1) -> list[str]:
        """The first sources, with the number of further ones."""
        found = [str(source) for source in value.sources] or [self.words.text("value.code")]
        if len(found) > most:
            found[most - 1] += f" (+{len(found) - most})"
        return found[:most]

    def _attachments(self) -> dict[str, bytes]:
        tables = {**self.tables, **self.extras.tables}
        found = {f"{name}.csv": item.csv().encode() for name, item in tables.items()}
        for name, frame in (("runs", self.data.runs), ("epochs", self.data.epochs)):
            found[f"{name}.csv"] = frame.to_csv(index=False, lineterminator="\n").encode()
        values = ",\n".join(
            json.dumps({**v, "printed": v["key"] in self.printer.printed}, ensure_ascii=False)
            for v in self.ledger.dump()
        )
        head = {"study": self.data.study.name, "claims": self.claims.record}
        text = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "values": [\n{values}\n]}}\n'
        return {**found, "ledger.json": text.encode()}

    def _summary(self) -> str:
        """What a line for people says of the paper's runs."""
        count = len(self.data.logs)
        if self.imported:
            return f"{count} imported run{'' if count == 1 else 's'}"
        return f"{count} of {len(self.data.specs)} declared runs"

    def _epoch(self) -> int | None:
        starts = [r.header.started for r in self.data.logs.values() if r.header.started]
        return int(datetime.fromisoformat(max(starts)).timestamp()) if starts else None


def flags(data: StudyData) -> dict[str, bool]:
    """What the templates ask before they say something."""
    study, logs = data.study, data.logs
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
        "intervals": any(len(data.complete_seeds(arm or "")) > 1 for arm in study.arms),
        "hollow": bool(study.equal_epochs and data.complete_seeds(study.equal_epochs)),
        "connected": sum(bool(data.complete_seeds(arm)) for arm in timed) > 1,
        "tuning": data.tuning is not None,
        "precision": data.precision is not None,
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
