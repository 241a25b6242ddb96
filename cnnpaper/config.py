"""Experiments as files: TOML in, frozen and validated objects out.

``experiments/recipe.toml`` is the training recipe that all networks share; each
``experiments/MODEL.toml`` describes one network and overrides the recipe where the network needs
it, with the reason beside it; ``experiments/study/STUDY.toml`` says which networks, seeds, epochs
and data one paper is about. :func:`run_specs` resolves the three into a list of :class:`RunSpec`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from cnnpaper.errors import UserError, nearest

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=40)]
Variant = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.]*$", max_length=60)]
StudyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9가-힣][\w.가-힣-]*$", max_length=80)
]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Model(BaseModel):
    """Base of every configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Recipe(Model):
    """How a network is trained: one value for all, unless a network's file overrides it."""

    batch_size: int = Field(ge=2, le=65536)
    """Images per step."""
    peak_learning_rate: Positive
    """Learning rate at the top of the triangle, per step of mean loss."""
    warmup_share: Share
    """Share of all steps in which the rate rises linearly from near zero to the peak; then it falls
    linearly to near zero."""
    momentum: Share
    nesterov: bool
    weight_decay: float = Field(ge=0, le=1, allow_inf_nan=False)
    weight_decay_on: Literal["weights", "all"]
    """``weights``: convolutions and linear layers only; ``all``: biases and batch norm too."""
    label_smoothing: Share
    crop_padding: int = Field(ge=0, le=16)
    """Pixels added on each side before a random 32 x 32 crop; 0 for no crop."""
    crop_mode: Literal["reflect", "zeros"]
    flip: Literal["alternating", "random", "none"]
    """``alternating``: a random half of the images is mirrored in even epochs, the other half in
    odd ones (airbench), so two epochs show every image both ways."""
    low_resolution: int = Field(ge=8, le=32)
    """Side in pixels of the training images in the first epochs."""
    low_resolution_share: Share
    """Share of the epochs, rounded down, that are trained at ``low_resolution``."""
    ema_decay: float = Field(ge=0, lt=1, allow_inf_nan=False)
    """Decay per step of the moving average of the weights, which is then what is evaluated;
    0 evaluates the weights themselves."""
    clip_norm: float = Field(ge=0, allow_inf_nan=False)
    """Largest norm of the gradient; 0 for no clipping."""
    memory_format: Literal["channels_last", "contiguous"]
    """Order of the tensors in memory; changes speed and last bits, not the mathematics."""


class Override(Model):
    """One departure of a network from the shared recipe, with its reason."""

    value: bool | int | float | str
    why: str = Field(min_length=10)


class Experiment(Model):
    """One network: what it is called, where it comes from, how it departs from the recipe."""

    name: str = Field(min_length=1, max_length=40)
    """As printed: ``ResNet-18``."""
    korean: str = Field(min_length=1, max_length=40)
    """Korean reading; Korean particles follow its last syllable."""
    year: int = Field(ge=1950, le=2100)
    venue: str = Field(min_length=1, max_length=40)
    citation: Slug
    """Key in ``report/references.bib``."""
    builder: Slug
    """Name of the function in ``cnnpaper.learn.models.BUILDERS``."""
    initialisation: Literal["pytorch", "he_normal_fan_out", "he_normal_fan_in", "truncated_normal"]
    """Distribution of the initial weights of every convolution and linear layer."""
    initialisation_std: Positive = 0.01
    """Standard deviation where ``initialisation`` is ``truncated_normal``."""
    idea: str = Field(min_length=40)
    """What the network brought, a paragraph of plain text without numbers of our own."""
    stem: str = Field(min_length=10)
    """How stem and head differ from torchvision's network, a sentence of plain text."""
    override: dict[str, Override] = Field(default_factory=dict)


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
    """0: none is evaluated, for trials that choose something."""
    held_out: Literal["training"] | None = None
    """``training``: the validation images are training images too, of those that
    ``train_images`` leaves out, so that a choice made on them has seen no validation image."""


class Trial(Model):
    """Runs of a study that try other values of the recipe."""

    networks: tuple[Slug, ...] = Field(min_length=1)
    epochs: int | None = Field(default=None, ge=1)
    """None: the study's."""
    values: dict[str, bool | int | float | str] = Field(min_length=1)
    """Keys of the recipe, or ``initialisation``; they win over a network's own."""


class Factor(Model):
    """Two values of one key of the recipe, compared by a screening design."""

    plain: bool | int | float | str
    """What a plain training loop has."""
    candidate: bool | int | float | str


class Study(Model):
    """What one paper is about."""

    name: StudyName
    origin: Literal["trained", "imported"] = "trained"
    """``imported``: the runs are the ones in its folder, read from logs of another program."""
    networks: tuple[Slug, ...] = Field(min_length=1)
    """In the order of the paper's tables and figures."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = ()
    epochs: int = Field(ge=1, le=100_000)
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of a run; they decide the last bits. None: the physical cores of the process."""
    isa_cap: Literal["avx2"] | None = None
    """Highest instruction set that the kernels may choose; None: what the processor has."""
    data: DataSpec
    override: dict[str, Override] = Field(default_factory=dict)
    """Departures of the whole study from the recipe; a network's own win over them."""
    trial: dict[Variant, Trial] = Field(default_factory=dict)
    """Variants in place of the plain runs: a study that chooses the recipe."""
    screen: dict[str, Factor] = Field(default_factory=dict)
    """Factors of a screening design of twelve runs, for the networks of ``screen_networks``."""
    screen_networks: tuple[Slug, ...] = ()
    screen_values: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """What all runs of the design have in common, in place of the recipe's."""

    @model_validator(mode="after")
    def _seeds_of_a_trained_study(self) -> Study:
        if self.origin == "trained" and not self.seeds:
            raise ValueError("a study that is trained names at least one seed: seeds = [0]")
        if len(set(self.seeds)) < len(self.seeds) or len(set(self.networks)) < len(self.networks):
            raise ValueError("a network or a seed is named twice")
        return self

    @model_validator(mode="after")
    def _screening_design_that_exists(self) -> Study:
        if self.screen and not self.screen_networks:
            raise ValueError("a screening design needs screen_networks")
        if len(self.screen) > len(PLACKETT_BURMAN):
            raise ValueError(f"screen has more than {len(PLACKETT_BURMAN)} factors")
        return self


class RunSpec(Model):
    """Everything that one training needs to know; with code and data it decides the result."""

    study: StudyName
    model: Slug
    variant: Variant | None = None
    """Tells apart several runs of one network and seed in one study."""
    seed: int = Field(ge=0, lt=2**32)
    epochs: int = Field(ge=1)
    builder: Slug
    initialisation: str
    initialisation_std: float
    threads: int | None
    isa_cap: str | None
    data: DataSpec
    recipe: Recipe

    @property
    def run(self) -> str:
        """Name of the run and of its folder: ``resnet18-s0``."""
        return run_name(self.model, self.variant, self.seed)

    def identity(self) -> dict[str, Any]:
        """What decides the result, for the fingerprint: not names, threads, instruction set."""
        return self.model_dump(mode="json", exclude={"study", "variant", "threads", "isa_cap"})


def run_name(model: str, variant: str | None, seed: int | None) -> str:
    """``resnet18-s0``; with a variant ``resnet18-pretrained``; parts that are None are left out."""
    return "-".join(
        part for part in (model, variant, None if seed is None else f"s{seed}") if part is not None
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UserError: the file is missing, too large, not UTF-8 or not TOML; the message has the line.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise UserError(f"{path}: larger than 1 MB, which no experiment file is")
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
        return model.model_validate(_lists_to_tuples(values))
    except ValidationError as error:
        # a misspelt key is also a missing one: the misspelling is the better message
        found = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise UserError(f"{path}: {_explain(found[0], model)}") from None


def _lists_to_tuples(value: Any) -> Any:
    """TOML's arrays as tuples, since strict validation of a frozen model wants tuples."""
    if isinstance(value, list):
        return tuple(_lists_to_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return value


def _explain(error: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if not key:
        return str(error["msg"])
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'{nearest(str(error['loc'][-1]), _keys(model, error['loc']))}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    try:
        shown = repr(error["input"])
    except ValueError:  # 0xFFF… may have more digits than Python prints
        shown = "a number of thousands of digits"
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    message = str(error["msg"])[:1].lower() + str(error["msg"])[1:]
    return f"{key} = {shown}: {message}"


def _keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that are known where ``location`` points."""
    fields = model.model_fields
    for part in location[:-1]:
        annotation = fields[part].annotation if part in fields else Override
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            annotation = Override
        fields = annotation.model_fields
    return list(fields)


def load_recipe(root: Path) -> Recipe:
    """The recipe that all networks share."""
    path = root / "experiments" / "recipe.toml"
    return validated(Recipe, read_toml(path), path)


def known_models(root: Path) -> list[str]:
    """The networks that have a file, by name."""
    return sorted(
        path.stem for path in (root / "experiments").glob("*.toml") if path.stem != "recipe"
    )


def load_experiment(root: Path, model: str) -> Experiment:
    """The file of one network.

    Raises:
        UserError: no such network (with the nearest), or a mistake in its file.
    """
    models = known_models(root)
    if model not in models:
        if not models:
            raise UserError(
                f"{root / 'experiments'}: no network is described here; "
                "start cnnpaper in the root of the repository"
            )
        raise UserError(
            f"unknown network {model!r}{nearest(model, models)}\n"
            f"known networks: {', '.join(models)}"
        )
    path = root / "experiments" / f"{model}.toml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,39}", model):
        raise UserError(
            f"{path}: not the name of a network, which has at most 40 small letters, digits and "
            "'_'\nrename the file"
        )
    experiment = validated(Experiment, read_toml(path), path)
    _check_overrides(experiment.override, path)
    return experiment


def _check_overrides(override: dict[str, Override], path: Path) -> None:
    for key in override:
        if key not in Recipe.model_fields:
            raise UserError(
                f"{path}: override.{key}: the recipe has no key {key!r}"
                f"{nearest(key, Recipe.model_fields)}"
            )


SINGLE = re.compile(r"^single-(?P<epochs>[1-9][0-9]{0,8})ep(?:-b(?P<batch_size>[1-9][0-9]{0,8}))?$")
"""Studies that ``cnnpaper train`` writes without a file: ``single-10ep``, ``single-10ep-b64``."""


def load_study(root: Path, name: str) -> Study:
    """The study ``name`` from its file; ``single-10ep``, written by ``cnnpaper train``, needs none.

    Raises:
        UserError: no such study (with the nearest), or a mistake in its file.
    """
    folder = root / "experiments" / "study"
    path = folder / f"{name}.toml"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name in known:
        values = read_toml(path)
        if "name" in values:
            raise UserError(f"{path}: key 'name': a study has the name of its file; remove the key")
        study = validated(Study, {**values, "name": name}, path)
        _check_overrides(study.override, path)
        return study
    if match := SINGLE.match(name):
        return _single_study(root, name, match)
    raise UserError(
        f"there is no study {name!r}{nearest(name, known)}\n"
        f"known studies: {', '.join(known) or 'none'} (files in {folder})"
    )


def _single_study(root: Path, name: str, parts: re.Match[str]) -> Study:
    """A study made of the runs that lie in its folder."""
    found = [
        (match[1], int(match[2]))
        for path in (root / "results" / "log" / name).glob("*-s*")
        if (match := re.fullmatch(r"([a-z0-9_]+)-s([0-9]+)", path.name))
    ]
    models = tuple(model for model in known_models(root) if model in {model for model, _ in found})
    override = {}
    if parts["batch_size"]:
        why = "asked for on the command line"
        override = {"batch_size": {"value": int(parts["batch_size"]), "why": why}}
    values = {
        "name": name,
        "networks": models or ("alexnet",),
        "seeds": tuple(sorted({seed for _, seed in found})) or (0,),
        "epochs": int(parts["epochs"]),
        "data": {"set": "any"},
        "override": override,
    }
    return validated(Study, values, f"study {name}")


def resolve_recipe(recipe: Recipe, *overrides: dict[str, Override], path: Path | str) -> Recipe:
    """``recipe`` with the overrides applied, later ones last, validated again."""
    values = recipe.model_dump()
    for override in overrides:
        values.update({key: entry.value for key, entry in override.items()})
    return validated(Recipe, values, path)


def run_spec(
    root: Path, study: Study, model: str, seed: int, trial: tuple[str, Trial] | None = None
) -> RunSpec:
    """The run of one network with one seed in ``study``, plain or as one of its trials.

    Raises:
        UserError: a mistake in one of the files, or no run can have this seed.
    """
    experiment = load_experiment(root, model)
    path = root / "experiments" / f"{model}.toml"
    recipe = resolve_recipe(load_recipe(root), study.override, experiment.override, path=path)
    variant, epochs, initialisation = None, study.epochs, experiment.initialisation
    if trial is not None:
        variant, epochs = trial[0], trial[1].epochs or study.epochs
        values = dict(trial[1].values)
        initialisation = validated(
            Experiment,
            experiment.model_dump()
            | {"initialisation": values.pop("initialisation", initialisation)},
            f"{path}: trial {variant} of study {study.name}",
        ).initialisation
        recipe = validated(
            Recipe, recipe.model_dump() | values, f"study {study.name}: trial {variant}"
        )
    fields = {
        "study": study.name,
        "model": model,
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "builder": experiment.builder,
        "initialisation": initialisation,
        "initialisation_std": experiment.initialisation_std,
        "threads": study.threads,
        "isa_cap": study.isa_cap,
        "data": study.data,
        "recipe": recipe,
    }
    return validated(RunSpec, fields, f"a run of {model} in study {study.name!r}")


def run_specs(root: Path, study: Study) -> list[RunSpec]:
    """All runs of a study: every seed of the first network, then of the next; or its trials."""
    if trials := all_trials(study):
        return [
            run_spec(root, study, model, seed, (variant, trial))
            for variant, trial in trials.items()
            for model in trial.networks
            for seed in study.seeds
        ]
    return [run_spec(root, study, model, seed) for model in study.networks for seed in study.seeds]


PLACKETT_BURMAN = "++-+++---+-"
"""First row of the design for up to eleven factors in twelve runs (Plackett and Burman 1946,
Biometrika 33, p. 323); the next ten are its cyclic shifts, the last is all minus."""


def screening_design() -> list[tuple[int, ...]]:
    """Twelve rows of eleven levels, 1 or -1; any two columns are orthogonal."""
    first = [1 if sign == "+" else -1 for sign in PLACKETT_BURMAN]
    shifted = [tuple(first[(column - row) % 11] for column in range(11)) for row in range(11)]
    return [*shifted, (-1,) * 11]


def all_trials(study: Study) -> dict[str, Trial]:
    """The trials that a study names, and those of its screening design: ``screen01``, …"""
    if not study.screen:
        return dict(study.trial)
    screened = {
        f"screen{number:02}": Trial(
            networks=study.screen_networks,
            values=study.screen_values
            | {
                key: factor.candidate if level > 0 else factor.plain
                for (key, factor), level in zip(study.screen.items(), levels, strict=False)
            },
        )
        for number, levels in enumerate(screening_design(), start=1)
    }
    return {**study.trial, **screened}


def run_folder(root: Path, study: str, run: str) -> Path:
    """Where a run's log, predictions and checkpoints lie."""
    return root / "results" / "log" / study / run
