"""A network of a few thousand weights, for tests of everything around a network."""

from __future__ import annotations

from pathlib import Path

from torch import nn

BUILDER = '''

def tiny() -> nn.Module:
    """Two convolutions with batch norm, dropout, one linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 10),
    )


BUILDERS["tiny"] = tiny
'''
EXPERIMENT = """
name = "Tiny"
korean = "타이니"
year = 2020
venue = "none"
citation = "none"
builder = "tiny"
initialisation = "he_normal_fan_out"
idea = "A network that exists for tests alone; it has two convolutions and a linear layer."
stem = "There is nothing to change in it."
"""
STUDY = """
networks = ["tiny"]
seeds = [0]
epochs = {epochs}
threads = 1

[data]
set = "synthetic"
train_images = {images}
validation_images = 100
test_images = 100

[override.batch_size]
value = 16
why = "a test wants many steps of little work"
"""


def add_to(root: Path, *, epochs: int, images: int = 160) -> None:
    """Add the network to a copy of the repository as the README says, and a study of it."""
    models = root / "cnnpaper" / "learn" / "models.py"
    models.write_text(models.read_text() + BUILDER)
    (root / "experiments" / "tiny.toml").write_text(EXPERIMENT)
    study = root / "experiments" / "study" / "small.toml"
    study.write_text(STUDY.format(epochs=epochs, images=images))


def build() -> nn.Module:
    """The same network in this process."""
    scope: dict[str, object] = {"nn": nn, "BUILDERS": {}}
    exec(BUILDER, scope)  # noqa: S102 - the text above, so that it stands once
    return scope["tiny"]()  # type: ignore[operator]
