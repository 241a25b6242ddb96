"""Experiment files: the runs that they give, and what every mistake in them gets."""

from __future__ import annotations

import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnpaper import config
from cnnpaper.files import UserError
from tests.conftest import REPOSITORY
from tests.test_bad_input import refused
from tests.tiny import edit

RECIPE = (REPOSITORY / "experiments" / "recipe.toml").read_text("utf-8")
TINY = """\
name = "Tiny-Net"
korean = "타이니넷"
year = 2020
venue = "Journal of Tests"
citation = "tiny2020net"
builder = "tiny"
idea = "A network that exists nowhere but in the tests, and only as a file."
stem = "Nothing of it was changed."

[override.peak_learning_rate]
value = 0.02
why = "it has no batch norm"
"""
STUDY = """\
networks = ["tiny", "other"]
seeds = [0, 7]
epochs = 3
threads = 2

[data]
set = "jpeg75"

[override.batch_size]
value = 32
why = "the machine is small"

[override.peak_learning_rate]
value = 0.5
why = "overridden by the network's own"
"""
ARMS = """\
networks = ["tiny", "other"]
{head}

[data]
set = "synthetic"
train_images = 100
validation_images = 10

[arm.equal]
epochs = 2
seeds = [0]

[arm.short]
steps = {{ tiny = 5, other = 9 }}
seeds = [0, 1]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a recipe, the networks tiny and other, and the studies trial and arms."""
    files = {
        "recipe.toml": RECIPE,
        "tiny.toml": TINY,
        "other.toml": TINY.partition("[override")[0].replace("Tiny-Net", "Other"),
        "study/trial.toml": STUDY,
        "study/arms.toml": ARMS.format(head=""),
    }
    for name, text in files.items():
        path = tmp_path / "experiments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def runs(root: Path, study: str) -> list[config.RunSpec]:
    return config.run_specs(root, config.load_study(root, study))


def message(function: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        function()
    assert 1 <= len(str(caught.value).splitlines()) <= 5
    return str(caught.value)


# ----------------------------------------------------------------------------- what is right


def test_runs_go_seed_by_seed_so_that_what_is_finished_is_balanced(root: Path) -> None:
    names = [spec.path for spec in runs(root, "trial")]
    assert names == ["trial/tiny-s0", "trial/other-s0", "trial/tiny-s7", "trial/other-s7"]
    assert [(spec.path, spec.steps) for spec in runs(root, "arms")] == [
        ("arms/equal/tiny-s0", 4),  # 100 images in batches of 64: a full and a short one
        ("arms/equal/other-s0", 4),
        ("arms/short/tiny-s0", 5),
        ("arms/short/other-s0", 9),
        ("arms/short/tiny-s1", 5),
        ("arms/short/other-s1", 9),
    ]
    tiny, other = runs(root, "arms")[2:4]  # the last epoch may be partial
    assert (tiny.steps_per_epoch, tiny.epochs, other.epochs) == (2, 3, 5)


@pytest.mark.parametrize("images, steps", [(256, 2), (257, 2), (258, 3), (45_000, 352)])
def test_a_last_batch_of_one_image_is_left_out(images: int, steps: int) -> None:
    assert config.steps_per_epoch(images, 128) == steps


def test_a_grid_wins_over_the_network_s_override_over_the_study_s_over_the_recipe(root) -> None:
    tiny, other, *_ = runs(root, "trial")
    assert (tiny.recipe.peak_learning_rate, tiny.recipe.batch_size) == (0.02, 32)
    assert (other.recipe.peak_learning_rate, other.recipe.momentum) == (0.5, 0.9)
    grid = '\n[grid]\npeak_learning_rate = [0.1, 0.25]\nprecision = ["float32"]\n'
    (root / "experiments/study/trial.toml").write_text(STUDY + grid, "utf-8")
    first, second, *_ = runs(root, "trial")
    assert (first.run, second.run) == ("tiny-rate0.1_float32-s0", "tiny-rate0.25_float32-s0")
    assert (first.recipe.peak_learning_rate, first.recipe.precision) == (0.1, "float32")


def test_an_arm_that_refines_has_the_runs_that_it_is_given(root: Path) -> None:
    text = ARMS.format(head="grid = { peak_learning_rate = [0.1, 0.2] }")
    (root / "experiments/study/arms.toml").write_text(text + 'refines = "equal"\n', "utf-8")
    study = config.load_study(root, "arms")
    assert {spec.arm for spec in config.run_specs(root, study)} == {"equal"}
    found = config.run_specs(root, study, {("short", "tiny"): (0.4,)})
    names = [spec.path for spec in found if spec.arm == "short"]
    assert names == ["arms/short/tiny-rate0.4-s0", "arms/short/tiny-rate0.4-s1"]


def test_a_mistake_names_the_file_that_makes_it(root: Path) -> None:
    path = root / "experiments/study/mine.toml"
    wrong = '[override.precision]\nvalue = "fp16"\nwhy = "a test wants this"\n'
    path.write_text('networks = ["tiny"]\nseeds = [0]\nepochs = 1\n[data]\nset = "any"\n' + wrong)
    with pytest.raises(UserError, match=r"study/mine\.toml: .*'fp16'"):
        config.run_specs(root, config.load_study(root, "mine"))


def test_single_study_is_made_of_the_runs_in_its_folder(root: Path) -> None:
    for run in ("tiny-s3", "other-s0", "tiny-s12", "unknown-s1", "notes"):
        (root / "results" / "log" / "single-10ep-b8" / run).mkdir(parents=True)
    study = config.load_study(root, "single-10ep-b8")
    assert (study.networks, study.seeds, study.epochs) == (("other", "tiny"), (0, 1, 3, 12), 10)
    assert config.run_specs(root, study)[0].recipe.batch_size == 8


@pytest.mark.parametrize(
    "name, expected",
    [
        ("single-2ep-float32", (64, "float32")),
        ("single-2ep-b8-bfloat16", (8, "bfloat16")),
        ("single-2ep", (64, None)),
    ],
)
def test_a_study_of_ones_own_says_batch_size_and_precision(
    root: Path, name: str, expected: tuple[int, str | None]
) -> None:
    (root / "results" / "log" / name / "tiny-s0").mkdir(parents=True)
    recipe = config.run_specs(root, config.load_study(root, name))[0].recipe
    shared = config.load_recipe(root).precision
    assert (recipe.batch_size, recipe.precision) == (expected[0], expected[1] or shared)


def test_committed_files_are_valid() -> None:
    for path in config.visible(REPOSITORY / "experiments" / "study", "*.toml"):
        assert config.run_specs(REPOSITORY, config.load_study(REPOSITORY, path.stem))


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_korean_name_is_one_study_however_it_is_typed(root: Path, typed, stored) -> None:
    name = unicodedata.normalize(stored, "한글연구.toml")
    (root / "experiments" / "study" / name).write_text(STUDY, "utf-8")
    study = config.load_study(root, unicodedata.normalize(typed, "한글연구"))
    assert study.name == unicodedata.normalize("NFC", "한글연구")


def test_logs_in_a_folder_of_decomposed_name_are_refused_with_a_remedy(root: Path) -> None:
    (root / "experiments" / "study" / "한글연구.toml").write_text(STUDY, "utf-8")
    folder = root / "results" / "log" / unicodedata.normalize("NFD", "한글연구")
    folder.mkdir(parents=True)
    said = message(lambda: config.load_study(root, "한글연구"))
    subprocess.run(["sh", "-c", said.partition("rename it: ")[2]], check=True)
    assert config.load_study(root, "한글연구").name == "한글연구"
    folder.mkdir()
    assert "move its runs into" in message(lambda: config.load_study(root, "한글연구"))


def test_names_that_begin_with_a_dot_are_no_input(root: Path) -> None:
    for name in (".#tiny.toml", "._tiny.toml", "study/._trial.toml", "study/.#trial.toml"):
        (root / "experiments" / name).write_bytes(b"\x00\x05\x16\x07")
    assert config.known_models(root) == ["other", "tiny"]
    assert "known studies: arms, trial (" in message(lambda: config.load_study(root, "trail"))
    assert "run this in the root" in message(lambda: config.load_study(root / "results", "trial"))
    assert len(runs(root, "trial")) == 4
    for name in (".ipynb_checkpoints/tiny-s0", "short/._tiny-s0", "short/tiny-s0"):
        log = root / "results" / "log" / "trial" / name / "run.jsonl"
        log.parent.mkdir(parents=True)
        log.touch()
    assert config.visible(root / "results", "**/run.jsonl") == [log]


@pytest.mark.parametrize("form", ["bom", "crlf"])
def test_forms_of_a_file_that_mean_the_same(root: Path, form: str) -> None:
    path = root / "experiments" / "recipe.toml"
    data = RECIPE.encode("utf-8-sig") if form == "bom" else RECIPE.replace("\n", "\r\n").encode()
    path.write_bytes(data)
    assert config.load_recipe(root).batch_size == 64


# ----------------------------------------------------------------------------- what is wrong

MISTAKES = {
    "too long a number": ("recipe", "= 64", "= " + "9" * 5000, "not valid TOML"),
    "deep": ("recipe", "= 64", "= " + "[" * 5000, "not valid TOML"),
    "near key": ("recipe", "momentum =", "momentun =", "unknown key 'momentun'; did you mean 'mom"),
    "missing": ("recipe", "momentum = 0.9\n", "", "key 'momentum' is missing"),
    "float": ("recipe", "= 64", "= 64.0", "batch_size = 64.0"),
    "bool": ("recipe", "= true", "= 1", "nesterov = 1: input should be a valid boolean"),
    "NaN": ("recipe", "= 0.05", "= nan", "peak_learning_rate = nan"),
    "float16": ("recipe", '"bfloat16"', '"float16"', "precision = 'float16'"),
    "syntax": ("recipe", "= 0.9", "= = 0.9", "not valid TOML"),
    "override": ("tiny", "[override.peak_learning_rate]", "[override.peak_learning_rat]",
                 "the recipe has no key 'peak_learning_rat'; did you mean 'peak_learning_rate'?"),
    "no reason": ("tiny", 'why = "it has no batch norm"\n', "", "give its reason"),
    "whi": ("tiny", "why =", "whi =", "'override.peak_learning_rate.whi'; did you mean 'why'?"),
    "name": ("trial", "epochs", 'name = "x"\nepochs', "a study has the name of its file"),
    "no seed": ("trial", "seeds = [0, 7]", "seeds = []", "seeds: at least one is needed"),
    "seed twice": ("trial", "[0, 7]", "[0, 0]", "seeds: 0 is named twice"),
    "both": ("trial", "epochs = 3", "epochs = 3\nsteps = 5", "give either epochs or steps"),
    "steps": ("trial", "epochs = 3", "steps = { tiny = 5 }", "steps lacks other"),
    "set": ("trial", '"jpeg75"', '"jpg75"', "data.set = 'jpg75'"),
    "wrong table": ("trial", "set =", "seeds = [0]\nset =",
                    "unknown key 'data.seeds'; did you mean 'seeds'?"),
    "grid": ("trial", "[data]", "[grid]\nmomentun = [0.9]\n[data]",
             "grid.momentun: the recipe has no key 'momentun'; did you mean 'momentum'?"),
    "arm key": ("arms", "epochs = 2", "epoch = 2",
                "unknown key 'arm.equal.epoch'; did you mean 'epochs'?"),
    "arm steps": ("arms", "tiny = 5, ", "", "arm.short: steps lacks tiny"),
    "head": ("arms", "[data]", "seeds = [0]\n[data]", "stand in each [arm.NAME] where there are"),
    "contrast": ("arms", "[data]", '[contrast]\narm = "long"\nbaseline = "tiny"\n[data]',
                 "contrast or budget names 'long', an arm or a network that the study does not"),
    "refines": ("arms", "seeds = [0]", 'seeds = [0]\nrefines = "short"',
                "no such arm with a [grid]"),
}  # fmt: skip


@pytest.mark.parametrize("file, old, new, expected", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_name_file_key_value_and_remedy(
    root: Path, cnnpaper, monkeypatch, file, old, new, expected
) -> None:
    name = f"study/{file}.toml" if file in ("trial", "arms") else f"{file}.toml"
    edit(root / "experiments" / name, old, new)
    monkeypatch.chdir(root)
    study = "arms" if file == "arms" else "trial"
    refused(cnnpaper, root, ("status", "--study", study), (f"experiments/{name}", expected))
