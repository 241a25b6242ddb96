"""Experiment files: what they give, and what every mistake in them gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnpaper import config
from cnnpaper.errors import UserError

REPOSITORY = Path(__file__).parents[1]

RECIPE = """\
batch_size = 128
peak_learning_rate = 0.25
warmup_share = 0.2
momentum = 0.9
nesterov = true
weight_decay = 5e-4
weight_decay_on = "weights"
label_smoothing = 0.1
crop_padding = 4
crop_mode = "reflect"
flip = "random"
low_resolution = 24
low_resolution_share = 0.5
ema_decay = 0.0
clip_norm = 0.0
memory_format = "channels_last"
"""
TINY = """\
name = "Tiny-Net"
korean = "타이니넷"
year = 2020
venue = "Journal of Tests"
citation = "tiny2020net"
builder = "tiny"
initialisation = "pytorch"
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
value = 64
why = "the machine is small"

[override.peak_learning_rate]
value = 0.5
why = "overridden by the network's own"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a recipe, the networks tiny and other, and the study trial."""
    files = {
        "recipe.toml": RECIPE,
        "tiny.toml": TINY,
        "other.toml": TINY.partition("[override")[0].replace("Tiny-Net", "Other"),
        "study/trial.toml": STUDY,
    }
    for name, text in files.items():
        path = tmp_path / "experiments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


# ----------------------------------------------------------------------------- what is right


def test_runs_of_a_study_in_the_order_of_its_file(root: Path) -> None:
    specs = config.run_specs(root, config.load_study(root, "trial"))
    assert [spec.run for spec in specs] == ["tiny-s0", "tiny-s7", "other-s0", "other-s7"]


def test_network_overrides_study_overrides_recipe(root: Path) -> None:
    tiny, _, other, _ = config.run_specs(root, config.load_study(root, "trial"))
    assert (tiny.recipe.peak_learning_rate, tiny.recipe.batch_size) == (0.02, 64)
    assert (other.recipe.peak_learning_rate, other.recipe.batch_size) == (0.5, 64)
    assert other.recipe.weight_decay == 0.0005
    assert other.recipe.momentum == 0.9


def test_spec_holds_what_the_files_say(root: Path) -> None:
    spec = config.run_specs(root, config.load_study(root, "trial"))[1]
    assert (spec.study, spec.model, spec.seed, spec.epochs) == ("trial", "tiny", 7, 3)
    assert (spec.builder, spec.initialisation, spec.initialisation_std) == ("tiny", "pytorch", 0.01)
    assert (spec.threads, spec.isa_cap) == (2, None)
    assert spec.data.model_dump() == {
        "set": "jpeg75",
        "digest": None,
        "train_images": 45_000,
        "validation_images": 5_000,
        "test_images": 10_000,
        "held_out": None,
    }


def test_identity_is_without_names_and_threads(root: Path) -> None:
    spec = config.run_specs(root, config.load_study(root, "trial"))[0]
    same = spec.model_copy(
        update={"study": "another", "variant": "b", "threads": 8, "isa_cap": "avx2"}
    )
    assert same.identity() == spec.identity()
    assert spec.model_copy(update={"seed": 1}).identity() != spec.identity()
    assert spec.identity()["recipe"]["peak_learning_rate"] == 0.02


def test_identity_survives_json(root: Path) -> None:
    spec = config.run_specs(root, config.load_study(root, "trial"))[0]
    again = config.RunSpec.model_validate_json(spec.model_dump_json())
    assert again == spec


@pytest.mark.parametrize(
    "parts, name",
    [
        (("resnet18", None, 0), "resnet18-s0"),
        (("resnet18", None, None), "resnet18"),
        (("resnet18", "pretrained", None), "resnet18-pretrained"),
        (("resnet18", "b12", 4294967295), "resnet18-b12-s4294967295"),
    ],
)
def test_run_name(parts: tuple[str, str | None, int | None], name: str) -> None:
    assert config.run_name(*parts) == name


def test_run_folder() -> None:
    assert config.run_folder(Path(), "smoke", "alexnet-s0") == Path("results/log/smoke/alexnet-s0")


@pytest.mark.parametrize("change", ["\ufeff{}", "{}\n\n# 끝\n"], ids=["BOM", "hangul comment"])
def test_form_of_a_file_that_means_the_same(root: Path, change: str) -> None:
    path = root / "experiments" / "recipe.toml"
    path.write_text(change.format(RECIPE), encoding="utf-8")
    assert config.load_recipe(root).batch_size == 128


def test_crlf_means_the_same(root: Path) -> None:
    path = root / "experiments" / "recipe.toml"
    path.write_bytes(RECIPE.replace("\n", "\r\n").encode())
    assert config.load_recipe(root).memory_format == "channels_last"


def test_single_study_is_made_of_the_runs_in_its_folder(root: Path) -> None:
    for run in ("tiny-s3", "other-s0", "tiny-s12", "unknown-s1", "notes"):
        (root / "results" / "log" / "single-10ep" / run).mkdir(parents=True)
    study = config.load_study(root, "single-10ep")
    assert (study.networks, study.seeds, study.epochs) == (("other", "tiny"), (0, 1, 3, 12), 10)
    assert study.data.set == "any"


def test_committed_files_are_valid() -> None:
    models = config.known_models(REPOSITORY)
    assert {"alexnet", "vgg16", "googlenet", "resnet18"} <= set(models)
    for model in models:
        config.load_experiment(REPOSITORY, model)
    for path in (REPOSITORY / "experiments" / "study").glob("*.toml"):
        study = config.load_study(REPOSITORY, path.stem)
        if study.origin == "trained":
            assert config.run_specs(REPOSITORY, study)


def test_frozen(root: Path) -> None:
    recipe = config.load_recipe(root)
    with pytest.raises(ValueError, match="frozen"):
        recipe.momentum = 0.5  # type: ignore[misc]


# ----------------------------------------------------------------------------- what is wrong

RECIPE_MISTAKES = {
    "unknown key, a near one": (
        ("momentum = 0.9", "momentun = 0.9"),
        ["unknown key 'momentun'", "did you mean 'momentum'"],
    ),
    "unknown key, none near": (("nesterov", "zzz = 1\nnesterov"), ["unknown key 'zzz'"]),
    "key missing": (("momentum = 0.9\n", ""), ["key 'momentum' is missing"]),
    "text for a number": (("= 128", '= "128"'), ["batch_size = '128'", "integer"]),
    "float for a whole number": (("= 128", "= 128.0"), ["batch_size = 128.0", "integer"]),
    "number for a bool": (("= true", "= 1"), ["nesterov = 1", "boolean"]),
    "bool for a number": (("= 0.9", "= true"), ["momentum = True", "number"]),
    "table for a number": (("momentum = 0.9", "momentum = {a = 1}"), ["momentum = {'a': 1}"]),
    "date for a number": (("= 0.9", "= 2023-10-31"), ["momentum = datetime.date(2023, 10, 31)"]),
    "too large": (("= 128", "= 65537"), ["batch_size = 65537", "65536"]),
    "too small": (("= 128", "= 1"), ["batch_size = 1", "2"]),
    "zero": (("= 0.25", "= 0"), ["peak_learning_rate = 0", "greater than 0"]),
    "negative": (("= 5e-4", "= -5e-4"), ["weight_decay = -0.0005"]),
    "NaN": (("= 0.25", "= nan"), ["peak_learning_rate = nan"]),
    "infinity": (("= 0.25", "= inf"), ["peak_learning_rate = inf"]),
    "1e999": (("= 0.25", "= 1e999"), ["peak_learning_rate = inf"]),
    "whole number of 400 digits": (("= 0.25", "= 1" + "0" * 400), ["peak_learning_rate = 1000"]),
    "whole number of 5,000 digits": (("= 0.25", "= 1" + "0" * 5000), ["recipe.toml"]),
    "hexadecimal number of 5,000 digits": (
        ("= 128", "= 0x1" + "0" * 5000),
        ["batch_size = a number of thousands of digits"],
    ),
    "word that is none of the choices": (
        ('"reflect"', '"mirror"'),
        ["crop_mode = 'mirror'", "'reflect' or 'zeros'"],
    ),
    "duplicate key": (("nesterov", "momentum = 0.8\nnesterov"), ["not valid TOML", "line 5"]),
    "syntax": (("= 0.9", "= = 0.9"), ["not valid TOML", "line 4"]),
    "NUL": (("= 0.9", "= 0.9\0"), ["not valid TOML"]),
    "deep nesting": (("= 0.9", "= " + "[" * 20_000), ["not valid TOML"]),
}


@pytest.mark.parametrize("change, expected", RECIPE_MISTAKES.values(), ids=RECIPE_MISTAKES.keys())
def test_mistake_in_the_recipe(root: Path, change: tuple[str, str], expected: list[str]) -> None:
    path = root / "experiments" / "recipe.toml"
    text = RECIPE.replace(*change, 1)
    assert text != RECIPE
    path.write_text(text, encoding="utf-8")
    message = _message(lambda: config.load_recipe(root))
    for part in [str(path), *expected]:
        assert part in message


BYTES = {
    "UTF-16": (RECIPE.encode("utf-16"), "not UTF-8 at byte 0"),
    "not UTF-8": (b"# \xff\n" + RECIPE.encode(), "not UTF-8 at byte 2"),
    "10 MB": (b"#" * 10_000_000, "larger than 1 MB"),
    "empty": (b"", "key 'batch_size' is missing"),
}


@pytest.mark.parametrize("data, expected", BYTES.values(), ids=BYTES.keys())
def test_bytes_that_are_no_recipe(root: Path, data: bytes, expected: str) -> None:
    path = root / "experiments" / "recipe.toml"
    path.write_bytes(data)
    message = _message(lambda: config.load_recipe(root))
    assert str(path) in message
    assert expected in message


def test_folder_in_place_of_a_file(root: Path) -> None:
    path = root / "experiments" / "recipe.toml"
    path.unlink()
    path.mkdir()
    assert _message(lambda: config.load_recipe(root)) == f"{path}: cannot be read (Is a directory)"


def test_missing_file(root: Path) -> None:
    path = root / "experiments" / "recipe.toml"
    path.unlink()
    assert "cannot be read (No such file or directory)" in _message(
        lambda: config.load_recipe(root)
    )


EXPERIMENT_MISTAKES = {
    "override of a key that the recipe lacks": (
        ("[override.peak_learning_rate]", "[override.peak_learning_rat]"),
        ["override.peak_learning_rat", "did you mean 'peak_learning_rate'"],
    ),
    "override without a reason": (
        ('why = "it has no batch norm"\n', ""),
        ["key 'override.peak_learning_rate.why' is missing"],
    ),
    "override with a typing error": (
        ("why =", "whi ="),
        ["override.peak_learning_rate.wh"],
    ),
    "no such initialisation": (('"pytorch"', '"pytorhc"'), ["initialisation = 'pytorhc'"]),
    "epoch": (("year", "epoch = 3\nyear"), ["unknown key 'epoch'"]),
    "citation with a space": (("tiny2020net", "tiny 2020"), ["citation = 'tiny 2020'"]),
    "year as text": (("2020\n", '"2020"\n'), ["year = '2020'"]),
}


@pytest.mark.parametrize(
    "change, expected", EXPERIMENT_MISTAKES.values(), ids=EXPERIMENT_MISTAKES.keys()
)
def test_mistake_in_an_experiment(root: Path, change: tuple[str, str], expected: list[str]) -> None:
    path = root / "experiments" / "tiny.toml"
    text = TINY.replace(*change, 1)
    assert text != TINY
    path.write_text(text, encoding="utf-8")
    message = _message(lambda: config.load_experiment(root, "tiny"))
    for part in [str(path), *expected]:
        assert part in message


def test_override_with_a_value_out_of_range_names_the_network(root: Path) -> None:
    path = root / "experiments" / "tiny.toml"
    path.write_text(TINY.replace("value = 0.02", "value = -1.0"), encoding="utf-8")
    study = config.load_study(root, "trial")
    message = _message(lambda: config.run_specs(root, study))
    assert f"{path}: peak_learning_rate = -1.0" in message


STUDY_MISTAKES = {
    "no network": (('["tiny", "other"]', "[]"), ["networks = ()"]),
    "a network twice": (('"other"', '"tiny"'), ["named twice"]),
    "a seed twice": (("[0, 7]", "[7, 7]"), ["named twice"]),
    "no seed": (("[0, 7]", "[]"), ["at least one seed"]),
    "negative seed": (("[0, 7]", "[-1]"), ["seeds.0 = -1"]),
    "seed of 33 bits": (("[0, 7]", "[4294967296]"), ["seeds.0 = 4294967296"]),
    "seed as text": (("[0, 7]", '["0"]'), ["seeds.0 = '0'"]),
    "no epoch": (("epochs = 3", "epochs = 0"), ["epochs = 0"]),
    "epochs as text": (("epochs = 3", 'epochs = "ten"'), ["epochs = 'ten'"]),
    "epochs misspelt": (("epochs = 3", "epoch = 3"), ["epoch"]),
    "no such data set": (('"jpeg75"', '"cifar100"'), ["data.set = 'cifar100'"]),
    "key of the data misspelt": (
        ('set = "jpeg75"', 'set = "jpeg75"\ntrain_image = 100'),
        ["unknown key 'data.train_image'", "did you mean 'train_images'"],
    ),
    "more images than there are": (
        ('"jpeg75"', '"jpeg75"\ntrain_images = 50000'),
        ["data.train_images = 50000", "45000"],
    ),
    "digest of 63 digits": (
        ('"jpeg75"', f'"jpeg75"\ndigest = "{"0" * 63}"'),
        ["data.digest = '000"],
    ),
    "no data": (('[data]\nset = "jpeg75"\n', ""), ["key 'data' is missing"]),
    "data as text": (('[data]\nset = "jpeg75"\n', 'data = "jpeg75"\n'), ["data = 'jpeg75'"]),
    "override of a key that the recipe lacks": (
        ("[override.batch_size]", "[override.batchsize]"),
        ["override.batchsize", "did you mean 'batch_size'"],
    ),
    "name of a network with a slash": (('"other"', '"../other"'), ["networks.1 = '../other'"]),
}


@pytest.mark.parametrize("change, expected", STUDY_MISTAKES.values(), ids=STUDY_MISTAKES.keys())
def test_mistake_in_a_study(root: Path, change: tuple[str, str], expected: list[str]) -> None:
    path = root / "experiments" / "study" / "trial.toml"
    text = STUDY.replace(*change, 1)
    assert text != STUDY
    path.write_text(text, encoding="utf-8")
    message = _message(lambda: config.load_study(root, "trial"))
    for part in [str(path), *expected]:
        assert part in message


def test_unknown_network_and_the_nearest(root: Path) -> None:
    assert _message(lambda: config.load_experiment(root, "tinny")) == (
        "unknown network 'tinny'; did you mean 'tiny'?\nknown networks: other, tiny"
    )


@pytest.mark.parametrize("seed", [-1, 2**32, True, "0"])
def test_a_seed_that_no_run_can_have(root: Path, seed: Any) -> None:
    study = config.load_study(root, "trial")
    message = _message(lambda: config.run_spec(root, study, "tiny", seed))
    assert message.startswith(f"a run of tiny in study 'trial': seed = {seed!r}: ")


def test_network_of_a_study_that_has_no_file(root: Path) -> None:
    (root / "experiments" / "other.toml").unlink()
    study = config.load_study(root, "trial")
    assert "unknown network 'other'" in _message(lambda: config.run_specs(root, study))


def test_outside_of_a_repository(tmp_path: Path) -> None:
    assert "root of the repository" in _message(lambda: config.load_experiment(tmp_path, "tiny"))


@pytest.mark.parametrize(
    "name",
    [
        "trail",
        "",
        ".",
        "..",
        "../trial",
        "/etc/passwd",
        "trial.toml",
        "a\0b",
        "n" * 300,
        "single-0ep",
        "single-ep",
        "single-1000000ep",
        "single-" + "9" * 5000 + "ep",
    ],
)
def test_study_that_is_not_there(root: Path, name: str) -> None:
    message = _message(lambda: config.load_study(root, name))
    assert 1 <= len(message.splitlines()) <= 5


def test_unknown_study_and_the_nearest(root: Path) -> None:
    assert _message(lambda: config.load_study(root, "trail")) == (
        "there is no study 'trail'; did you mean 'trial'?\n"
        f"known studies: trial (files in {root / 'experiments' / 'study'})"
    )


# ----------------------------------------------------------------------------- anything at all

ANYTHING = settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.none()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)


@ANYTHING
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
def test_any_bytes_are_tables_or_a_user_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(data)
    found = _result(lambda: config.read_toml(path))
    assert isinstance(found, dict) or str(path) in found


@ANYTHING
@given(
    model=st.sampled_from([config.Recipe, config.Experiment, config.Study, config.DataSpec]),
    values=st.data(),
)
def test_any_values_are_an_object_or_a_user_error(
    model: type[config.Model], values: st.DataObject
) -> None:
    keys = st.sampled_from(list(model.model_fields)) | st.text(max_size=10)
    drawn = values.draw(st.dictionaries(keys, _VALUES, max_size=6))
    found = _result(lambda: config.validated(model, drawn, "any.toml"))
    assert isinstance(found, model) or (found.startswith("any.toml: ") and len(found) < 2_000)


@ANYTHING
@given(key=st.sampled_from(list(config.Recipe.model_fields)), value=_VALUES)
def test_any_value_of_one_key_is_a_recipe_or_a_user_error(key: str, value: object) -> None:
    values = {**config.load_recipe(REPOSITORY).model_dump(), key: value}
    found = _result(lambda: config.validated(config.Recipe, values, "any.toml"))
    assert isinstance(found, config.Recipe) or key in found


def _result(call: Callable[[], Any]) -> Any:
    """What ``call`` returns, or what the user is told; nothing else may be raised."""
    try:
        return call()
    except UserError as error:
        return str(error)


def _message(call: Callable[[], object]) -> str:
    """What the user is told."""
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)
