"""Experiments as files: TOML in, frozen and validated objects out.

``experiments/recipe.toml`` is the training recipe that all networks share; each
``experiments/MODEL.toml`` describes one network and may override the recipe, with the reason;
``experiments/study/STUDY.toml`` says which networks, arms, seeds and data one paper is about.
:func:`run_specs` resolves the three into a list of :class:`RunSpec`.
"""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import to_json

from cnnpaper.files import UserError, nearest

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=40)]
Variant = Annotated[str, StringConstraints(pattern=r"^[\w(][\w.()가-힣 +-]*$", max_length=60)]
StudyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9가-힣][\w.가-힣-]*$", max_length=80)
]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Steps = Annotated[int, Field(ge=1, le=100_000_000)]
Value = bool | int | float | str


class Model(BaseModel):
    """Base of every configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Recipe(Model):
    """How a network is trained: one value for all, unless a network's file overrides it."""

    batch_size: int = Field(ge=2, le=65536)  # images per step
    peak_learning_rate: Positive
    """Learning rate at the top of the triangle, for the mean loss of a step's images."""
    warmup_fraction: Fraction
    """Fraction of all steps in which the rate rises linearly from near zero to the peak; then it
    falls linearly to near zero."""
    momentum: Fraction
    nesterov: bool
    weight_decay: float = Field(ge=0, le=1, allow_inf_nan=False)
    weight_decay_on: Literal["weights", "all"]
    """``weights``: convolutions and linear layers only; ``all``: biases and batch norm too."""
    label_smoothing: Fraction
    crop_padding: int = Field(ge=0, le=16)
    """Pixels added on each side before a random 32 x 32 crop; 0 for no crop."""
    crop_mode: Literal["reflect", "zeros"]
    flip: Literal["alternating", "random", "none"]
    """``alternating``: a random half of the images is mirrored in even epochs, the other half in
    odd ones (airbench), so two epochs show every image both ways."""
    clip_norm: float = Field(ge=0, allow_inf_nan=False)
    """Largest norm of the gradient; 0 for no clipping."""
    memory_format: Literal["channels_last", "contiguous"]
    """Order of the tensors in memory; changes speed and last bits, not the mathematics."""
    precision: Literal["float32", "bfloat16"]
    """Of the forward and backward pass: ``bfloat16`` by autocast. Weights, optimizer and evaluation
    are float32 always, without TF32."""


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"{twice[0]!r} is named twice")
    return values


def _recipe_key(key: str) -> str:
    if key not in Recipe.model_fields:
        raise ValueError(f"the recipe has no key {key!r}{nearest(key, Recipe.model_fields)}")
    return key


Once = AfterValidator(_once)
RecipeKey = Annotated[str, AfterValidator(_recipe_key)]


class Override(Model):
    """One departure of a network from the shared recipe: its reason, or the study that chose it."""

    value: Value
    why: str | None = Field(default=None, min_length=10)
    from_study: StudyName | None = Field(default=None, alias="from")
    """A tuning study whose winner the value must be; ``make report`` checks it."""

    @model_validator(mode="after")
    def _reason(self) -> Override:
        if (self.why is None) == (self.from_study is None):
            raise ValueError('give its reason: either why = "…" or from = "a tuning study"')
        return self


class Experiment(Model):
    """One network: what it is called, where it comes from, how it departs from the recipe."""

    name: str = Field(min_length=1, max_length=60)  # as printed: `ResNet-18`
    korean: str = Field(min_length=1, max_length=60)
    """Korean reading; Korean particles follow its last syllable."""
    year: int = Field(ge=1950, le=2100)
    venue: str = Field(min_length=1, max_length=40)
    citation: Slug  # key in `report/references.bib`
    variant_citation: Slug | None = None  # of the variant that is used, where it is a later one
    depth: int | None = Field(default=None, ge=1)
    """The conventional one, weighted layers on the longest path: 18 for ResNet-18."""
    builder: Slug  # its file in `cnnpaper/engine/networks`
    idea: str = Field(min_length=40)
    """What the network contributed, a paragraph of plain text without numbers of our own."""
    stem: str = Field(min_length=10)
    """How stem and head differ from torchvision's network, a sentence of plain text."""
    idea_ko: str = ""
    stem_ko: str = ""
    override: dict[RecipeKey, Override] = Field(default_factory=dict)


class DataSpec(Model):
    """The data that a study is about."""

    set: Literal["original", "jpeg75", "synthetic", "any", "unknown"]
    """``any``: whatever the data folder holds, the digest then recorded, not required;
    ``unknown``: imported logs do not say."""
    digest: Digest | None = None
    """SHA-256 over the six rebuilt batches; data of another digest is refused."""
    train_images: int = Field(default=45_000, ge=10, le=45_000)
    validation_images: int = Field(default=5_000, ge=10, le=5_000)
    test_images: int = Field(default=10_000, ge=0, le=10_000)
    """0: the runs of the study choose something and read no test image."""

    @property
    def cifar10(self) -> bool:
        """Are these images known to be CIFAR-10's, whatever became of their pixels?"""
        return self.set in ("original", "jpeg75")


class Length(Model):
    """How long runs are, by epochs or by steps."""

    epochs: int | None = Field(default=None, ge=1, le=100_000)
    steps: Steps | dict[Slug, Steps] | None = None
    """For all networks, or for each; the last epoch may be partial."""
    seeds: Annotated[tuple[Seed, ...], Once] = ()


class Arm(Length):
    """Runs of a study with one budget."""

    refines: Slug | None = None
    """An arm whose best grid value is tried here with its two neighbours (see ``tuning.py``)."""


class Contrast(Model):
    """The primary comparison, named before the runs: each network against the baseline."""

    arm: Slug
    baseline: Slug


class Budget(Model):
    """Equal time, in steps: every network gets the time that ``like`` needs for its own steps."""

    like: Slug
    timing: StudyName  # whose `timing.jsonl` has the step times
    session: int = Field(default=1, ge=1)
    processor: str = Field(min_length=3)
    """On which they were measured, as ``machine.processor`` has it there."""
    steps: dict[Slug, Steps]
    """Arm → steps of network ``like``; ``cnnpaper budget`` prints those of the others."""


class ImportedLog(Model):
    """A text log of another program."""

    network: Slug
    label: str = Field(min_length=1)  # as printed: `ResNet-18 (imagenet_V1)`


class Imported(Model):
    """Logs of another program, and what those who have them say besides."""

    title: str = ""
    authors: tuple[str, ...] = ()
    data: str = ""  # name of the images
    log: dict[str, ImportedLog] = Field(default_factory=dict)  # by name of the file, in order


class Study(Length):
    """What one paper is about; without arms, epochs, steps and seeds are its own."""

    name: StudyName
    origin: Literal["trained", "imported"] = "trained"
    """``imported``: the runs are the ones in its folder, read from logs of another program."""
    imported: Imported | None = None
    networks: Annotated[tuple[Slug, ...], Once] = Field(min_length=1)
    """In the order of the paper's tables and figures."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of a run; they decide the last bits. None: the physical cores of the process."""
    data: DataSpec
    override: dict[RecipeKey, Override] = Field(default_factory=dict)
    """Departures of the whole study from the recipe; a network's own win over them."""
    grid: dict[RecipeKey, tuple[Value, ...]] = Field(default_factory=dict)
    """Keys of the recipe → values that every network tries; they win over all overrides."""
    arm: dict[Slug, Arm] = Field(default_factory=dict)
    tuning: StudyName | None = None
    """The study that chose the learning rates; its figure is in the paper."""
    precision: StudyName | None = None
    """The study that compared the precisions; its table is in the paper."""
    contrast: Contrast | None = None
    budget: Budget | None = None

    @model_validator(mode="after")
    def _lengths(self) -> Study:
        if self.arm and (self.seeds or self.epochs or self.steps):
            raise ValueError(
                "seeds, epochs and steps stand in each [arm.NAME] where there are arms"
            )
        own = {"": self} if self.origin == "trained" else {}
        for name, one in (self.arm or own).items():
            where = f"arm.{name}: " if name else ""
            if not one.seeds:
                raise ValueError(f"{where}seeds: at least one is needed: seeds = [0]")
            if (one.epochs is None) == (one.steps is None):
                raise ValueError(f"{where}give either epochs or steps")
            if isinstance(one.steps, dict) and (missing := {*self.networks} - {*one.steps}):
                raise ValueError(f"{where}steps lacks {', '.join(sorted(missing))}")
        return self

    @model_validator(mode="after")
    def _names(self) -> Study:
        for name, arm in self.arm.items():
            if arm.refines is not None and (arm.refines not in self.arm or not self.grid):
                raise ValueError(f"arm.{name}.refines = {arm.refines!r}: no such arm with a [grid]")
        for name, one in self.imported.log.items() if self.imported else ():
            if one.network not in self.networks:
                raise ValueError(f"imported.log.{name}: networks lacks {one.network!r}")
        arms = [self.contrast.arm] if self.contrast else []
        networks = [self.contrast.baseline] if self.contrast else []
        if self.budget:
            arms, networks = [*arms, *self.budget.steps], [*networks, self.budget.like]
        if unknown := [*({*arms} - {*self.arm}), *({*networks} - {*self.networks})]:
            text = f"contrast or budget names {unknown[0]!r}, an arm or a network that"
            raise ValueError(f"{text} the study does not have")
        return self

    @property
    def arms(self) -> dict[str | None, Arm]:
        """The arms in order; a study without any is one unnamed arm."""
        if self.arm or not self.seeds:
            return dict[str | None, Arm](self.arm.items())
        return {None: Arm(epochs=self.epochs, steps=self.steps, seeds=self.seeds)}

    @property
    def equal_epochs(self) -> str | None:
        """The arm of equal epochs beside those of equal time, where there are both."""
        timed = self.budget.steps if self.budget else {}
        arms = [name for name, arm in self.arm.items() if arm.epochs and name not in timed]
        return arms[0] if timed and arms else None


class RunSpec(Model):
    """Everything that one training needs to know; with code and data it decides the result."""

    study: StudyName
    arm: Slug | None = None
    model: Slug
    variant: Variant | None = None  # distinguishes several runs of one network and seed: `rate0.05`
    seed: Seed
    steps: Steps  # optimizer steps in all; the last epoch may be partial
    builder: Slug
    threads: int | None
    data: DataSpec
    recipe: Recipe

    @property
    def run(self) -> str:
        """Name of the run and of its folder: ``resnet18-s0``."""
        return run_name(self.model, self.variant, self.seed)

    @property
    def path(self) -> str:
        """Where it lies below ``results/log``: ``reference/short/resnet18-s0``."""
        return "/".join(part for part in (self.study, self.arm, self.run) if part)

    @property
    def steps_per_epoch(self) -> int:
        """The last short batch counts, unless it is one image, which batch norm refuses."""
        return steps_per_epoch(self.data.train_images, self.recipe.batch_size)

    @property
    def epochs(self) -> int:
        """Epochs in all, a partial last one counted."""
        return -(-self.steps // self.steps_per_epoch)

    def folder(self, root: Path) -> Path:
        """Where log, predictions and checkpoints lie."""
        return root / "results" / "log" / self.path

    def identity(self) -> dict[str, Any]:
        """What decides the result, for the fingerprint: no names, no threads.

        Which data these are is said by their digest, not by what the study calls them.
        """
        chosen = self.model_dump(mode="json", include={"seed", "steps", "builder", "recipe"})
        return chosen | {"images": self.data.model_dump(exclude={"set", "digest"})}


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps of an epoch over ``images`` training images."""
    return images // batch_size + (images % batch_size > 1)


def run_name(model: str, variant: str | None, seed: int | None) -> str:
    """``resnet18-s0``; with a variant ``resnet18-rate0.05-s0``; None parts are left out."""
    return "-".join(
        part for part in (model, variant, None if seed is None else f"s{seed}") if part is not None
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UserError: the file is missing, not UTF-8 or not TOML; the message has the line.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:  # ValueError: a number of too many digits, too
        raise UserError(f"{path}: not valid TOML: {error}") from None


def validated(model: type[ModelT], values: dict[str, Any], path: Path | str) -> ModelT:
    """``values`` as an instance of ``model``.

    Raises:
        UserError: the first thing that is wrong, as file, key, value and remedy.
    """
    try:
        return model.model_validate_json(to_json(values))  # as JSON, whose arrays are tuples, too
    except ValidationError as error:
        # a misspelt key is also a missing one: the misspelling is the better message
        found = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise UserError(f"{path}: {_explained(found[0])}") from None


def _explained(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "value_error":  # of a validator above
        return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
    if error["type"] == "extra_forbidden":
        # of all tables: a key may also have slipped into the wrong one
        kinds: list[type[Model]] = [*Model.__subclasses__(), Arm, Study]
        known = {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}
        return f"unknown key '{key}'{nearest(str(error['loc'][-1]), sorted(known))}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    shown, message = repr(error["input"]), str(error["msg"])
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{key} = {shown}: {message[:1].lower()}{message[1:]}"


# ----------------------------------------------------------------------------- files of the root


def visible(folder: Path, pattern: str) -> list[Path]:
    """Files of ``folder`` that are input: what begins with a dot is an editor's or the system's."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def load_recipe(root: Path) -> Recipe:
    """The recipe that all networks share."""
    path = root / "experiments" / "recipe.toml"
    return validated(Recipe, read_toml(path), path)


def known_models(root: Path) -> list[str]:
    """The networks that have a file, by name."""
    files = visible(root / "experiments", "*.toml")
    return [path.stem for path in files if path.stem not in ("recipe", "cluster")]


def load_experiment(root: Path, model: str) -> Experiment:
    """The file of one network.

    Raises:
        UserError: no such network (with the nearest), or a mistake in its file.
    """
    models = known_models(root)
    if not models:
        raise UserError(
            f"{root / 'experiments'}: no network is described here; "
            "start cnnpaper in the root of the repository"
        )
    if model not in models:
        known = f"known networks: {', '.join(models)}"
        raise UserError(f"unknown network {model!r}{nearest(model, models)}\n{known}")
    path = root / "experiments" / f"{model}.toml"
    return validated(Experiment, read_toml(path), path)


SINGLE = re.compile(
    r"^single-(?P<epochs>[1-9][0-9]{0,5})ep"
    r"(?:-b(?P<batch_size>[1-9][0-9]{0,8}))?(?:-(?P<precision>float32|bfloat16))?$"
)
"""Studies that ``cnnpaper train`` writes without a file: ``single-10ep``, ``single-10ep-b64``,
``single-10ep-float32``."""


def load_study(root: Path, name: str) -> Study:
    """The study ``name`` from its file; ``single-10ep``, written by ``cnnpaper train``, needs none.

    Raises:
        UserError: no such study (with the nearest), or a mistake in its file.
    """
    name = unicodedata.normalize("NFC", name)
    _refuse_decomposed(root / "results" / "log" / name)
    folder = root / "experiments" / "study"
    files = {unicodedata.normalize("NFC", path.stem): path for path in visible(folder, "*.toml")}
    if path := files.get(name):
        values = read_toml(path)
        if "name" in values:
            raise UserError(f"{path}: key 'name': a study has the name of its file; remove the key")
        return validated(Study, {**values, "name": name}, path)
    if match := SINGLE.match(name):
        return _single_study(root, name, match)
    known = f"known studies: {', '.join(sorted(files))} (files in {folder})"
    elsewhere = f"there is no file in {folder.absolute()}: run this in the root of the repository"
    raise UserError(
        f"there is no study {name!r}{nearest(name, files)}\n{known if files else elsewhere}"
    )


def _refuse_decomposed(logs: Path) -> None:
    """Logs in a folder of the same name in other bytes, as an archive of a Mac may give it."""
    for other in logs.parent.glob("*") if not logs.name.isascii() else ():
        if unicodedata.normalize("NFC", other.name) != logs.name or other.name == logs.name:
            continue
        if logs.exists() and logs.samefile(other):
            continue
        rename = f"rename it: {shlex.join(['mv', str(other), str(logs)])}"
        remedy = f"move its runs into {logs} and remove it" if logs.exists() else rename
        told = "its name is in decomposed Unicode, so its logs are not found"
        raise UserError(f"{other}: {told}\n{remedy}")


def _single_study(root: Path, name: str, parts: re.Match[str]) -> Study:
    """A study made of the runs that lie in its folder."""
    logs = (root / "results" / "log" / name).glob("*-s*")
    found = [match for path in logs if (match := re.fullmatch(r"([a-z0-9_]+)-s(\d+)", path.name))]
    models = {match[1] for match in found}
    values: dict[str, Any] = {
        "name": name,
        "networks": [model for model in known_models(root) if model in models] or ["alexnet"],
        "seeds": sorted({int(match[2]) for match in found}) or [0],
        "epochs": int(parts["epochs"]),
        "data": {"set": "any"},
    }
    asked = {"batch_size": parts["batch_size"] and int(parts["batch_size"]),
             "precision": parts["precision"]}  # fmt: skip
    values["override"] = {
        key: {"value": value, "why": "asked for on the command line"}
        for key, value in asked.items()
        if value
    }
    return validated(Study, values, f"study {name}")


# -------------------------------------------------------------------------------------- the runs


def variant_name(point: Mapping[str, Value]) -> str:
    """``rate0.05`` for a peak learning rate, ``bfloat16`` for a word, else key and value."""
    words = []
    for key, value in point.items():
        text = value if isinstance(value, str) else f"{key}{value}"
        words.append(f"rate{value:g}" if key == "peak_learning_rate" else text)
    return "_".join(words)


def run_spec(
    root: Path,
    study: Study,
    model: str,
    seed: int,
    *,
    arm: str | None = None,
    point: Mapping[str, Value] | None = None,
) -> RunSpec:
    """One run of a study: of one arm, at one point of the grid where there is one.

    Raises:
        UserError: a mistake in one of the files.
    """
    experiment = load_experiment(root, model)
    path = root / "experiments" / f"{model}.toml"
    where = root / "experiments" / "study" / f"{study.name}.toml"
    values = load_recipe(root).model_dump()
    overrides = [(where, study.override), (path, experiment.override)]
    changes = [(file, {key: one.value for key, one in found.items()}) for file, found in overrides]
    for file, change in [*changes, (where, dict(point or {}))]:
        values.update(change)
        recipe = validated(Recipe, values, file)
    chosen = study.arms[arm]
    length = chosen.steps[model] if isinstance(chosen.steps, dict) else chosen.steps
    per_epoch = steps_per_epoch(study.data.train_images, recipe.batch_size)
    fields = {
        "study": study.name, "arm": arm, "model": model, "seed": seed,
        "variant": variant_name(point) if point else None,
        "steps": length if chosen.epochs is None else chosen.epochs * per_epoch,
        "builder": experiment.builder, "threads": study.threads,
        "data": study.data, "recipe": recipe,
    }  # fmt: skip
    return validated(RunSpec, fields, f"a run of {model} in study {study.name!r}")


Refined = Mapping[tuple[str, str], tuple[Value, ...]]
"""(arm, model) → the grid values that the arm tries, where it refines another one."""


def run_specs(root: Path, study: Study, refined: Refined | None = None) -> list[RunSpec]:
    """All runs of a study: arm by arm, seed by seed, network by network, so that whatever is
    finished is balanced.

    Args:
        refined: what ``tuning.plans`` found in the logs; an arm that refines another one has no
            runs without it.
    """
    specs = []
    for name, arm in study.arms.items():
        for seed, model in itertools.product(arm.seeds, study.networks):
            grid = dict(study.grid)
            if arm.refines is not None:
                grid = dict.fromkeys(grid, (refined or {}).get((str(name), model), ()))
            for values in itertools.product(*grid.values()):
                point = dict(zip(grid, values, strict=True))
                specs.append(run_spec(root, study, model, seed, arm=name, point=point))
    return specs
