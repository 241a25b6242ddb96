"""The protocol was committed before the runs that it governs, and has not changed since."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import artifact

ROOT = Path(__file__).resolve().parents[1]


def git(root: Path, *arguments: str) -> tuple[bool, str]:
    """Did it succeed, and what did it print?"""
    done = artifact.git(root, *arguments)
    return done.returncode == 0, done.stdout.strip()


def protocol(text: str, arm: str | None) -> dict[str, Any]:
    """What a study file says about the runs of one arm; further arms are none of their business."""
    values = tomllib.loads(text)
    return values | {"arm": values.get("arm", {}).get(arm)}


def protocol_commit(root: Path, study: str, arm: str | None) -> str | None:
    """The commit since which the arm's protocol is what it is at HEAD."""
    file = f"experiments/study/{study}.toml"
    now = protocol(git(root, "show", f"HEAD:{file}")[1], arm)
    since = None
    for commit in git(root, "log", "--format=%H", "--", file)[1].split():
        there, text = git(root, "show", f"{commit}:{file}")
        if not there or protocol(text, arm) != now:
            break
        since = commit
    return since


def objections(root: Path) -> list[str]:
    """Runs whose commit does not have their protocol in its history."""
    found = []
    since: dict[tuple[str, str | None], str | None] = {}
    for path in sorted((root / "results/log").rglob("run.jsonl")):
        header = json.loads(path.read_text("utf-8").split("\n", 1)[0])
        study, arm, commit = header["study"], header["arm"], str(header["commit"])
        files = f"experiments/study/{study}.toml", str(path.relative_to(root))
        if header["origin"] != "trained" or not git(root, "ls-files", "--error-unmatch", *files)[0]:
            continue  # of somebody's own
        first = since.setdefault((study, arm), protocol_commit(root, study, arm))
        if first is None or not git(root, "merge-base", "--is-ancestor", first, commit)[0]:
            found.append(f"{path.parent.relative_to(root / 'results/log')}: {commit} ({first})")
    return found


def test_committed_runs_were_made_after_their_protocol() -> None:
    there, shallow = git(ROOT, "rev-parse", "--is-shallow-repository")
    if not (ROOT / ".git").exists() or not there or shallow != "false":
        pytest.skip("no git history")
    assert objections(ROOT) == []


def test_a_protocol_that_changed_after_a_run_is_found(tmp_path: Path) -> None:
    (tmp_path / "experiments/study").mkdir(parents=True)
    file = tmp_path / "experiments/study/s.toml"
    git(tmp_path, "init", "-q")

    def commit(text: str) -> str:
        file.write_text(text, "utf-8")
        git(tmp_path, "add", "-A")
        assert git(tmp_path, "commit", "-qm", "x")[0]
        return git(tmp_path, "rev-parse", "HEAD")[1]

    def run(arm: str, made_at: str) -> None:
        folder = tmp_path / f"results/log/s/{arm}/alexnet-s0"
        folder.mkdir(parents=True, exist_ok=True)
        header = {"origin": "trained", "study": "s", "arm": arm, "commit": made_at}
        (folder / "run.jsonl").write_text(json.dumps(header) + "\n{}\n", "utf-8")

    before = commit("[arm.a]\nseeds = [0]\n")
    proper = commit("[arm.a]\nseeds = [0, 1]\n")
    run("a", proper)
    later = commit("# words\n[arm.a]\nseeds = [0, 1]\n[arm.b]\nseeds = [0]\n")
    run("b", later)
    commit(file.read_text("utf-8") + "# more words\n")
    assert objections(tmp_path) == []
    for wrong in (before, f"{proper}+", "0" * 40):
        run("a", wrong)
        assert objections(tmp_path) == [f"s/a/alexnet-s0: {wrong} ({proper})"]
    run("a", proper)
    last = commit(file.read_text("utf-8").replace("[0, 1]", "[0]"))
    assert objections(tmp_path) == [f"s/a/alexnet-s0: {proper} ({last})"]
