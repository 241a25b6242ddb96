"""``report/paper.toml``: title, authors, licence and form of the paper as a publication."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from cnnpaper.config import Model, Study, read_toml, validated

Edition = Literal["en", "ko", "html", "ko.html"]
EDITIONS: tuple[Edition, ...] = ("en", "ko", "html", "ko.html")
Languages = dict[str, str]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class Author(Model):
    """One author."""

    name: str = Field(min_length=1)
    affiliation: str = ""
    mail: str = ""


class Extra(Model):
    """A section of one's own: ``report/extra/FILE.j2`` in its place."""

    file: Name
    after: Name


class Titles(Model):
    """What one study is called, and whose it is, where that is not as of the others."""

    title: Languages = Field(default_factory=dict)
    subtitle: Languages = Field(default_factory=dict)
    author: tuple[Author, ...] = ()


class Publication(Model):
    """What the paper says of itself."""

    title: Languages
    """By language."""
    subtitle: Languages = Field(default_factory=dict)
    study: dict[str, Titles] = Field(default_factory=dict)
    """By name of the study."""
    author: tuple[Author, ...] = ()
    keywords: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    licence: str = ""
    acknowledgement: Languages = Field(default_factory=dict)
    columns: int = Field(default=1, ge=1, le=2)
    page_limit: int | None = Field(default=None, ge=1)
    class_file: str = ""
    """A LaTeX class in ``report/``; empty for ``article``."""
    section: tuple[Extra, ...] = ()

    def authors(self) -> str:
        return ", ".join(author.name for author in self.author)


def read_publication(root: Path, study: Study) -> Publication:
    """The paper of one study.

    Imported logs are not the work of the authors of this repository, and neither they nor synthetic
    images are about CIFAR-10, whatever the file says of the other studies.

    Raises:
        UserError: the file is missing, or a mistake in it.
    """
    path = root / "report" / "paper.toml"
    found = validated(Publication, read_toml(path), path)
    own = found.study.get(study.name, Titles())
    authors = () if study.origin == "imported" else found.author
    cifar = study.data.set in ("original", "jpeg75")
    keywords = {
        language: tuple(word for word in words if cifar or "CIFAR" not in word)
        for language, words in found.keywords.items()
    }
    return found.model_copy(
        update={
            "title": {**found.title, **own.title}, "subtitle": {**found.subtitle, **own.subtitle},
            "author": own.author or authors, "keywords": keywords,
        }
    )  # fmt: skip
