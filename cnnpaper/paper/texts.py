"""What imported text logs say, as values of the ledger: their tables, and sentences about what is
not as it should be. Each value's source is the line of the text file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cnnpaper.log import Result
from cnnpaper.paper.facts import Facts
from cnnpaper.paper.ledger import COUNT, PERCENT, Form, Sentence, Value
from cnnpaper.paper.tabular import Cell, Column, Table, table
from cnnpaper.paper.words import Words
from cnnpaper.study.imported import TextRun

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc")
EPOCHS, SECONDS, EACH, LOSS = Form(unit="epochs"), Form(unit="s"), Form(1, unit="s"), Form(4)
SHOWN = {"nan": "NaN", "inf": "∞", "-inf": "−∞"}


class Texts:
    """The imported logs of one study, numbered in its order."""

    def __init__(self, facts: Facts, words: Words) -> None:
        self.facts, self.words, self.ledger = facts, words, facts.ledger
        self.runs = list(enumerate(facts.texts.values(), start=1))

    def _value(
        self, place: int, name: str, exact: float, form: Form, formula: str, *lines: str
    ) -> Value:
        run = self.runs[place - 1][1]
        sources = [self.facts.sources.log(run, line) for line in lines]
        return self.ledger.number(
            f"log.{place}.{name}", exact, form, formula=formula, sources=sources
        )

    def _column(self, key: str, name: str = "", kind: str = "number") -> Column:
        return Column(key=key, head=self.words.text(f"table.{name or key}"), kind=kind)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------- tables

    def results(self) -> Table:
        """Epochs, best and last validation accuracy, time, status."""
        column = self._column
        rows = [
            [run.label, *self._epochs(place), self._best(place),
             self._last(place, "val_acc", PERCENT), self._last(place, "val_loss", LOSS),
             *self._times(place), self.words.label("status", _result(run).status)]
            for place, run in self.runs
        ]  # fmt: skip
        columns = [
            column("network", "log", "text"), column("epochs"), column("planned"),
            column("best_val_acc_percent", "best_val"), column("last_val_acc_percent", "last_val"),
            column("last_val_loss", "last_loss"),
            column("total_s"), column("epoch_s"), column("status", kind="text"),
        ]  # fmt: skip
        return table("imported", columns, rows)

    def _epochs(self, place: int) -> tuple[Value, Value]:
        run = self.runs[place - 1][1]
        last = f"epoch {len(run.epochs) - 1}" if run.epochs else "header"
        done, planned = "epochs that are complete, counted", "planned epochs, as its lines say"
        return (
            self._value(place, "epochs", len(run.epochs), EPOCHS, done, last),
            self._value(place, "planned", run.planned, EPOCHS, planned, "header"),
        )

    def _best(self, place: int) -> Cell:
        run = self.runs[place - 1][1]
        if run.best_val_acc is not None:
            return self._value(
                place, "best_val_acc", run.best_val_acc, PERCENT, "as recorded", "best"
            )
        scores = {e.epoch: e.val_acc for e in run.epochs if e.val_acc is not None}
        if not scores:
            return None
        best = max(scores, key=lambda epoch: scores[epoch])
        formula = "largest val Acc of the epochs"
        return self._value(place, "best_val_acc", scores[best], PERCENT, formula, f"epoch {best}")

    def _last(self, place: int, metric: str, form: Form) -> Cell:
        run = self.runs[place - 1][1]
        if not run.epochs:
            return None
        last = run.epochs[-1]
        name, line = f"last_{metric}", f"epoch {last.epoch}"
        if metric not in last.nonfinite:
            return self._value(place, name, getattr(last, metric), form, "as recorded", line)
        source = [self.facts.sources.log(run, line)]
        text = SHOWN[last.nonfinite[metric]]
        return self.facts.add(f"log.{place}.{name}", None, source, text=text)

    def _times(self, place: int) -> tuple[Cell, Cell]:
        run = self.runs[place - 1][1]
        total, last = _result(run).total_s, f"epoch {len(run.epochs) - 1}"
        if total is None:
            return None, None
        each = None
        if run.epochs:
            formula = "total / epochs, validation included"
            each = self._value(
                place, "epoch", total / len(run.epochs), EACH, formula, "duration", last
            )
        return self._value(place, "total", total, SECONDS, "as recorded", "duration"), each

    def files(self) -> Table:
        """Which text file each run is in, and its first line there."""
        what = "first line of the run"
        rows: list[list[Cell]] = [
            [run.label, run.path.name,
             self._value(place, "line", run.line_numbers["header"], COUNT, what, "header")]
            for place, run in self.runs
        ]  # fmt: skip
        columns = [
            self._column("network", "log", "text"), self._column("file", kind="wrap"),
            self._column("line"),
        ]  # fmt: skip
        return table("files", columns, rows)

    # ------------------------------------------------------------------------- sentences

    def incomplete(self) -> Sentence:
        """The logs that lack their end, or epochs."""
        found = []
        for place, run in self.runs:
            if run.is_incomplete:
                done, planned = self._epochs(place)
                kind = "log_short" if "duration" in run.line_numbers else "log_cut"
                found.append(self.words.say(kind, name=run.label, done=done, planned=planned))
        return self.words.listing(found)

    def nonfinite(self) -> list[Sentence]:
        """What is no finite number in a log: a sentence for metrics that are so together."""
        found = []
        for place, run in self.runs:
            together: dict[tuple[tuple[int, str], ...], list[str]] = defaultdict(list)
            for metric in METRICS:
                bad = [e for e in run.epochs if metric in e.nonfinite]
                if bad:
                    together[tuple((e.epoch, e.nonfinite[metric]) for e in bad)].append(metric)
            found += [self._nonfinite(place, bad, names) for bad, names in together.items()]
        return found

    def _nonfinite(self, place: int, bad: Sequence[tuple[int, str]], names: list[str]) -> Sentence:
        lines = [f"epoch {epoch}" for epoch, _ in bad]
        value = "/".join(dict.fromkeys(SHOWN[kind] for _, kind in bad))
        key, what = f"{names[0]}.nonfinite", f"epochs whose {' and '.join(names)} is {value}"
        metrics = self.words.listing(self.words.text(f"metric.{name}") for name in names)
        return self.words.say(
            "log_nonfinite_one" if len(bad) == 1 else "log_nonfinite",
            name=self.runs[place - 1][1].label, metrics=metrics, value=value,
            count=self._value(place, key, len(bad), EPOCHS, f"{what}, counted", *lines),
            first=self._value(place, f"{key}.first", bad[0][0], COUNT,
                              "number of the first of them, from 0 as in the log", lines[0]),
        )  # fmt: skip

    def data(self) -> Sentence:
        """What those who imported the logs call the images; empty where they do not say."""
        said = self.facts.study.imported
        if said is None or not said.data:
            return Sentence(())
        source = self.facts.sources.toml(self.facts.study_file, "imported.data")
        return self.facts.quote(said.data, "imported.data", source)


def _result(run: TextRun) -> Result:
    assert run.result is not None
    return run.result
