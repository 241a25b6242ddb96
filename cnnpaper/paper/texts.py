"""What imported text logs say, as values of the ledger: their tables, and sentences about what is
not as it should be. Each value's source is the line of the text file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cnnpaper.paper.ledger import COUNT, PERCENT, Form, Sentence, Value
from cnnpaper.paper.tabular import Cell, Row, Table, columns, table
from cnnpaper.paper.values import Values
from cnnpaper.study.imported import TextRun

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc")
EPOCHS, SECONDS, EACH, LOSS = Form(unit="epochs"), Form(unit="s"), Form(1, unit="s"), Form(4)
SHOWN = {"nan": "NaN", "inf": "∞", "-inf": "−∞"}


class Texts:
    """The imported logs of one study, numbered in its order."""

    def __init__(self, values: Values) -> None:
        self.values, self.words = values, values.words
        self.runs = list(enumerate(values.texts.values(), start=1))

    def _value(
        self, place: int, name: str, exact: float, form: Form, line: str,
        formula: str = "as recorded", *more: str,
    ) -> Value:  # fmt: skip
        run = self.runs[place - 1][1]
        sources = [self.values.sources.log(run, each) for each in (line, *more)]
        return self.values.number(f"log.{place}.{name}", exact, form, formula, sources)

    def results(self) -> Table:
        """Epochs, best and last validation accuracy, time, status."""
        rows: list[Row] = []
        for place, run in self.runs:
            assert run.result is not None
            status = self.words.label("status", run.result.status)
            rows.append([
                run.label, *self._epochs(place, run), self._best(place, run),
                self._last(place, run, "val_acc", PERCENT),
                self._last(place, run, "val_loss", LOSS),
                *self._times(place, run, run.result.total_s), status,
            ])  # fmt: skip
        keys = (
            "network:log epochs planned best_val_acc_percent:best_val "
            "last_val_acc_percent:last_val last_val_loss:last_loss total_s epoch_s status"
        )
        return table("imported", columns(self.words, keys), rows)

    def _epochs(self, place: int, run: TextRun) -> tuple[Value, Value]:
        last = f"epoch {len(run.epochs) - 1}" if run.epochs else "header"
        done, planned = "epochs that are complete, counted", "planned epochs, as its lines say"
        return (
            self._value(place, "epochs", len(run.epochs), EPOCHS, last, done),
            self._value(place, "planned", run.planned, EPOCHS, "header", planned),
        )

    def _best(self, place: int, run: TextRun) -> Cell:
        if run.best_val_acc is not None:
            return self._value(place, "best_val_acc", run.best_val_acc, PERCENT, "best")
        known = {e.epoch: e.val_acc for e in run.epochs if e.val_acc is not None}
        if not known:
            return None
        best, formula = max(known, key=known.__getitem__), "largest val Acc of the epochs"
        return self._value(place, "best_val_acc", known[best], PERCENT, f"epoch {best}", formula)

    def _last(self, place: int, run: TextRun, metric: str, form: Form) -> Cell:
        if not run.epochs:
            return None
        last = run.epochs[-1]
        name, line = f"last_{metric}", f"epoch {last.epoch}"
        if metric not in last.nonfinite:
            return self._value(place, name, getattr(last, metric), form, line)
        source, text = self.values.sources.log(run, line), SHOWN[last.nonfinite[metric]]
        return self.values.add(f"log.{place}.{name}", None, [source], text=text)

    def _times(self, place: int, run: TextRun, total: float | None) -> tuple[Cell, Cell]:
        each = None
        if total is None:
            return None, None
        if run.epochs:
            seconds, last = total / len(run.epochs), f"epoch {len(run.epochs) - 1}"
            formula = "total / epochs, validation included"
            each = self._value(place, "epoch", seconds, EACH, "duration", formula, last)
        return self._value(place, "total", total, SECONDS, "duration"), each

    def files(self) -> Table:
        """Which text file each run is in, and its first line there."""
        rows: list[Row] = [
            [run.label, run.path.name,
             self._value(place, "line", run.line_numbers["header"], COUNT, "header",
                         "first line of the run")]
            for place, run in self.runs
        ]  # fmt: skip
        return table("files", columns(self.words, "network:log file line"), rows)

    def incomplete(self) -> Sentence:
        """The logs that lack their end, or epochs."""
        found = []
        for place, run in self.runs:
            if run.is_incomplete:
                done, planned = self._epochs(place, run)
                kind = "log_short" if "duration" in run.line_numbers else "log_cut"
                found.append(self.words.say(kind, name=run.label, done=done, planned=planned))
        return self.words.listing(found)

    def nonfinite(self) -> list[Sentence]:
        """What is no finite number in a log: a sentence for metrics that are so together."""
        found = []
        for place, run in self.runs:
            together: dict[tuple[tuple[int, str], ...], list[str]] = defaultdict(list)
            for metric in METRICS:
                bad = [(e.epoch, e.nonfinite[metric]) for e in run.epochs if metric in e.nonfinite]
                if bad:
                    together[tuple(bad)].append(metric)
            found += [self._nonfinite(place, bad, names) for bad, names in together.items()]
        return found

    def _nonfinite(self, place: int, bad: Sequence[tuple[int, str]], names: list[str]) -> Sentence:
        first, *more = (f"epoch {epoch}" for epoch, _ in bad)
        value = "/".join(dict.fromkeys(SHOWN[kind] for _, kind in bad))
        key = f"{names[0]}.nonfinite"
        counted = f"epochs whose {' and '.join(names)} is {value}, counted"
        number = "number of the first of them, from 0 as in the log"
        return self.words.say(
            "log_nonfinite_one" if len(bad) == 1 else "log_nonfinite",
            name=self.runs[place - 1][1].label, value=value,
            metrics=self.words.listing(self.words.text(f"metric.{name}") for name in names),
            count=self._value(place, key, len(bad), EPOCHS, first, counted, *more),
            first=self._value(place, f"{key}.first", bad[0][0], COUNT, first, number),
        )  # fmt: skip

    def data(self) -> Sentence:
        """What those who imported the logs call the images; empty where they do not say."""
        said, place = self.values.study.imported, "imported.data"
        if said is None or not said.data:
            return Sentence()
        return self.values.quote(said.data, place, self.values.of_study(place))
