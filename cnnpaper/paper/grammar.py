"""Words that follow the numbers and names beside them, in English and Korean."""

from __future__ import annotations

from typing import Literal, TypeAlias

Particle: TypeAlias = Literal["topic", "subject", "object", "and", "by"]

PARTICLES: dict[Particle, tuple[str, str, str]] = {
    "topic": ("은", "는", "은(는)"),
    "subject": ("이", "가", "이(가)"),
    "object": ("을", "를", "을(를)"),
    "and": ("과", "와", "와(과)"),
    "by": ("으로", "로", "(으)로"),
}
"""After a final consonant, after a vowel, and where the reading does not tell."""

FIRST_SYLLABLE, LAST_SYLLABLE = 0xAC00, 0xD7A3
FINALS = 28
"""Final consonants in Unicode's order of Hangul syllables, no consonant being the first."""
RIEUL = 8
"""After ㄹ, ``로`` stands as after a vowel."""


def particle(reading: str, kind: Particle) -> str:
    """The Korean particle after a word of this reading: ``레즈넷 십팔`` takes ``은``.

    A reading that does not end with a Hangul syllable takes both: ``은(는)``.
    """
    consonant, vowel, unknown = PARTICLES[kind]
    last = ord(reading[-1]) if reading else 0
    if not FIRST_SYLLABLE <= last <= LAST_SYLLABLE:
        return unknown
    final = (last - FIRST_SYLLABLE) % FINALS
    return vowel if final == 0 or (kind == "by" and final == RIEUL) else consonant


def plural(count: int, one: str, many: str | None = None) -> str:
    """``one`` or ``many`` (``one`` with an s), as ``count`` wants: 1 seed, 2 seeds, 0 seeds."""
    return one if count == 1 else many or f"{one}s"
