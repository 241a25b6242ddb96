"""``report/paper.toml``: title, authors, licence and form of the paper as a publication."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from cnnpaper.config import Model, read_toml, validated

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
    """What one study is called, where it is not called as the others are."""

    title: Languages = Field(default_factory=dict)
    subtitle: Languages = Field(default_factory=dict)


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


def read_publication(root: Path, study: str) -> Publication:
    """The paper of one study.

    Raises:
        UserError: the file is missing, or a mistake in it.
    """
    path = root / "report" / "paper.toml"
    found = validated(Publication, read_toml(path), path)
    own = found.study.get(study, Titles())
    titles = {"title": {**found.title, **own.title}, "subtitle": {**found.subtitle, **own.subtitle}}
    return found.model_copy(update=titles)
