"""The paper's text: facts, tables, claims and figures of a study put into the templates.

Nothing is written here. :func:`compose` returns a :class:`Document`, every source of the paper by
name with the ledger, tables and figures behind it; :mod:`cnnpaper.paper.build` writes them.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from cnnpaper.config import read_toml
from cnnpaper.files import UserError
from cnnpaper.paper import Edition
from cnnpaper.paper.claims import Claims
from cnnpaper.paper.drawings import Drawing, drawings
from cnnpaper.paper.extra import Extras
from cnnpaper.paper.facts import Facts, log_name
from cnnpaper.paper.html import HtmlFace
from cnnpaper.paper.ledger import Cite, Ledger, Value
from cnnpaper.paper.publication import Extra, Publication, picked, read_publication
from cnnpaper.paper.references import Bibliography, keys
from cnnpaper.paper.sources import Sources
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
    "introduction",
    "related",
    "networks",
    "protocol",
    "results",
    "discussion",
    "limitations",
    "reproducibility",
)
"""Templates of the body, in order; sections of one's own stand after one of them."""
SAMPLES = 10
"""Rows of the ledger that are printed; all of it is attached."""
OTHER = {"en": "ko", "ko": "en"}
"""The language of the second abstract."""


class Shelf(dict[str, Any]):
    """Tables or figures by name, which a template asks for: None for those that are absent."""

    def __missing__(self, name: str) -> None:
        return None


@dataclass(frozen=True)
class Document:
    """Everything that the paper is made of."""

    face: str
    words: Words
    files: dict[str, str]
    """Name → source: ``paper.tex`` and ``ledger.tex``, or ``paper.html``."""
    ledger: Ledger
    printed: dict[str, Value]
    tables: dict[str, Table]
    drawings: dict[str, Drawing]
    attachments: dict[str, bytes]
    """Name → content: CSVs and ``ledger.json``."""
    publication: Publication
    epoch: int | None
    """When the last run was started, seconds since 1970; None where no log says."""
    summary: str
    claims: tuple[str, ...] = ()
    """Kinds of the sentences that compare, in order: the same in every edition."""
    warnings: list[str] = field(default_factory=list)

    @property
    def language(self) -> str:
        return self.words.language


def compose(
    root: Path, study: str, edition: Edition, *, allow_stale: bool = False, draw: bool = True
) -> Document:
    """Read a study and put it into the templates of an edition.

    Raises:
        UserError: a run, a file of the paper or a template has a mistake.
    """
    from cnnpaper.study.load import load

    data = load(root, study, allow_stale=allow_stale)
    return compose_data(data, analyse(data), edition, draw=draw)


def compose_data(
    data: StudyData, found: Findings, edition: Edition, *, draw: bool = True
) -> Document:
    """Put a study that was read, and what it found, into the templates of an edition."""
    return Composer(data, found, edition, draw=draw).document()


class Composer:
    """Puts one study into the templates of one edition."""

    def __init__(
        self, data: StudyData, found: Findings, edition: Edition, *, draw: bool = True
    ) -> None:
        self.data, self.root = data, data.root
        self.language = "ko" if edition.startswith("ko") else "en"
        self.report = self.root / "report"
        self.words = self._words(self.language)
        stale_mark = self.words.text("front.stale_mark")
        html = "html" in edition
        self.face = HtmlFace(self.words.formula, stale_mark) if html else TexFace()
        self.publication = read_publication(self.root, data.study)
        self.ledger, self.sources = Ledger(), Sources(self.root)
        self.bibliography = Bibliography(self.report / "references.bib", self.words)
        stale = frozenset(log_name(path) for path in data.stale)
        self.printer = Printer(self.face, self.bibliography, stale)
        self.facts = Facts(data, self.ledger, self.sources, self.words)
        self.values = Values(self.facts, found)
        self.tables = Tables(self.facts, self.values, self.words).all()
        self.claims = Claims(self.facts, self.values, self.words, self.tables)
        self.drawings = drawings(self.facts, self.values, self.words) if draw else {}
        self.extras = Extras(
            self.report / "extra", self.face.name, self.ledger,
            names=[self.facts.name(model) for model in data.study.networks],
            taken=[*self.tables, *self.drawings, "runs", "epochs", "ledger", "figures", "tools"],
        )  # fmt: skip

    def _words(self, language: str) -> Words:
        readings = {e.name: e.korean for e in self.data.experiments.values()}
        return Words(self.report / language / "words.toml", readings if language == "ko" else {})

    def document(self) -> Document:
        """All sources of the paper."""
        env = environment(self.report, self.printer, self._macros(), words=self.words)
        context = self._context(self.facts, self.claims, self.words)
        parts: dict[str, Any] = {"abstract": self._part(env, "abstract", context)}
        parts["second"] = self._second(env)
        names = ["imported"] if self.data.study.origin == "imported" else list(SECTIONS)
        parts["body"] = self._body(env, names, context)
        parts["appendix"] = Markup("")
        if self.data.study.origin != "imported":
            parts["appendix"] = self._part(env, "appendix", context)
        samples = self._samples()
        parts["provenance"] = self._part(env, "provenance", {**context, "samples": samples})
        parts["references"] = [
            (entry.key, self.bibliography.reference(entry)) for entry in self.bibliography.entries()
        ]
        main = f"paper.{self.face.name}"
        files = {main: render(env, f"layout/{main}.j2", {**context, **parts})}
        if self.face.name == "tex":
            files["ledger.tex"] = self._ledger_tex(samples)
            files[main] = _tidy(files[main])
        return Document(
            face=self.face.name, words=self.words, files=files, ledger=self.ledger,
            printed=self.printer.printed, tables={**self.tables, **self.extras.tables},
            drawings={**self.drawings, **self.extras.figures},
            attachments=self._attachments(), publication=self.publication, epoch=self._epoch(),
            summary=self._summary(),
            claims=tuple(self.claims.made),
        )  # fmt: skip

    # ------------------------------------------------------------------------- pieces

    def _part(self, env: Any, name: str, context: Mapping[str, Any]) -> Markup:
        return self._finished(render(env, f"{self.language}/{name}.j2", context))

    def _finished(self, text: str) -> Markup:
        return Markup(self.face.paragraphs(_joined(text)))

    def _body(self, env: Any, names: list[str], context: Mapping[str, Any]) -> Markup:
        parts = [(name, self._part(env, name, context)) for name in names]
        # those of one's own come last, when the ledger has every value, and stand in their places
        for extra in reversed(self._sections(names)):
            place = next(i for i, (name, _) in enumerate(parts) if name == extra.after)
            parts.insert(place + 1, ("", self._extra(env, extra.file, context)))
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

    def _extra(self, env: Any, file: str, context: Mapping[str, Any]) -> Markup:
        own = f"extra/{file}.{self.language}.j2"
        name = own if (self.report / own).is_file() else f"extra/{file}.j2"
        asks = {n: getattr(self.extras, n) for n in ("value", "own_table", "own_figure")}
        return self._finished(render(env, name, {**context, **asks}))

    def _second(self, env: Any) -> dict[str, Any]:
        """The other language's abstract, of one paragraph, and its words; nothing where the paper
        has no title in that language."""
        language = OTHER[self.language]
        if language not in self.publication.title:
            return {}
        words = self._words(language)
        facts = Facts(self.data, self.ledger, self.sources, words)
        claims = Claims(facts, self.values, words, self.tables)
        text = render(env, f"{language}/abstract.j2", self._context(facts, claims, words))
        return {"language": language, "words": words, "abstract": Markup(_joined(text).strip())}

    def _macros(self) -> dict[str, Any]:
        return {
            "cite": lambda *names: Cite(keys(names)),
            "citet": lambda name: Cite((name,), textual=True),
            "breakable": self.face.breakable,
            "reference": self._reference,
            "formulas": read_toml(self.report / "layout" / "formulas.toml"),
            "two_columns": self.publication.columns == 2,
            "face": self.face,
        }

    def _reference(self, label: str) -> tuple[str, str]:
        """What stands before and after the number of a reference: ``Section 3``, ``3절``."""
        before, _, after = self.words.text(f"ref.{label.partition(':')[0]}").partition("{number}")
        return before, after

    def _context(self, facts: Facts, claims: Claims, words: Words) -> dict[str, Any]:
        """What the templates read."""
        return {
            "study": facts,
            "texts": Texts(facts, words),
            "values": self.values,
            "ledger": self.ledger,
            "claims": claims,
            "words": words,
            "josa": words.josa,
            "flags": flags(self.data),
            "tables": Shelf(self.tables),
            "figures": Shelf(self.drawings),
            "publication": self.publication,
            "pick": lambda texts: picked(texts, words.language),
            "main": self.language,
            "stale": sorted(self.data.stale),
            "stale_why": [why for path in sorted(self.data.stale) for why in self.data.stale[path]],
            "document": self,
        }

    # ------------------------------------------------------------------------- provenance

    def _samples(self) -> Table:
        """Ten rows of the ledger, evenly spread over the values that the text prints."""
        shown = [v for v in self.printer.printed.values() if v.sources]
        step = max(1, len(shown) // SAMPLES)
        rows = [
            [self.face.target(v.key), v.text, self.words.formula(v.formula), self._where(v)]
            for v in shown[::step][:SAMPLES]
        ]
        head = self.words.text
        columns = [
            Column(key="key", head=head("table.key"), kind="wrap"),
            Column(key="printed", head=head("table.printed")),
            Column(key="computed", head=head("table.computed"), kind="wrap"),
            Column(key="source", head=head("table.source"), kind="wrap"),
        ]
        return table("provenance", columns, rows, keys=[v.key for v in shown[::step][:SAMPLES]])

    def _ledger_tex(self, samples: Table) -> str:
        r"""``\ledgerdef`` of every printed value: what a viewer shows, and where the link leads."""
        rows = set(samples.notes["keys"])
        lines = ["% Made with the paper: description and target of every printed value."]
        for value in self.printer.printed.values():
            how = self.words.formula(value.formula)
            about = f"{value.key}: {how}; {self._where(value)}"
            target = f"ledger.{value.key}" if value.key in rows else "provenance"
            lines.append(rf"\ledgerdef{{{value.key}}}{{{pdf_string(about)}}}{{{target}}}")
        return "\n".join(lines) + "\n"

    def _where(self, value: Value) -> str:
        """The first source, and how many more there are."""
        if not value.sources:
            return self.words.text("value.code")
        more = len(value.sources) - 1
        return f"{value.sources[0]}{f' (+{more})' if more else ''}"

    def _attachments(self) -> dict[str, bytes]:
        found = {
            f"{item.name}.csv": item.csv().encode()
            for item in {**self.tables, **self.extras.tables}.values()
        }
        for name in ("runs", "epochs"):
            frame = getattr(self.data, name)
            found[f"{name}.csv"] = frame.to_csv(index=False, lineterminator="\n").encode()
        values = [
            json.dumps(
                {**value, "printed": value["key"] in self.printer.printed}, ensure_ascii=False
            )
            for value in self.ledger.dump()
        ]
        head = json.dumps(
            {"study": self.data.study.name, "claims": self.claims.record}, ensure_ascii=False
        )
        text = f'{head[:-1]}, "values": [\n' + ",\n".join(values) + "\n]}\n"
        return {**found, "ledger.json": text.encode()}

    def _summary(self) -> str:
        """What a line for people says of the paper's runs."""
        count = len(self.data.logs)
        if self.data.study.origin == "imported":
            return f"{count} imported run{'' if count == 1 else 's'}"
        return f"{count} of {len(self.data.specs)} declared runs"

    def _epoch(self) -> int | None:
        starts = [r.header.started for r in self.data.logs.values() if r.header.started]
        if not starts:
            return None
        moment = datetime.datetime.fromisoformat(max(starts).replace("Z", "+00:00"))
        return int(moment.replace(tzinfo=datetime.UTC).timestamp())


def flags(data: StudyData) -> dict[str, bool]:
    """What the templates ask before they say something."""
    study, logs = data.study, data.logs
    statuses = {run.result.status for run in logs.values() if run.result}
    tested = [run for run in logs.values() if run.result and run.result.test_acc is not None]
    names = " ".join(run.header.data.name or "" for run in logs.values()).lower()
    return {
        "several_networks": len(study.networks) > 1,
        "arms": bool(study.arm),
        "several_seeds": any(len(arm.seeds) > 1 for arm in study.arms.values()),
        "several_arms": len(study.arm) > 1,
        "any": bool(logs),
        "all": not data.missing,
        "tested": bool(tested),
        "reads_test": study.data.test_images > 0,
        "diverged": "diverged" in statuses,
        "synthetic": study.data.set == "synthetic" or "synthetic" in names,
        "reencoded": study.data.set == "jpeg75",
        "original": study.data.set == "original",
        "imported": study.origin == "imported",
        "contrast": study.contrast is not None,
        "budget": study.budget is not None,
        "tuning": data.tuning is not None,
        "tuned": any(o.from_study for e in data.experiments.values() for o in e.override.values()),
        "precision": data.precision is not None,
        "timing": data.timing is not None,
        "bfloat16": data.recipe.precision == "bfloat16",
        "smoothing": data.recipe.label_smoothing > 0,
        "clipping": data.recipe.clip_norm > 0,
        "augmented": data.recipe.crop_padding > 0,
        "alternating": data.recipe.flip == "alternating",
        "departures": any(e.override for e in data.experiments.values()),
        "reference": study.name == "reference",
        "verified": bool(data.verified),
    }


def _joined(text: str) -> str:
    """A condition ends its line, so punctuation after it would stand apart."""
    return re.sub(r"[ \t]*\n[ \t]*(?=[,.;:)])", "", text)


def _tidy(text: str) -> str:
    """No more than one empty line, no blanks at ends of lines: for people who read the source."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
