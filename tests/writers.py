"""Everything that writes files, each as a folder to begin with and one command, for faults.py."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnpaper import certificate, clean, cli, environment, imported, records, timings
from cnnpaper.config import DataSpec
from tests import fabricate

REPOSITORY = Path(__file__).resolve().parents[1]
PLAN = fabricate.Plan(name="one", networks=("resnet18",), images=100, epochs=2)
VOLATILE = {
    *("train_s", "train_cpu_s", "eval_s", "other_cpu_s", "total_s", "probe_gflops"),
    *("started", "peak_memory", "digest", "nonfinite"),
}
"""What of a log is not the same each time."""
GROWING = {"run.jsonl", "train.log", "state.json", "test-evaluations.jsonl"}


@dataclass(frozen=True)
class Writer:
    """A command that writes."""

    prepare: Callable[[Path], None]
    """Makes the folder that it begins in."""
    run: Callable[[], int]
    """The command in the current folder; returns its exit code."""
    imports: tuple[str, ...] = ()
    """Modules to load once."""
    ignored: tuple[str, ...] = ()
    """Files whose bytes are nobody's business, by the beginning of their path."""
    unbelieved: tuple[str, ...] = ()
    """Where nothing counts before it is complete, by the beginning of the path."""
    normal: Callable[[Path], bytes] = Path.read_bytes
    """What of a file must be the same each time."""


def grows(name: str) -> bool:
    """Files that have more than two states on the way."""
    return Path(name).name in GROWING


def is_lock(path: Path) -> bool:
    """A file that means nothing unless it is held."""
    return path.suffix == ".lock" or path.name == "lock"


def explained(call: Callable[[], Any]) -> int:
    """A function as a command: what fails is said as the command line says it."""
    try:
        call()
    except Exception as error:
        code, message = cli._explained(error)
        print(f"cnnpaper: {message}", file=sys.stderr)
        return code
    return 0


# ------------------------------------------------------------------------------- the paper half


def _invented(root: Path) -> None:
    fabricate.study(root, PLAN, code=True)


def _report() -> int:
    return cli.run(["report", "--study", PLAN.name])


def _figures() -> int:
    return cli.run(["figures", "--study", PLAN.name])


def _tables() -> int:
    return cli.run(["tables", "--study", PLAN.name])


def _before_clean(root: Path) -> None:
    for name in ("data/a.bin", "data/b.bin", "report/one/tex/x", "report/one/lock", "locks/c.lock"):
        (root / "build" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "build" / name).write_text("")
    (root / ".ruff_cache").mkdir()
    (root / ".ruff_cache" / "x").write_text("x")


# ------------------------------------------------------------------------------ logs and the like


def _old_logs(root: Path) -> None:
    """A study that was imported before, of logs that have changed since."""
    shutil.copytree(REPOSITORY / "experiments", root / "experiments")
    folder = root / "old"
    folder.mkdir()
    line = "train Loss: 2.1000 Acc: 0.2000\nval Loss: 2.0000 Acc: {}\n----------\n"
    for number, model in enumerate(("alexnet", "resnet18", "vgg16")):
        path = folder / f"{model}_1epoch_train.log"
        text = "############학습 시작############\n----------\nEpoch 0/0\n" + line
        path.write_text(text.format("0.2500"))
        if number == 1:
            imported.import_logs(root, folder, "old")
        path.write_text(text.format("0.3000"))


def _import() -> int:
    return cli.run(["import-logs", "old", "--study", "old", "--force"])


def _certify() -> int:
    path = Path("results/log/one/resnet18-s0/run.jsonl")

    def write() -> None:
        run = records.read_run(path)
        assert run.header.fingerprint is not None
        assert run.miniature is not None
        replay = certificate.Replay(
            fingerprint=run.header.fingerprint,
            machine=run.header.machine,
            packages=run.header.packages,
            data=run.header.data,
            network=run.header.network,
            miniature=run.miniature,
            steps=run.steps,
            epochs=(),
            test_labels_sha256="0" * 64,
        )
        made = certificate.make(run, replay, [], "2026-11-24T09:00:00Z")
        certificate.write(path.parent, made)

    return explained(write)


def _line(model: str) -> timings.Timing:
    return timings.Timing(
        model=model,
        measured="2026-11-24T09:00:00Z",
        commit=None,
        fingerprint="0123456789ab",
        machine=records.Machine(cpu="A processor", threads=2),
        packages={"torch": "2.14.1"},
        batch_size=100,
        resolution=32,
        memory_format="contiguous",
        study="small",
        warmup=3,
        sections=dict.fromkeys(timings.SECTIONS, (0.1, 0.2)),
        cpu_s=1.0,
        other_cpu_s=0.0,
        probe_gflops=(150.0,),
        peak_memory=2**30,
    )


def _measured(root: Path) -> None:
    for model in ("alexnet", "vgg16"):
        timings.append(root / "timing.jsonl", _line(model))


def _measure() -> int:
    """A study's networks that are not in the file yet, as ``cnnpaper timing`` finds them."""
    path = Path("timing.jsonl")

    def write() -> None:
        if ("timing", "resnet18") not in timings.read(path):
            timings.append(path, _line("resnet18"))

    return explained(write)


def _trials(root: Path) -> None:
    """The committed trials, and the page without their table."""
    from cnnpaper import ablation  # with statsmodels, which takes seconds to load

    shutil.copytree(REPOSITORY / "experiments", root / "experiments")
    shutil.copytree(REPOSITORY / "results" / "log" / "ablation", root / "results/log/ablation")
    page = root / "experiments" / "README.md"
    before, _, rest = page.read_text("utf-8").partition(ablation.BEGIN)
    after = rest.partition(ablation.END)[2]
    page.write_text(f"{before}{ablation.BEGIN}\n{ablation.END}{after}", "utf-8")


def _table_of_trials() -> int:
    from cnnpaper import ablation

    return explained(lambda: ablation.write(Path(), "ablation"))


# ----------------------------------------------------------------------------- the training half


def _images(root: Path) -> None:
    """A set of 600 images that is taken for the official one, in this process."""
    from cnnpaper.learn import sources
    from tests.learn import cifar_files

    numbers = np.arange(600)
    labels = ((numbers + numbers // 100 + numbers // 10) % 10).astype(np.uint8)
    made = cifar_files.records(labels)
    sources.BATCH = 100
    sources.BATCH_SHA1 = tuple(
        hashlib.sha1(batch.tobytes()).hexdigest() for _, batch in cifar_files.batches(made)
    )
    sources.LABELS_SHA1 = tuple(
        hashlib.sha1(part.tobytes()).hexdigest() for part in np.split(labels, 6)
    )
    sources.official_labels = lambda: labels
    cifar_files.write_binary(root / "data" / "cifar-10-batches-bin", made)


def _decode() -> int:
    from cnnpaper.learn import cache

    def write() -> None:
        cache.records_of(DataSpec(set="any"), Path("data"), Path("build/data"))

    return explained(write)


def _nothing(root: Path) -> None:
    """Looks for the server of the test, which is told by the environment."""
    from cnnpaper.learn import download
    from tests.learn.test_download import Server, mirror

    root.mkdir()
    download.MIRRORS["original"] = (mirror(Server(address=os.environ["FAULTS_SERVER"])),)
    download.PAUSE_S = 0.0


def _fetch() -> int:
    from cnnpaper.learn import download

    return explained(lambda: download.fetch("original", Path("data"), io.StringIO()))


def _tiny(root: Path) -> None:
    """A study of a network of a few thousand weights; a checkpoint after every step."""
    from cnnpaper.learn import models, recorder, train
    from tests.learn import tiny

    fabricate.repository(root, code=True)
    tiny.add_to(root, epochs=2)
    models.BUILDERS["tiny"] = tiny.build
    recorder.CHECKPOINT_EVERY_S = 0.0
    train.probe_gflops = lambda: 100.0  # it takes longer than all the rest, and writes nothing


def _tiny_on_images(root: Path) -> None:
    """The same on images that lie in a folder."""
    from cnnpaper.learn import data

    _tiny(root)
    _images(root)
    data.TRAINING, data.VALIDATION_PER_CLASS = 500, 5
    path = root / "experiments" / "study" / "small.toml"
    text = path.read_text("utf-8").replace('set = "synthetic"', 'set = "any"')
    for name, count in (("train", 160), ("validation", 50), ("test", 100)):
        text = re.sub(rf"{name}_images = .*", f"{name}_images = {count}", text)
    path.write_text(text, "utf-8")


def _train() -> int:
    command = ["train", "--study", "small", "--model", "tiny", "--gpus", "cpu"]
    return cli.run(command)


def learnt_on_images(path: Path) -> bytes:
    """A log also says what was executed, to which decoding belongs where it was not done before."""
    return learnt(path, besides={"functions", "unexecuted"})


def learnt(path: Path, besides: AbstractSet[str] = frozenset()) -> bytes:
    """What of a run's file is the same each time; of half a line nothing is asked."""
    if path.name in ("run.jsonl", "test-evaluations.jsonl"):
        text = path.read_text("utf-8")
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        if path.name != "run.jsonl":
            return repr({line["run"] for line in lines}).encode()
        leave = VOLATILE | besides
        kept = [{key: line[key] for key in line if key not in leave} for line in lines]
        return json.dumps(kept).encode()
    return b"" if path.suffix in (".log", ".pt") else path.read_bytes()


# ------------------------------------------------------------------------------------- set-up

UV = """#!{python}
import os, sys
os.execv({real!r}, [{real!r}, *sys.argv[1:], "--offline"])
"""


def _wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0; returns its SHA-256."""
    about = f"{name}-1.0.dist-info"
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{path},sha256={digest.decode()},{len(text.encode())}\n")
    files[f"{about}/RECORD"] = "".join([*lines, f"{about}/RECORD,,\n"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
            archive.writestr(entry, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _wheels(root: Path) -> None:
    """A project whose lock names a folder of wheels: twelve packages, and an installer.

    The wheel of ``uv`` holds a script that calls the real one, which never asks the network.
    """
    folder = root / "wheels"
    folder.mkdir(parents=True)
    names = [f"part{number}" for number in range(12)]
    hashes = {
        name: _wheel(folder, name, {f"{name}/m{n}.py": f"VALUE = {n}\n" for n in range(40)})
        for name in names
    }
    real = os.fspath(Path(sys.executable).with_name("uv"))
    script = UV.format(python=environment._base_python(), real=real)
    hashes["uv"] = _wheel(folder, "uv", {"uv-1.0.data/scripts/uv": script})
    wanted = ", ".join(f'"{name}"' for name in [*names, "uv"])
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "stub"\nversion = "1"\nrequires-python = ">=3.11"\n'
        f"dependencies = [{wanted}]\n\n[tool.uv]\npackage = false\n\n"
        f'[[tool.uv.index]]\nname = "wheels"\nurl = "wheels"\nformat = "flat"\ndefault = true\n'
    )
    command = [real, "lock", "--offline", "--quiet", "--python", environment._base_python()]
    subprocess.run(command, cwd=root, check=True)
    lock = root / "uv.lock"
    text = lock.read_text("utf-8")
    for name, digest in hashes.items():  # uv does not write them for wheels of a folder
        path = f'path = "{name}-1.0-py3-none-any.whl"'
        text = text.replace(path, f'{path}, hash = "sha256:{digest}"')
    lock.write_text(text, "utf-8")


def _set_up() -> int:
    os.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=os.fspath(Path("wheels").resolve()))
    return environment.main([".venv"])


def installed(path: Path) -> bytes:
    """Compiled files hold times, and a log of pip's those of its run."""
    return b"" if path.suffix == ".pyc" else path.read_bytes()


PAPER = ("cnnpaper.paper.study", "cnnpaper.paper.latex", "cnnpaper.paper.attach", "matplotlib")
WRITERS = {
    "report": Writer(_invented, _report, PAPER, ignored=("build/report/one/tex/",)),
    "figures": Writer(_invented, _figures, PAPER),
    "tables": Writer(_invented, _tables, PAPER),
    "imported logs": Writer(_old_logs, _import),
    "certificate": Writer(lambda root: fabricate.study(root, PLAN) and None, _certify),
    "measured times": Writer(_measured, _measure),
    "table of trials": Writer(_trials, _table_of_trials, ("tabulate",)),
    "cache": Writer(_images, _decode, ("cnnpaper.learn.cache",)),
    "download": Writer(_nothing, _fetch, ("cnnpaper.learn.download",)),
    "training": Writer(_tiny, _train, ("cnnpaper.learn.recorder",), normal=learnt),
    "training on images": Writer(
        _tiny_on_images, _train, ("cnnpaper.learn.recorder",), normal=learnt_on_images
    ),
    "set-up": Writer(_wheels, _set_up, unbelieved=(".venv/", "build/uv/"), normal=installed),
    "clean": Writer(_before_clean, clean.main),
}
