"""Sentences that compare: each is a template bound to a test, in English and in Korean.

A sentence says "more accurate" only where the adjusted test and the simultaneous interval say so;
ranking words about accuracy hold only where every comparison that they imply does. Sizes and
operations are counted, so they are ranked as they are, ties included. Seconds are described as seen
in these runs, and only where the machine was the same. Every number is a value of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal, TypeAlias

from cnnpaper.paper.analysis import Analysis, Network
from cnnpaper.paper.grammar import Particle, particle, plural
from cnnpaper.paper.ledger import Cite, Ledger, Part, Sentence, Value, listing, sentence
from cnnpaper.paper.stats import ALPHA, RESAMPLES, Comparison
from cnnpaper.paper.values import PairValues, Values, rounding_shows
from cnnpaper.paper.wording import TEMPLATES

Language: TypeAlias = Literal["en", "ko"]
Phrase: TypeAlias = Part | Sentence

ARCHITECTURE_SEEDS = 3
"""With fewer seeds nothing is said of architectures, only of the networks as trained."""
PAIRS_LISTED = 6
"""With more pairs the sentences are grouped by network."""
NETWORKS_LISTED = 4
"""With more networks the abstract gives the range of accuracies."""


@dataclass(frozen=True)
class Claim(Sentence):
    """A sentence with what it asserts about accuracy."""

    asserts: tuple[tuple[str, str], ...] = ()
    """Keys of networks, the more accurate first; empty for a sentence that does not compare."""


class Claims:
    """Writes the claims of one study.

    Args:
        analysis: its statistics.
        ledger: where the numbers of the sentences are entered.
        language: of the sentences; the numbers are the same in both.
    """

    def __init__(self, analysis: Analysis, ledger: Ledger, language: Language = "en") -> None:
        self.analysis = analysis
        self.values = Values(ledger)
        self.language: Language = language

    # ------------------------------------------------------------------------- whole sections

    def abstract(self) -> list[Claim]:
        """What the abstract says of the results."""
        claims = [*self.accuracies(), *self.runs(), *self.most_accurate()]
        if len(self.analysis.comparisons) > 1:
            claims.append(self.separated())
        return claims + self.seconds()

    def network(self, key: str) -> list[Claim]:
        """The discussion of one network: accuracy, selection, relation to the others, cost."""
        network = self.analysis.network(key)
        claims = self.troubles(network)
        if network.accuracy is not None:
            claims.append(self._accuracy(network))
        if network.gap is not None:
            claims.append(self._selection(network))
        if network.accuracy_tta is not None:
            claims.append(self._flipped(network))
        return claims + self._relations(network) + self._cost(network)

    # ------------------------------------------------------------------------- runs

    def runs(self) -> list[Claim]:
        """Of each network whose runs diverged or are missing."""
        return [claim for network in self.analysis.networks for claim in self.troubles(network)]

    def troubles(self, network: Network) -> list[Claim]:
        """What became of the runs of a network that did not all finish; empty where they did."""
        planned, diverged, missing = map(len, (network.planned, network.diverged, network.missing))
        if not diverged and not missing:
            return []
        if missing == planned:
            kind = "absent"
        elif diverged == planned:
            kind = "diverged_one" if planned == 1 else "diverged_all"
        else:
            kind = "some_failed"
        consequence = "figures_of_rest" if network.finished else "no_figures"
        if len(self.analysis.networks) > 1:
            consequence += "_uncompared"
        return [
            self._claim(
                kind,
                name=self._name(network),
                topic=self._name(network, "topic"),
                runs=self._count(network, "runs", planned),
                what=self._failures(network),
                consequence=self._say(consequence),
            )
        ]

    def _failures(self, network: Network) -> Sentence:
        """``one diverged and two are missing``."""
        diverged, missing = len(network.diverged), len(network.missing)
        diverged_count = self._count(network, "runs_diverged", diverged)
        lost = self._say("some_diverged", count=diverged_count)
        gone = self._say(
            plural(missing, "some_missing_one", "some_missing"),
            count=self._count(network, "runs_missing", missing),
        )
        if diverged and missing:
            return self._say(
                "some_both", diverged=lost, missing=gone, diverged_count=diverged_count
            )
        return lost if diverged else gone

    # ------------------------------------------------------------------------- accuracy

    def accuracies(self) -> list[Claim]:
        """Test accuracy of every network, or from the lowest to the highest where many."""
        tested = [network for network in self.analysis.networks if network.accuracy]
        if not tested:
            return [self._claim("untested")]
        seeds = {len(network.tested) for network in tested}
        kind = "one" if seeds == {1} else "many" if len(seeds) == 1 else "uneven"
        count = self._count(None, "seeds", max(seeds))
        lead = self._say(f"lead_{kind}", seeds=count)
        each = "tail_single" if len(tested) == 1 else "tail_one"
        tail = self._say(each if kind == "one" else "nothing", seeds=count)
        if len(tested) > NETWORKS_LISTED:
            low, high = (self.values.accuracy(pick(tested, key=_mean)).value for pick in (min, max))
            return [self._claim("accuracy_range", lead=lead, low=low, high=high, tail=tail)]
        entries = self._list(
            self._say("accuracy_of", name=network.name, value=self.values.accuracy(network).value)
            for network in tested
        )
        return [self._claim("accuracy_list", lead=lead, entries=entries, tail=tail)]

    def _accuracy(self, network: Network) -> Claim:
        estimate = self.values.accuracy(network)
        spread = self.values.seed_sd(network)
        seeds = self._count(network, "seeds", len(network.tested))
        return self._claim(
            "accuracy_one" if spread is None else "accuracy_many",
            name=self._name(network),
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            level=self.values.level(),
            seeds=seeds,
            spread=seeds if spread is None else spread,
        )

    def _selection(self, network: Network) -> Claim:
        """Validation beside test accuracy, with the interval of the difference and no judgement."""
        gap = self.values.gap(network)
        return self._claim(
            "selection_one" if self.analysis.epochs == 1 else "selection",
            validation=self.values.validation(network),
            difference=gap.value,
            low=gap.low,
            high=gap.high,
            level=self.values.level(),
        )

    def _flipped(self, network: Network) -> Claim:
        return self._claim("flipped", value=self.values.accuracy_tta(network).value)

    # ------------------------------------------------------------------------- pairs

    def pairs(self) -> list[Claim]:
        """Every comparison of two networks, or why there is none.

        Up to six pairs have a sentence each, the separated ones first; more are grouped by network.
        """
        if not self.analysis.comparisons:
            if len(self.analysis.networks) == 1:
                return [self._claim("one_network")]
            tested = any(network.accuracy for network in self.analysis.networks)
            return [self._claim("none_complete" if tested else "untested_pairs")]
        if len(self.analysis.comparisons) > PAIRS_LISTED:
            return [self.separated(), *self._grouped()]
        pairs = [self._found[a.key, b.key] for a, b in combinations(self._ranked, 2)]
        parted = [self.pair(pair) for pair in pairs if pair.separated]
        return parted + [self.pair(pair) for pair in pairs if not pair.separated]

    def pair(self, pair: Comparison) -> Claim:
        """The sentence of one pair."""
        kind = "separated" if pair.separated else "open"
        if pair.difference == 0:
            kind = "equal_images" if pair.method == "mcnemar" else "equal"
        values = self._pair_values(pair)
        first, second = self._of(values.first), self._of(values.second)
        return self._claim(
            kind,
            asserts=_asserts([pair]),
            scope=self._scope(),
            first=self._name(first),
            first_subject=self._name(first, "subject"),
            first_and=self._name(first, "and"),
            second=self._name(second),
            second_topic=self._name(second, "topic"),
            second_object=self._name(second, "object"),
            details=self._details(values),
        )

    def separated(self) -> Claim:
        """How many of the pairs are separated; of a single pair, its own sentence."""
        pairs = self.analysis.comparisons
        if len(pairs) == 1:
            return self.pair(pairs[0])
        parted = [pair for pair in pairs if pair.separated]
        total, count = len(pairs), len(parted)
        if count in (0, total):
            kind = "all_separated" if count else "none_separated"
        else:
            kind = plural(count, "one_of_separated", "some_separated")
        return self._claim(
            kind,
            asserts=_asserts(parted),
            pairs=self._count(None, "pairs", total),
            count=self._count(None, "pairs_separated", count),
        )

    def _grouped(self) -> list[Claim]:
        """By network: which it surpasses, then which it is not separated from."""
        claims: list[Claim] = []
        for network in self._ranked:
            claims += self._surpassed(network, "group_separated")
        for position, network in enumerate(self._ranked):
            later = self._ranked[position + 1 :]
            others = [o for o in later if not self._found[network.key, o.key].separated]
            if others:
                claims.append(
                    self._claim(
                        "group_open",
                        first=network.name,
                        first_object=self._name(network, "object"),
                        others=self._names(others),
                        others_and=self._names(others, "and"),
                    )
                )
        return claims

    def _surpassed(self, network: Network, kind: str, *, downward: bool = True) -> list[Claim]:
        """That the network is more accurate than a list of others (or less, upward)."""
        others = [
            other
            for other in self._ranked
            if other is not network
            and (pair := self._found[network.key, other.key]).separated
            and (pair.better == network.key) == downward
        ]
        if not others:
            return []
        pairs = [self._found[network.key, other.key] for other in others]
        return [
            self._claim(
                kind,
                asserts=_asserts(pairs),
                scope=self._scope(),
                first=self._name(network),
                first_topic=self._name(network, "topic"),
                others=self._names(others),
                details=self._joint_details(pairs),
            )
        ]

    def _relations(self, network: Network) -> list[Claim]:
        """The comparisons of one network, as part of its discussion."""
        if not network.complete or not self.analysis.comparisons:
            return []
        few = "_as_trained" if self._few else ""
        claims = self._surpassed(network, f"it_more{few}")
        claims += self._surpassed(network, f"it_less{few}", downward=False)
        others = [
            other
            for other in self._ranked
            if other is not network and not self._found[network.key, other.key].separated
        ]
        if others:
            names, together = self._names(others), self._names(others, "and")
            claims.append(self._claim("it_open", others=names, others_and=together))
        return claims

    def most_accurate(self) -> list[Claim]:
        """The one network that is separated from every other, or that there is none."""
        if len(self._ranked) < 2:
            return []
        best, rest = self._ranked[0], self._ranked[1:]
        pairs = [self._found[best.key, other.key] for other in rest]
        if all(pair.separated for pair in pairs):
            return [
                self._claim(
                    "best_of_two" if len(rest) == 1 else "best",
                    asserts=_asserts(pairs),
                    scope=self._scope(),
                    name=self._name(best),
                    by=self._name(best, "by"),
                    among=self._among(),
                    count=self._count(None, "compared", len(self._ranked)),
                )
            ]
        others = [o for o, pair in zip(rest, pairs, strict=True) if not pair.separated]
        return [
            self._claim(
                "no_best",
                first=self._name(best),
                first_topic=self._name(best, "topic"),
                others=self._names(others),
                others_and=self._names(others, "and"),
            )
        ]

    def rounding(self) -> list[Claim]:
        """The note on rounding, where a printed difference is not that of the printed values."""
        for pair in self.analysis.comparisons:
            values = self._pair_values(pair)
            first, second = (
                self.values.accuracy(self._of(key)).value.text
                for key in (values.first, values.second)
            )
            if rounding_shows(first, second, values.difference.text):
                return [self._claim("rounding")]
        return []

    def check(self) -> list[Claim]:
        """The multi-bootstrap beside the test, both unadjusted; empty below ten seeds."""
        drawn = self.analysis.bootstrap_p
        if not drawn:
            return []
        agree = sum(
            (pair.p < ALPHA) == (drawn[pair.first, pair.second] < ALPHA)
            for pair in self.analysis.comparisons
        )
        pairs = self._count(None, "pairs", len(drawn))
        agreeing = self._count(None, "pairs_agreeing", agree)
        everyone = agree == len(drawn)
        return [
            self._claim(
                "check",
                cite=Cite("sellam2022multiberts"),
                draws=self.values.count("check.resamples", RESAMPLES, what="resamples", sources=()),
                alpha=self.values.alpha(),
                agreeing=self._say(
                    "check_all" if everyone else "check_some", pairs=pairs, count=agreeing
                ),
            )
        ]

    # ------------------------------------------------------------------------- sizes and seconds

    def sizes(self) -> list[Claim]:
        """Who has the fewest parameters, who the fewest operations, ties included."""
        claims: list[Claim] = []
        absent = any(not network.header for network in self.analysis.networks)
        ranked: tuple[tuple[str, Callable[[Network], int | None]], ...] = (
            ("parameters", lambda network: network.parameters),
            ("macs", lambda network: network.macs),
        )
        for name, measure in ranked:
            known = {n.key: size for n in self.analysis.networks if (size := measure(n))}
            if len(known) < 2:
                continue
            fewest = [self._of(key) for key in known if known[key] == min(known.values())]
            kind = "all" if len(fewest) == len(known) else plural(len(fewest), "one", "several")
            claims.append(
                self._claim(
                    f"{name}_{kind}",
                    names=self._names(fewest),
                    names_subject=self._names(fewest, "subject"),
                    names_topic=self._names(fewest, "topic"),
                    value=getattr(self.values, name)(fewest[0]),
                    among=self._say("among_trained" if absent else "nothing"),
                )
            )
        return claims

    def seconds(self) -> list[Claim]:
        """Who took the fewest and the most seconds per epoch in these runs, or why not said."""
        timed = [n for n in self.analysis.networks if n.times and n.times.epoch_s is not None]
        if len(timed) < 2:
            return []
        times = [network.times for network in timed if network.times]
        machines = {machine for time in times for machine in time.hardware}
        if "unknown" in machines or len(machines) > 1:
            return [self._claim("seconds_unknown" if "unknown" in machines else "seconds_differ")]
        if slowed := [network for network in timed if network.times and network.times.shared]:
            return [self._claim("seconds_shared", names=self._names(slowed))]
        texts = {network.key: self.values.epoch_seconds(network) for network in timed}
        order = sorted(timed, key=lambda network: float(texts[network.key].exact or 0))
        # equal as printed is a tie: nobody measures a difference below the last digit shown
        fast, slow = (
            [network for network in timed if texts[network.key].text == texts[end.key].text]
            for end in (order[0], order[-1])
        )
        single = all(len(network.finished) == 1 for network in timed)
        return [
            self._claim(
                "seconds_all" if fast == slow else "seconds",
                fast=self._names(fast),
                fast_subject=self._names(fast, "subject"),
                slow=self._names(slow),
                slow_subject=self._names(slow, "subject"),
                fewest=texts[order[0].key],
                most=texts[order[-1].key],
                each=self._say(
                    "run_each" if single else "nothing", runs=self._count(None, "runs_each", 1)
                ),
            )
        ]

    def _cost(self, network: Network) -> list[Claim]:
        claims = []
        if network.parameters and network.macs:
            parameters, macs = self.values.parameters(network), self.values.macs(network)
            claims.append(self._claim("cost", parameters=parameters, macs=macs))
        if network.times and network.times.epoch_s is not None:
            claims.append(self._claim("took", seconds=self.values.epoch_seconds(network)))
        return claims

    # ------------------------------------------------------------------------- pieces

    @cached_property
    def _ranked(self) -> list[Network]:
        """The compared networks, the highest mean first; equal ones in the order of the study."""
        return sorted(self.analysis.compared, key=_mean, reverse=True)

    @cached_property
    def _found(self) -> dict[tuple[str, str], Comparison]:
        """Comparisons by pair of keys, either way round."""
        found: dict[tuple[str, str], Comparison] = {}
        for pair in self.analysis.comparisons:
            found[pair.first, pair.second] = found[pair.second, pair.first] = pair
        return found

    def _of(self, key: str) -> Network:
        return self.analysis.network(key)

    def _pair_values(self, pair: Comparison) -> PairValues:
        return self.values.pair(pair, self._of(pair.first), self._of(pair.second))

    def _details(self, values: PairValues) -> Sentence:
        return self._say(
            "details",
            difference=values.difference,
            low=values.low,
            high=values.high,
            p=values.p,
            level=self.values.level(),
        )

    def _joint_details(self, pairs: list[Comparison]) -> Sentence:
        """Differences and p of several separated pairs; one pair as in its own sentence."""
        if len(pairs) == 1:
            return self._details(self._pair_values(pairs[0]))
        ordered = sorted(pairs, key=lambda pair: abs(pair.difference))
        ends = [self._pair_values(ordered[0]), self._pair_values(ordered[-1])]
        worst = max(pairs, key=lambda pair: pair.p_holm)
        return self._say(
            "joint_details",
            low=ends[0].difference,
            high=ends[1].difference,
            p=self._pair_values(worst).p,
        )

    @property
    def _few(self) -> bool:
        return self.analysis.seeds < ARCHITECTURE_SEEDS

    def _scope(self) -> Sentence:
        return self._say("as_trained" if self._few else "nothing")

    def _among(self) -> Sentence:
        whole = len(self._ranked) == len(self.analysis.networks)
        return self._say("nothing" if whole else "among_finished")

    def _name(self, network: Network, kind: Particle | None = None) -> str:
        if kind is None or self.language == "en":
            return network.name
        return network.name + particle(network.reading, kind)

    def _names(self, networks: Sequence[Network], kind: Particle | None = None) -> Sentence:
        """A list of networks; in Korean with the particle that its last one wants."""
        if self.language == "en":
            return listing([network.name for network in networks])
        *before, last = networks
        if len(before) == 1:
            return Sentence((f"{self._name(before[0], 'and')} {self._name(last, kind)}",))
        return Sentence((", ".join([*(n.name for n in before), self._name(last, kind)]),))

    def _list(self, items: Iterable[Phrase]) -> Sentence:
        return listing(items, conjunction="and" if self.language == "en" else "및")

    def _count(self, network: Network | None, what: str, number: int) -> Value:
        """A count of one network, or of the study: a word in English, digits in Korean."""
        networks = self.analysis.networks if network is None else (network,)
        return self.values.count(
            f"{network.key if network else 'results'}.{what}",
            number,
            what=what.partition("_")[0],
            sources=[source for each in networks for source in each.header],
            form="word" if self.language == "en" else "digits",
        )

    def _say(self, kind: str, **parts: Phrase) -> Sentence:
        return sentence(TEMPLATES[kind][self.language], **parts)

    def _claim(
        self, kind: str, *, asserts: tuple[tuple[str, str], ...] = (), **parts: Phrase
    ) -> Claim:
        return Claim(self._say(kind, **parts).parts, asserts)


def _mean(network: Network) -> float:
    assert network.accuracy is not None
    return network.accuracy.mean


def _asserts(pairs: Iterable[Comparison]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (pair.better, pair.worse) for pair in pairs if pair.better is not None and pair.worse
    )
