"""``report/paper.toml``: title, authors, licence and form of the paper as a publication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from cnnpaper.config import Imported, Model, Study, read_toml, validated

Languages = dict[str, str]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class Author(Model):
    """One author."""

    name: str = Field(min_length=1)
    family: str = ""  # the family name within `name`; without it this is an organisation
    affiliation: str = ""
    mail: str = ""


class Extra(Model):
    """A section of one's own: ``report/extra/FILE.j2`` in its place."""

    file: Name  # in Korean editions `FILE.ko.j2`, where it is there
    after: Name  # a section of `report/en`
    study: str = ""  # the paper that has it; without it those of all studies


class Titles(Model):
    """What a paper is called, and whose it is."""

    title: Languages = Field(default_factory=dict)
    subtitle: Languages = Field(default_factory=dict)
    author: tuple[Author, ...] = ()


class Publication(Titles):
    """What the paper says of itself."""

    title: Languages = Field(min_length=1)
    """By language. An edition in another one takes the first; a second abstract stands in each."""
    study: dict[str, Titles] = Field(default_factory=dict)  # what is not as of the other studies
    keywords: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    licence: Languages = Field(default_factory=dict)
    acknowledgement: Languages = Field(default_factory=dict)
    columns: int = Field(default=1, ge=1, le=2)
    page_limit: int | None = Field(default=None, ge=1)
    class_file: str = ""  # a LaTeX class in `report/`; empty for `article`
    section: tuple[Extra, ...] = ()

    def authors(self) -> str:
        return ", ".join(author.name for author in self.author)

    def bibtex_authors(self) -> str:
        """As BibTeX reads them: a name in braces is one of an organisation."""
        return " and ".join(a.name if a.family else f"{{{a.name}}}" for a in self.author)


def read_publication(root: Path, study: Study) -> Publication:
    """The paper of one study.

    Imported logs are not the work of the authors of this repository, so their title, authors and
    licence are those that were given, or none. Neither they nor synthetic images are about
    CIFAR-10, whatever the file says of the other studies.

    Raises:
        UserError: the file is missing, or a mistake in it.
    """
    path = root / "report" / "paper.toml"
    found = validated(Publication, read_toml(path), path)
    own = found.study.get(study.name, Titles())
    if study.origin == "imported":
        said = study.imported or Imported()
        found = Publication(
            title=dict.fromkeys(found.title, said.title or f"Training logs: {study.name}"),
            author=tuple(Author(name=name) for name in said.authors),
            columns=found.columns, class_file=found.class_file,
        )  # fmt: skip
    keywords = {
        language: tuple(word for word in words if study.data.cifar10 or "CIFAR" not in word)
        for language, words in found.keywords.items()
    }
    return found.model_copy(
        update={
            "title": {**found.title, **own.title}, "subtitle": {**found.subtitle, **own.subtitle},
            "author": own.author or found.author, "keywords": keywords,
        }
    )  # fmt: skip


def picked(texts: Languages, language: str) -> str:
    """The text in a language, else the first one there is."""
    return texts.get(language) or next(iter(texts.values()), "")


def citation(root: Path, publication: Publication, year: str | None) -> str:
    """``CITATION.cff``: the program as ``pyproject.toml`` has it, the paper as this file has it."""
    project = read_toml(root / "pyproject.toml")["project"]
    values: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this artifact or its paper, please cite it as below.",
        "type": "software", "title": project["name"], "abstract": project["description"],
        "authors": project["authors"], "version": project["version"],
        "license": project["license"], "keywords": publication.keywords.get("en", ()),
        "preferred-citation": _given({
            "type": "report", "title": next(iter(publication.title.values())),
            "authors": [_cff(author) for author in publication.author],
            "year": int(year) if year else None, "notes": picked(publication.licence, "en"),
        }),
    }  # fmt: skip
    # JSON is YAML: a line for each key, and what is within it on that line
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["# Made by make report from report/paper.toml; do not edit.", *lines]) + "\n"


def _cff(author: Author) -> dict[str, Any]:
    """An organisation has no affiliation there."""
    if not author.family:
        return _given({"name": author.name, "email": author.mail})
    given = " ".join(author.name.replace(author.family, "").split()).strip(" ,")
    return _given({"family-names": author.family, "given-names": given,
                   "affiliation": author.affiliation, "email": author.mail})  # fmt: skip


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
