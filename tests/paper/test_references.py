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
    return "".join(text for _, text in works.parts(Cite(keys, textual=textual)))


def test_citations_and_the_list_of_what_was_cited(works: Bibliography) -> None:
    both = said(works, "he2016deep", "he2015delving")
    assert both == "(He et al., 2016; He et al., 2015)"
    assert said(works, "barz2020we", textual=True) == "Barz and Denzler\N{NO-BREAK SPACE}(2020)"
    both = said(works, "holm1979simple", "kwon2023comparison")
    assert both == "(Holm, 1979; 권하연 et al., 2023)"
    with pytest.raises(UserError, match="did you mean 'he2016deep'"):
        said(works, "he2016deeep")
    assert [entry.key for entry in works.entries()] == [
        "barz2020we", "he2015delving", "he2016deep", "holm1979simple", "kwon2023comparison",
    ]  # fmt: skip
    assert "".join(works.reference(works.known["dodge2019show"])) == (
        "Jesse Dodge, Suchin Gururangan, Dallas Card, Roy Schwartz and Noah A. Smith. Show Your "
        "Work: Improved Reporting of Experimental Results. Conference on Empirical Methods in "
        "Natural Language Processing, 2185–2194, 2019."
    )


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
