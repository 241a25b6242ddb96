r"""A whole paper of a study whose files and logs hold TeX, markup and quotes wherever they can.

The strings stand in the places where strings of others come in: what experiment files say of a
network, why a study departs from the recipe, and what a log says of data, machine and packages.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pikepdf
import pytest

from cnnpaper.config import RunSpec
from cnnpaper.errors import UserError
from cnnpaper.paper.build import build_report
from cnnpaper.paper.numerals import has_numeral
from cnnpaper.paper.state import State
from cnnpaper.paper.study import StudyPaper
from cnnpaper.paper.tex import prose
from cnnpaper.records import Data, Header
from tests import fabricate
from tests.paper.test_injection import PRINTED, squeezed, text_of

PLAN = fabricate.Plan(
    name="a_b.c-ü", networks=("alexnet", "resnet18"), images=200, epochs=2, data_set="any"
)
CLEAN = [t for t in PRINTED if len(t) < 80 and t.strip() and not has_numeral(t)]
"""The strings that a paragraph may be made of; numerals in it are another test's subject."""
HOSTILE = {
    "name": {"alexnet": r"\input{x}$_^^5c%#&~}{", "resnet18": "[한글] *{%} “é”"},
    "korean": {"alexnet": r"\end{document}", "resnet18": "}{레즈넷\\"},
    "venue": {"alexnet": r"\write{id}|ls", "resnet18": "$(id) `id` & co"},
    "idea": {"alexnet": " ".join(CLEAN[::2]), "resnet18": " ".join(CLEAN[1::2])},
    "stem": {
        "alexnet": r"\catcode`\%=12 and }}} {{{ %% for",
        "resnet18": r"[1pt] \VAR{x} \BLOCK{y} {{z}} <b>",
    },
}
WHY = r"*[2pt] \\ & \hline $x_1^2$ \fi \endgroup } and a%b #1 ~ “so” 한글"
MACHINE = r"CPU ^^5c\input{/etc/passwd} $&%#_{}~ “한글” @ 3.1 GHz"
NAME_OF_DATA = r"images of \end{document} & {x}% \\ CIFAR-10"
ADDRESS = r"https://example.org/a_b%20c~d#e&f=\input{x}?g^h"
PACKAGES = {"python": r"[3.11] %\par", "torch": r"2.14.1+\fi%$", "torchvision": "0.29.1+{_^"}
LAYER = r"[c]_{1}\&%^^5c"


HEADINGS = ("요약", "1Introduction", "7Reproducibility", "References", "CLayers", "KeyPrinted")
SAID_BY_OTHERS = r"machine|package|data\.address|recipe\.momentum|\w+\.(idea|stem|recipe)\."
"""Keys of the values that the strings stand in, or that the paper's source files decide."""


def hostile_study(tmp_path: Path, patch: pytest.MonkeyPatch) -> Path:
    """A repository whose experiment files and logs hold the strings."""
    root = fabricate.repository(tmp_path / "repository", code=True)
    for model in PLAN.networks:
        path = root / "experiments" / f"{model}.toml"
        text = path.read_text("utf-8")
        for key, by_model in HOSTILE.items():
            new = f"{key} = {json.dumps(by_model[model], ensure_ascii=False)}\n"
            pattern = rf'^{key} = (?:"""(?s:.*?)"""|".*")\n'
            text, count = re.subn(pattern, lambda _, new=new: new, text, flags=re.M)
            assert count == 1, (model, key)
        path.write_text(text, "utf-8")
    invented, study_file = fabricate._header, fabricate._write_study_file

    def header(plan: fabricate.Plan, spec: RunSpec) -> Header:
        made = invented(plan, spec)
        data = {"name": NAME_OF_DATA, "digest": made.data.digest, "address": ADDRESS}
        machine = made.machine.model_copy(update={"cpu": MACHINE})
        first, *others = made.network.layers
        named = (first.model_copy(update={"name": LAYER}), *others)
        network = made.network.model_copy(update={"layers": named})
        more = {"machine": machine, "packages": PACKAGES, "data": Data.model_validate(data)}
        return made.model_copy(update={**more, "network": network})

    def with_override(where: Path, plan: fabricate.Plan) -> None:
        study_file(where, plan)
        path = where / "experiments" / "study" / f"{plan.name}.toml"
        why = json.dumps(WHY, ensure_ascii=False)
        text = f"\n[override.momentum]\nvalue = 0.85\nwhy = {why}\n"
        path.write_text(path.read_text("utf-8") + text, "utf-8")

    patch.setattr(fabricate, "_header", header)
    patch.setattr(fabricate, "_write_study_file", with_override)
    patch.setattr(fabricate, "fingerprint", lambda spec: fabricate.fingerprints.of_run(root, spec))
    return fabricate.study(root, PLAN)


def stands_in(text: str, string: str) -> bool:
    """Do the words of ``string`` stand in ``text``, one after the other?

    TeX breaks words with hyphens and puts page numbers and headings between pages.
    """
    words = [squeezed(word).replace("-", "") for word in string.split()]
    between = ".{0,150}?" if len(words) > 20 else ""
    return re.search(between.join(map(re.escape, words)), text) is not None


@pytest.mark.tex
def test_a_paper_of_hostile_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = hostile_study(tmp_path, monkeypatch)
    pdf = build_report(root, PLAN.name, say=lambda _: None)
    warnings = State.load(root, PLAN.name).steps["pdf"]["warnings"]
    assert [warning for warning in warnings if "Overfull" not in warning] == []
    text = squeezed(text_of(pdf)).replace("-", "")
    for key, by_model in HOSTILE.items():
        for string in by_model.values():
            if key == "korean":  # only its last syllable matters, for the particle after a name
                continue
            printed = string if key in ("name", "venue") else prose(string)
            assert stands_in(text, printed), (key, string)
    for string in (prose(WHY), MACHINE, NAME_OF_DATA, LAYER, *PACKAGES.values(), PLAN.name):
        assert stands_in(text, string), string
    for heading in HEADINGS:  # nothing ended early
        assert heading in text, heading
    assert not list(root.rglob("x.tex"))
    with pikepdf.open(pdf) as document:
        entries = json.loads(document.attachments["ledger.json"].get_file().read_bytes())
    found = {entry["key"]: entry["text"] for entry in entries}
    assert found["machine.1.name"] == MACHINE
    plain = fabricate.study(tmp_path / "plain", PLAN, code=True)
    for value in StudyPaper(plain, PLAN.name).text.ledger:  # no number is another one
        if not re.match(SAID_BY_OTHERS, value.key):
            assert found[value.key] == value.text, value.key


CHANGES = {
    "U+202E (RIGHT-TO-LEFT OVERRIDE)": ("machine", {"cpu": "x\u202e86"}),
    "U+0000 (unnamed control character)": ("packages", {"python": "3\0"}),
    "U+1F600 (GRINNING FACE)": ("data", {"name": "CIFAR \U0001f600"}),
    "U+200B (ZERO WIDTH SPACE)": ("data", {"name": "CIFAR\u200b-10"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_log_says_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invented, (part, fields) = fabricate._header, CHANGES[name]

    def header(plan: fabricate.Plan, spec: RunSpec) -> Header:
        made = invented(plan, spec)
        old = getattr(made, part)
        new = {**old, **fields} if isinstance(old, dict) else old.model_copy(update=fields)
        return made.model_copy(update={part: new})

    monkeypatch.setattr(fabricate, "_header", header)
    root = fabricate.study(tmp_path / "repository", PLAN, code=True)
    with pytest.raises(UserError, match=re.escape(f"the paper cannot print {name}")):
        StudyPaper(root, PLAN.name).text  # noqa: B018 - composing it is the test
