"""Citations and the list of references, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnpaper.files import UserError
from cnnpaper.paper.ledger import Cite
from cnnpaper.paper.references import Bibliography, read_bibliography
from cnnpaper.paper.words import Words
from tests.paper.invent import HERE


@pytest.fixture
def works() -> Bibliography:
    report = HERE / "report"
    return Bibliography(report / "references.bib", Words(report / "en" / "words.toml"))


def said(works: Bibliography, *keys: str, textual: bool = False) -> str:
    parts = works.parts(Cite(keys, textual=textual))
    return "".join(part if isinstance(part, str) else part[1] for part in parts)


def test_citations(works: Bibliography) -> None:
    assert said(works, "he2016deep") == "(He et al., 2016)"
    assert said(works, "barz2020we", textual=True) == "Barz and Denzler\N{NO-BREAK SPACE}(2020)"
    both = said(works, "holm1979simple", "kwon2023comparison")
    assert both == "(Holm, 1979; 권하연 et al., 2023)"


def test_only_what_is_cited_is_listed(works: Bibliography) -> None:
    said(works, "kwon2023comparison", "he2016deep", "he2015delving")
    assert [entry.key for entry in works.entries()] == [
        "he2015delving", "he2016deep", "kwon2023comparison",
    ]  # fmt: skip
    text = "".join(works.reference(works.known["dodge2019show"]))
    assert text == (
        "Jesse Dodge, Suchin Gururangan, Dallas Card, Roy Schwartz and Noah A. Smith. Show Your "
        "Work: Improved Reporting of Experimental Results. Conference on Empirical Methods in "
        "Natural Language Processing, 2185–2194, 2019."
    )


def test_an_unknown_key_is_named(works: Bibliography) -> None:
    with pytest.raises(UserError, match="did you mean 'he2016deep'"):
        said(works, "he2016deeep")


@pytest.mark.parametrize(
    "author,end,message",
    [("", "}", "a has no author"), ('author = {K{\\"o}ln},', "}", "write it in Unicode"),
     ("author = {A},", "", "does not end")],
)  # fmt: skip
def test_mistakes_in_the_file(tmp_path: Path, author: str, end: str, message: str) -> None:
    path = tmp_path / "r.bib"
    path.write_text(f"@misc{{a,\n {author}\n title = {{T}},\n year = {{2000}}\n{end}\n", "utf-8")
    with pytest.raises(UserError, match=message):
        read_bibliography(path)
