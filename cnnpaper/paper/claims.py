"""Sentences of the paper that depend on results, each bound to the condition under which it is true.

Ranking words stand only where the adjusted test of the primary contrast and its simultaneous
interval say so; everything else is an estimate. Every number is a value of the ledger; the words
are those of the edition's language.
"""

from __future__ import annotations

from typing import Any

from cnnpaper.paper.facts import Facts
from cnnpaper.paper.ledger import Cite, Sentence, Value
from cnnpaper.paper.values import Values
from cnnpaper.paper.words import Phrase, Words, sentences

LISTED = 6
"""With more networks a sentence gives the range instead of each."""


class Claims:
    """Writes the sentences of one study in one language."""

    def __init__(self, facts: Facts, values: Values, words: Words) -> None:
        self.facts, self.values, self.words = facts, values, words
        self.data, self.study = facts.data, facts.study
        self.record: list[tuple[str, str]] = []
        """Sentences said so far: kind and text."""

    @property
    def made(self) -> list[str]:
        return [kind for kind, _ in self.record]

    def say(self, kind: str, **parts: Phrase) -> Sentence:
        found = self.words.say(kind, **parts)
        self.record.append((kind, str(found)))
        return found

    def name(self, model: str) -> str:
        return self.data.experiments[model].name

    # ------------------------------------------------------------------------- runs

    def state(self) -> Sentence:
        """How many of the declared runs there are."""
        facts = self.facts
        counts = {"done": facts.done, "declared": facts.declared, "missing": facts.missing}
        done, missing = len(self.data.logs), len(self.data.missing)
        return self.say(f"state_{'none' if not done else 'some' if missing else 'all'}", **counts)

    def networks(self) -> list[dict[str, Any]]:
        """Name, paper, idea and stem of each network."""
        return [
            {
                "name": self.name(model),
                "cite": Cite((self.data.experiments[model].citation,)),
                "idea": self.facts.prose(model, "idea"),
                "stem": self.facts.prose(model, "stem"),
            }
            for model in self.study.networks
        ]

    def abstract(self) -> Sentence:
        """What the abstract says of the results."""
        if not self.data.logs:
            counts = {"done": self.facts.done, "declared": self.facts.declared}
            return self.say("abstract_none", **counts)
        return sentences()

    def budget_epochs(self) -> Phrase:
        assert self.study.budget is not None
        source = self.facts.of_study("budget.epochs")
        count = self.facts.add("budget.epochs", self.study.budget.epochs, source, unit="epochs")
        return self.words.say("epochs_one" if count.exact == 1 else "epochs", count=count)

    def budget_like(self) -> str:
        assert self.study.budget is not None
        return self.name(self.study.budget.like)

    def contrast_arm(self) -> str:
        assert self.study.contrast is not None
        return self.words.label("arm", self.study.contrast.arm)

    def contrast_baseline(self) -> str:
        assert self.study.contrast is not None
        return self.name(self.study.contrast.baseline)

    def arms(self) -> list[Any]:
        return []

    def throughput(self): return sentences()
    def gain(self): return sentences()
    def rates(self): return sentences()
    def history(self): return sentences()
    def few_seeds(self): return sentences()
