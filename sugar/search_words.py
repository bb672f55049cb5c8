"""The words of a text as search sees them, in every script: the one tokenizer of galleries and of Ask.

    fold("Straße, Zoë, oﬃce")            # "strasse, zoe, office"
    tokens("Zoë's 雪地")                  # ["zoe", "s", "雪", "雪地", "地"]
    asked("雪地里的小狗")                   # ["雪地", "地里", "小狗"]

Chinese, Japanese, Thai, Lao, Khmer and Burmese part no words by spaces, Korean no particles. A run of such
letters is searched by its n-grams: pairs of characters, in the alphabets of South-East Asia three. A text
holds all n-grams up to that size; a question asks for the largest, without function words. `VERSION` belongs
to what is kept on disk. Not covered: stems of English
(sugar/rag/words.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

VERSION = "3"
"""Raised when `indexed` gives other words: galleries then make their table of words anew."""

_INVISIBLE = [0xAD, 0x34F, 0x61C, 0x640, 0xFEFF, *range(0x180B, 0x180F), *range(0x200B, 0x2010)]
_INVISIBLE += [*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)]
_BARE = dict.fromkeys(_INVISIBLE) | dict.fromkeys((0x2B9, 0x2BB, 0x2BC, 0x2BD, 0x2BE, 0x2BF), "'")
"""Marks that nobody types into a search, and letters that stand for an apostrophe."""
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"}
)
"""Letters without a decomposition, as people type them on a keyboard that lacks them."""
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
"""Accents, points and vowel signs that are left out in everyday writing. The signs of Indian scripts and the
voicing of kana are not among them: they are letters."""

_SOUTH_EAST = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0edf\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17dc-\u17e9"
)
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA, _KATAKANA, _HANGUL = "\u3041-\u309f", "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff", "\uac00-\ud7a3"
_UNSPACED = _SOUTH_EAST + _HAN + _HIRAGANA + _KATAKANA + _HANGUL
_MARKED = "\u0730-\u074a\u0780-\u07bf\u0900-\u0963\u0966-\u0dff\u0f35-\u0f39\u0f71-\u0f87\u0f90-\u0fbc"
"""Scripts whose vowel signs are no letters to `re`, but parts of a word."""
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:[^\W_{_UNSPACED}]|[{_MARKED}])+")
_KINDS = re.compile(rf"[{_HAN}]+|[{_KATAKANA}]+|[{_HIRAGANA}]+|[{_HANGUL}]+|[{_SOUTH_EAST}]+")
_OPEN = re.compile(rf"[{_UNSPACED}]")
_KANA = re.compile(rf"[{_HIRAGANA}]+")
_ENDINGS = re.compile(rf"[{_HIRAGANA}{_HANGUL}]")

_FUNCTION = """
    什么 什麼 甚麼 哪里 哪裡 哪裏 哪儿 哪兒 哪个 哪個 哪些 在哪里 在哪裡 在哪裏 在哪儿 在哪兒 在哪 谁的
    誰的 怎么 怎麼 怎样 怎樣 为什么 為什麼 多少 几个 幾個 几岁 幾歲 多大 叫什么 叫什麼 名字 请问 請問 我的
    你的 他的 她的 它的 我们 我們 你们 你們 他们 他們 我家的 我们的 我們的 这个 這個 那个 那個 这些 這些
    那些 有没有 有沒有 是不是 一个 一個 一只 一隻 谁 哪 吗 嗎 呢 何 誰 名前
    です でした ですか ます ました ません ませんか している していますか しています していた して した
    いますか います いる いた ありますか あります ある あった どこ どこですか だれ なに なん いつ なぜ
    どう どれ どんな いくつ いくら ください という について から まで より
    어디 어디에 어디서 무엇 무엇을 무엇이 뭐 누구 누가 언제 어떻게 어떤 무슨 몇 왜 있나요 있어요 있습니까
    있는 입니까 인가요 이에요 예요 하나요 합니까 했나요 이름 이름은 이름이
    ที่ไหน อะไร ใคร เมื่อไหร่ เมื่อไร ทำไม อย่างไร ยังไง เท่าไหร่ เท่าไร กี่ อยู่ คือ และ ของ เป็น ชื่อ
    ครับ ค่ะ
"""
_WEAK = re.compile("[的了是在和與与把被着著]")
"""Words that ask or join. The weak ones are parts of other words too."""
STOP = frozenset(
    str.split("""
    a an the this that these those my your his her its our their some any each every no not and or
    but if then than so as at by for from in into of off on onto out over to under up down with
    without within about after before between during through against among is are was were be been
    being am do does did done doing have has had having can could will would shall should may might
    must i you he she it we they me him them us who whom whose which what when where why how there
    here just also too very more most such s t d ll m re ve please ok yes isn aren don doesn didn
    only again ever still yet both either neither because while until since
    """)
)
"""Function words of English."""
_EDGES = ".,;:!?\"'()[]"
_LOOK = 40
"""Characters at the end of a run that an ending is looked for in."""
_PARTICLES = re.compile(
    rf"(?:(?<=[{_HANGUL}])(?:에서|에게|으로|까지|부터|을|를|은|는|에|의)|(?<=[{_HANGUL}]{{2}})[가이와과도로]"
    rf"|(?<=[{_HIRAGANA}]{{2}})[のはがをにでともへやか])$"
)


def fold(text: str) -> str:
    """Lower case without accents, ligatures, full-width forms and invisible marks, as people type it.

    >>> fold("Zoë's Straße, Łódź, o\ufb03ce, ｱｲｽ")
    "zoe's strasse, lodz, office, アイス"
    """
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.translate(_BARE)).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", parts)).translate(_PLAIN)


def written(text: str) -> list[str]:
    """The words and the runs of letters without spaces, as they are written."""
    return _WORD.findall(text.translate(_BARE))


def tokens(text: str) -> list[str]:
    """All words of a text in order, folded; of a run without spaces all n-grams up to its size."""
    return [token for word in _WORD.findall(fold(text)) for token in _grams(word)]


def asked(text: str) -> list[str]:
    """The words that a question asks for, folded: of a run without spaces its largest n-grams, without
    function words."""
    return [token for word in _WORD.findall(fold(text)) for token in _sought(word)]


def indexed(text: str) -> str:
    """The words of a text with spaces between, for an index that looks for phrases: of a run without spaces
    one character after the other."""
    return " ".join(" ".join(word) if _OPEN.match(word) else word for word in _WORD.findall(fold(text)))


def content(text: str) -> str:
    """A text without the function words of its language; as it is where nothing else is in it.

    The language is the one most of whose function words are in it. Two English ones are enough for English:
    "man in a hat" holds three of German.

    >>> content("sunset over the sea"), content("der Hund und die Katze"), content("the who")
    ('sunset sea', 'Hund Katze', 'the who')
    """
    pieces = text.split()
    words = [fold(piece).strip(_EDGES) for piece in pieces]
    lists = _stop_words()
    hits = {language: sum(word in known for word in words) for language, known in lists.items()}
    best = max(lists, key=lambda language: hits[language])  # of several, the first in their order
    if hits["english"] >= min(2, hits[best]):
        best = "english"
    kept = [piece for piece, word in zip(pieces, words, strict=True) if word not in lists[best]]
    return " ".join(kept) or text


@lru_cache(maxsize=1)
def _stop_words() -> dict[str, frozenset[str]]:
    """{language: its function words, folded}, English first. Source: the package stop-words."""
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    first = ["english", "french", "german", "spanish", "italian", "portuguese", "dutch", "russian"]
    names = [*first, *sorted(set(AVAILABLE_LANGUAGES) - set(first))]
    lists = {name: frozenset(fold(word) for word in get_stop_words(name)) for name in names}
    return lists | {"english": STOP}  # theirs holds "man" and "work"


def phrases(text: str) -> list[list[str]]:
    """What a query looks for in an index of `indexed` texts, each as words that must stand together.

    >>> phrases("IMG_2041 dog 小狗")
    [['img', '2041'], ['dog'], ['小', '狗']]
    """
    parts = [_WORD.findall(part) for part in fold(text).split()]
    for ngrams in (_sought, _largest):  # function words are looked for where nothing else is asked
        if found := [phrase for words in parts for phrase in _phrases(words, ngrams)]:
            return found
    return []


def _phrases(words: list[str], ngrams: Callable[[str], list[str]]) -> Iterator[list[str]]:
    together: list[str] = []
    for word in words:
        if not _OPEN.match(word):
            together.append(word)
            continue
        if together:
            yield together
            together = []
        yield from map(list, ngrams(word))
    if together:
        yield together


def _size(run: str) -> int:
    return 3 if run[0] < "\u2000" else 2


def _grams(word: str) -> list[str]:
    if not _OPEN.match(word):
        return [word]
    sizes = range(1, _size(word) + 1)
    return [word[i : i + n] for i in range(len(word)) for n in sizes if i + n <= len(word)]


def _largest(word: str) -> list[str]:
    """The n-grams of the largest size; a word of another script, or a shorter run, is one."""
    if not _OPEN.match(word):
        return [word]
    size = _size(word)
    return [word[i : i + size] for i in range(max(1, len(word) - size + 1))]


def _sought(word: str) -> list[str]:
    """The largest n-grams of what stands between function words; [] for function words alone.

    Hiragana beside other letters is an ending or a particle, unless it is long.
    """
    if not _OPEN.match(word):
        return [word]
    pieces = [piece for part in _KINDS.findall(word) for piece in _without_function_words(part)]
    told = [p for p in pieces if len(p) > 2 or not _KANA.fullmatch(p)] or [p for p in pieces if len(p) > 1]
    return [gram for piece in told for gram in _largest(piece)]


def _without_function_words(run: str) -> list[str]:
    """A run of one script: kana and Hangul without their endings, others parted at their function words."""
    anywhere, at_the_end = _function_words()
    if _ENDINGS.match(run):
        return list(filter(None, [_PARTICLES.sub("", run[:-_LOOK] + at_the_end.sub("", run[-_LOOK:]))]))
    parts = anywhere.split(run)
    return [p for part in parts for p in (_WEAK.split(part) if len(part) > 3 else [part]) if p]


@lru_cache(maxsize=1)
def _function_words() -> tuple[re.Pattern[str], re.Pattern[str]]:
    longest = "|".join(sorted(fold(_FUNCTION).split(), key=len, reverse=True))
    return re.compile(longest), re.compile(f"(?:{longest}){{1,6}}$")
