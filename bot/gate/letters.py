"""Words as a person reads them, whatever they are spelled with. Pure, linear in the text's length; called by `bot.gate.terms` and `bot.gate.rules`.

Letters are folded (case, accents, widths, ornaments, and look-alikes of other scripts; katakana to hiragana), and each word keeps several readings: digits
and signs as the letters they stand for ("nud3"), stretched letters shortened ("nuuude"), gaps closed ("n u d e", "nu-de"). The look-alikes are a small table
of our own, after the skeletons of Unicode TS 39; accents fall, so that a word means the same with and without them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_LONGEST = 48  #: letters of a word that are looked at; no term is longer
_MOST = 12_000  #: characters that are looked at: twice a prompt, for what styles and suffixes add
_VOICED = "\u3099\u309a"  # kana's own marks: dropping them makes another word

_ALIKE = {
    # Cyrillic, Greek, Armenian, Cherokee (casefold makes its letters capital) and letters of the phonetic alphabet
    **dict(zip("абвгԁеѕзиіјкӏмнопрԛстуѵԝхцһя", "abbrdes3nijklmhonpqctyvwxuhr", strict=True)),
    **dict(zip("αβγδεζηικλμνορστυφχωϲϳ", "abydezniklmvopotuoxwcj", strict=True)),
    **dict(zip("օսոհցտեղքյ", "ounhgsenqj", strict=True)),
    **dict(zip("ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏁᎤᏢᏒᏚᎢᏙᏔᎩᏃ", "abcdeghijklmnoprstvwyz", strict=True)),
    **dict(zip("ɑɐᴀʙᴄɔᴅᴇǝəɛꜰɡɢʜɦıɪɩᴊᴋʟᴍɯɴᴏɵᴘʀɹꜱʂᴛʇᴜʊᴠʌᴡʍʏᴢʐ", "aaabccdeeeefgghhiiijklmmnooprrssttuuvvwwyzz", strict=True)),
    **dict(zip("øđħłŧƀɓɖɗɨʉƞɲŋ", "odhltbbddiunnn", strict=True)),
    "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "×": "x", "¢": "c", "£": "l", "¥": "y",
    **{chr(0x1F1E6 + n): chr(97 + n) for n in range(26)},  # regional indicators
    **{chr(first + n): chr(97 + n) for first in (0x1F150, 0x1F170) for n in range(26)},  # white on black
}  # fmt: skip

_AS_LETTERS = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "€": "e"}
_WITH_I = str.maketrans({**_AS_LETTERS, "1": "i", "!": "i", "|": "i"})
_WITH_L = str.maketrans({**_AS_LETTERS, "1": "l", "!": "l", "|": "l"})
_SIGNS = "@$€!|"
_SIGN = re.compile(r"[@$€!|]+")
_TOKEN = re.compile(r"[^\W_@$€!|]+(?:[@$€!|]+[^\W_@$€!|]*)*|[@$€|]+[^\W_@$€!|]+(?:[@$€!|]+[^\W_@$€!|]*)*|[\u2600-\u27bf\U0001f300-\U0001faff]")
_JOINED = re.compile(r"(?<![^\W_])[^\W_]++(?:[-.*·~_/'’^+=]{1,2}[^\W_]++)++")
_STRETCHED = re.compile(r"(.)\1{2,}")
_DOUBLED = re.compile(r"(.)\1+")
_BREAK = re.compile(r"[,.;:?!\n]")
_GAPS = re.compile(r"[\s・·\-_*~.]+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u1100-\u11ff]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, read. `words[i]` are all readings of its i-th word; behind the text's own words stand what closed gaps make, each between empty ones."""

    words: tuple[tuple[str, ...], ...]
    breaks: frozenset[int]  #: the words before which a comma or the like stands
    own: int  #: how many of the words are the text's own
    folded: str
    unspaced: str  #: for languages that put no spaces between words; empty where there are none of their letters


@lru_cache(maxsize=8192)
def _fold(c: str) -> str:
    if c.isspace():
        return "\n" if c in "\n\r\u2028\u2029" else " "
    if "\U0001f3fb" <= c <= "\U0001f3ff":  # skin tones
        return ""
    out: list[str] = []
    for each in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", c).casefold()):
        if each in _VOICED:
            out.append(each)
        elif (category := unicodedata.category(each))[0] == "M" or category in ("Cc", "Cf", "Cs"):
            continue
        elif "\u30a1" <= each <= "\u30f6":
            out.append(chr(ord(each) - 0x60))
        else:
            out.append(_ALIKE.get(each, each))
    return "".join(out)


def fold(text: str) -> str:
    """Case, accents, widths and look-alikes gone; spaces stay. Never raises."""
    return "".join(map(_fold, text[:_MOST]))


@lru_cache(maxsize=8192)
def _readings(token: str) -> tuple[str, ...]:
    token = token[:_LONGEST]
    plain = token.strip(_SIGNS) or token
    found = [plain]
    if not plain.isalpha() or plain != token:
        for each in (token, token.rstrip("!|"), plain):
            if any(c.isalpha() for c in each) and not each.isalpha():
                found += (each.translate(_WITH_I), each.translate(_WITH_L))
    for each in tuple(found):
        if _DOUBLED.search(each):
            found += (_STRETCHED.sub(r"\1", each), _STRETCHED.sub(r"\1\1", each), _DOUBLED.sub(r"\1", each))
    return tuple(dict.fromkeys(found))


def read(text: str) -> Reading:
    """All readings of `text` (its first characters, as many as a prompt may have). Never raises."""
    folded = fold(text)
    words: list[tuple[str, ...]] = []
    breaks: set[int] = set()
    letters: list[str] = []
    runs: list[str] = []
    pieces: list[str] = []
    end = 0
    for found in _TOKEN.finditer(folded):
        if _BREAK.search(folded, end, found.start()):
            breaks.add(len(words))
        end = found.end()
        token = found[0]
        words.append(_readings(token))
        if token.endswith("!"):
            breaks.add(len(words))
        if _SIGN.search(token.strip(_SIGNS)):
            pieces += (each for each in _SIGN.split(token) if len(each) > 2)
        if len(token) == 1 and (token.isalnum() or token in _SIGNS):
            letters.append(token)
            continue
        if len(letters) > 2:
            runs.append("".join(letters))
        letters = []
    if len(letters) > 2:
        runs.append("".join(letters))
    own = len(words)
    for joined in _JOINED.finditer(folded):
        words += ((), _readings("".join(c for c in joined[0] if c.isalnum())))
    for run in runs:
        words += ((), _windows(run))
    for piece in pieces:
        words += ((), _readings(piece))
    return Reading(tuple(words), frozenset(breaks), own, folded, unspaced(folded) if CJK.search(folded) else "")


def unspaced(folded: str) -> str:
    """Folded text without gaps, its kana and Hangul composed again: what languages without spaces are searched in."""
    return unicodedata.normalize("NFC", _GAPS.sub("", folded))


def _windows(run: str) -> tuple[str, ...]:
    """What a run of single letters may hide: every stretch of four to twelve of them, itself with signs and digits read as letters."""
    found: list[str] = []
    for text in dict.fromkeys((run.translate(_WITH_I), run.translate(_WITH_L))):
        found += (text[at : at + size] for at in range(len(text) - 3) for size in range(4, 13) if at + size <= len(text))
    return tuple(dict.fromkeys(found))
