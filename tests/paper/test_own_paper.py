"""Somebody else's paper: their title, authors and columns, and a section of their own."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pikepdf
import pytest

from cnnpaper.config import load_study
from cnnpaper.files import UserError
from cnnpaper.paper.compose import Document
from cnnpaper.paper.publication import citation, read_publication
from tests import fabricate, textlogs
from tests.paper.conftest import ARMS
from tests.paper.invent import paper
from tests.paper.test_build import pdf_of, text_of

HERE = Path(__file__).resolve().parents[2]
PAPER = """
columns = 2
licence.en = "CC BY-SA 4.0"
title.en = "Small networks on small computers"
acknowledgement.en = "We thank our neighbours."
keywords.en = ["thrift"]
[[author]]
name = "First Author"
family = "Author"
affiliation = "An Institute"
mail = "first@example.org"
[[author]]
name = "A Working Group"
mail = "group@example.org"
[[section]]
file = "costs"
after = "results"
[[section]]
file = "of_another_study"
after = "results"
study = "full"
"""
SECTION = """
[[ section("Costs", "costs") ]]
ResNet reaches [[ value("short.resnet18.test_acc") ]] %, see [[ ref("tab:costs") ]] and [[ ref("fig:costs") ]].
[% call table(own_table("costs"), "tab:costs") %]
What networks cost here.
[% endcall %]
[% call figure(own_figure("costs", title="Costs", alt="A line that rises."), "fig:costs") %]
Costs rise.
[% endcall %]
"""  # noqa: E501
TABLE = "Network,Accuracy,Remark\nResNet-18,{short.resnet18.test_acc},best\nVGG-16,{short.vgg16.test_acc},\n"  # noqa: E501
needs_tex = pytest.mark.skipif(shutil.which("xelatex") is None, reason="no XeLaTeX here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose paper is somebody else's."""
    from matplotlib.figure import Figure

    fabricate.repository(tmp_path)
    report = tmp_path / "report"
    (report / "paper.toml").write_text(PAPER, "utf-8")
    (report / "extra").mkdir()
    (report / "extra" / "costs.j2").write_text(SECTION, "utf-8")
    (report / "extra" / "costs.csv").write_text(TABLE, "utf-8")
    drawn = Figure(figsize=(3, 2))
    drawn.subplots().plot([0, 1], [0, 1])
    for kind in ("pdf", "svg"):
        drawn.savefig(report / "extra" / f"costs.{kind}")
    return tmp_path


@needs_tex
@pytest.mark.tex
def test_a_paper_of_two_authors_in_two_columns(root: Path) -> None:
    (root / "report" / "own.cls").write_text(
        "\\ProvidesClass{own}\\LoadClassWithOptions{article}\\RequirePackage{helper}\n", "utf-8"
    )
    (root / "report" / "helper.sty").write_text("\\ProvidesPackage{helper}\n", "utf-8")
    (root / "report" / "paper.toml").write_text(f'class_file = "own.cls"\n{PAPER}', "utf-8")
    made = paper(root, arms=ARMS)
    pdf = pdf_of(root, made)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert len(opened.pages) <= 12  # floats leave no page nearly empty
    text = text_of(root, pdf)
    for shown in ("Small networks on small computers", "First Author, An Institute",
                  "A Working Group, group@example.org", "We thank our neighbours", "CC BY-SA",
                  "What networks cost here."):  # fmt: skip
        assert shown in text
    assert "cnnpaper contributors" not in text
    accuracy = made.ledger["short.resnet18.test_acc"].text
    assert re.search(rf"ResNet reaches {re.escape(accuracy)}", re.sub(r"\s+", " ", text))
    assert made.attachments["costs.csv"].startswith(b"network,accuracy,remark\nResNet-18,80.")
    assert (root / "tex" / "costs.pdf").is_file()


def test_the_html_edition_has_it_too(root: Path) -> None:
    page = paper(root, "html", arms=ARMS).files["paper.html"]
    assert '<title id="fig-costs-title">Costs</title>' in page
    assert "author = {First Author and {A Working Group}}" in page


@pytest.mark.parametrize(
    "file,old,new,message",
    [
        ("extra/costs.j2", "Costs rise.", "Costs rise by 3 %.",
         r"report/extra/costs\.j2:8: a number is typed"),
        ("extra/costs.j2", "short.resnet18", "short.resnet19",
         r"report/extra/costs\.j2:3: the ledger has no value short\.resnet19.*nearest: short\.res"),
        ("extra/costs.j2", 'own_figure("costs"', 'own_figure("curve"',
         r"costs\.j2:7: own_figure: neither report/extra/curve\.pdf nor .*curve\.png is there"),
        ("extra/costs.j2", 'own_table("costs"', 'own_table("recipe"',
         r"costs\.j2:4: 'recipe' is taken"),
        ("extra/costs.csv", "best", "best by 2.5",
         r"report/extra/costs\.csv:2: a number is typed here: “best by 2\.5”"),
        ("extra/costs.csv", "VGG-16,", "", r"report/extra/costs\.csv:3: 2 cells under 3 headings"),
        ("paper.toml", 'after = "results"', 'after = "result"',
         r"paper\.toml: section 'costs': after = 'result'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_file_and_line(
    root: Path, file: str, old: str, new: str, message: str
) -> None:
    path = root / "report" / file
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(UserError, match=message):
        paper(root, draw=False, arms=ARMS)


def test_an_imported_study_has_no_author_unless_the_file_names_one(root: Path) -> None:
    data, found = textlogs.study(root, 1)
    page = Document(data, found, "html").files["paper.html"]
    assert "Author" not in page
    assert "@misc" not in page
    path = root / "report" / "paper.toml"
    path.write_text(PAPER + '[[study.tutorial.author]]\nname = "Its Maker"\n', "utf-8")
    page = Document(data, found, "html").files["paper.html"]
    assert "author = {{Its Maker}}" in page


def test_the_citation_is_made_from_the_file(root: Path) -> None:
    text = citation(root, read_publication(root, load_study(root, "reference")), "2026")
    cited = text.partition("preferred-citation: ")[2]
    for said in (
        '"title": "Small networks on small computers"', '"year": 2026',
        '{"family-names": "Author", "given-names": "First", "affiliation": "An Institute", '
        '"email": "first@example.org"}, {"name": "A Working Group"',
    ):  # fmt: skip
        assert said in cited
    committed = (HERE / "CITATION.cff").read_text("utf-8")
    year = re.search(r'"year": (\d+)', committed)
    publication = read_publication(HERE, load_study(HERE, "reference"))
    assert committed == citation(HERE, publication, year[1] if year else None)
