"""What Omniglot consists of: every file's name, and the hash of all pixels.

The 1,623 characters are those of Lake, Salakhutdinov and Tenenbaum (2015), "Human-level concept
learning through probabilistic program induction", as published in ``images_background`` (30
alphabets, 964 characters) and ``images_evaluation`` (20 alphabets, 659 characters), 20 drawings
each, 105 x 105 black on white.

The hash takes the drawings in the order of their names, compared as strings, such as
``images_background/Greek/character01/0394_01.png``. It digests, for each, the name in UTF-8, a
newline, and the pixels: 105 rows of 14 bytes, eight pixels a byte, the leftmost in the highest bit,
1 = paper, unused bits 0 (what Pillow's ``Image.tobytes`` gives in mode "1"). It does not depend on
how the files are packed or compressed::

    SHA-256 of Omniglot = 8de9f4c6c24375e655f68b5c735675a6ebd3b360b8c41f6cfbdc0d4cc967dd07
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from mamltui.text import visible

OMNIGLOT_SHA256 = "8de9f4c6c24375e655f68b5c735675a6ebd3b360b8c41f6cfbdc0d4cc967dd07"

_DETAILS = 5
"""Differences that a message tells one by one."""


@dataclass(frozen=True)
class Alphabet:
    """The drawings of one alphabet, in ``folder/name/character01/<first>_01.png`` and on."""

    folder: str
    name: str
    first: int
    """Number of its first character in the file names."""
    characters: int
    digest: str
    """The first 16 digits of the SHA-256 over its own drawings, by the same rule."""

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    def classes(self) -> dict[str, int]:
        """Path of each character, and its number in the file names."""
        return {
            f"{self.path}/character{index + 1:02d}": self.first + index
            for index in range(self.characters)
        }


@dataclass(frozen=True)
class Expected:
    """The files that a data set in Omniglot's form must hold."""

    alphabets: tuple[Alphabet, ...]
    drawings: int
    """Of each character."""
    size: int
    """Width and height in pixels."""
    sha256: str

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The parts that it is published in, in order."""
        return tuple(sorted({alphabet.folder for alphabet in self.alphabets}))

    @cached_property
    def files(self) -> dict[str, tuple[str, ...]]:
        """Path of each character in order, and the names of its drawings in order."""
        classes = {
            path: tuple(
                f"{number:04d}_{drawing:02d}.png" for drawing in range(1, self.drawings + 1)
            )
            for alphabet in self.alphabets
            for path, number in alphabet.classes().items()
        }
        return dict(sorted(classes.items()))

    def describe(self) -> str:
        """How many characters, drawings and pixels, for people."""
        counts = [
            sum(alphabet.characters for alphabet in self.alphabets if alphabet.folder == folder)
            for folder in self.folders
        ]
        characters = " + ".join(map(str, counts))
        pixels = f"{self.size} x {self.size} pixels"
        return f"{characters} characters x {self.drawings} drawings of {pixels}"

    def name_differences(self, names: Iterable[str]) -> list[str]:
        """What is missing from the file ``names``, and what is too much, in words."""
        present: dict[str, set[str]] = defaultdict(set)
        extra = []
        for name in sorted(names):
            folder, _, file = name.rpartition("/")
            present[folder].add(file)
            if file not in self.files.get(folder, ()):
                extra.append(f"{visible(name)} is no part of it")
        return self._missing(present) + extra

    def _missing(self, present: dict[str, set[str]]) -> list[str]:
        missing = []
        for alphabet in self.alphabets:
            classes = alphabet.classes()
            absent = [path for path in classes if path not in present]
            if len(absent) == len(classes):
                missing.append(f"the alphabet {alphabet.path} is missing")
                continue
            missing += [f"the character {path} is missing" for path in absent]
            for path in classes:
                files = present.get(path, set())
                lost = [file for file in self.files[path] if files and file not in files]
                if lost:
                    missing.append(
                        f"{path} has {self.drawings - len(lost)} of its {self.drawings} drawings, "
                        f"without {listed(lost)}"
                    )
        return missing


def listed(differences: list[str], separator: str = ", ") -> str:
    """The first few of ``differences`` and how many more there are."""
    more = len(differences) - _DETAILS
    shown = separator.join(differences[:_DETAILS])
    return f"{shown}{separator}and {more:,} more" if more > 0 else shown


OMNIGLOT = Expected(
    drawings=20,
    size=105,
    sha256=OMNIGLOT_SHA256,
    alphabets=(
        Alphabet("images_background", "Alphabet_of_the_Magi", 709, 20, "e745d0b0534cfcd5"),
        Alphabet("images_background", "Anglo-Saxon_Futhorc", 296, 29, "d116d7c24602034a"),
        Alphabet("images_background", "Arcadian", 1, 26, "441ff0b0fdc94a22"),
        Alphabet("images_background", "Armenian", 27, 41, "b34185bceb28c763"),
        Alphabet("images_background", "Asomtavruli_(Georgian)", 68, 40, "796a850b56102113"),
        Alphabet("images_background", "Balinese", 108, 24, "b56af5592b73c591"),
        Alphabet("images_background", "Bengali", 132, 46, "9b746d537502402a"),
        Alphabet(
            "images_background",
            "Blackfoot_(Canadian_Aboriginal_Syllabics)",
            178,
            14,
            "8033d4fac3eeba38",
        ),
        Alphabet("images_background", "Braille", 192, 26, "fcf1ac31e27855fd"),
        Alphabet("images_background", "Burmese_(Myanmar)", 770, 34, "6f3278ca2f38c550"),
        Alphabet("images_background", "Cyrillic", 218, 33, "2b18837ed2070c54"),
        Alphabet("images_background", "Early_Aramaic", 251, 22, "64d5f0b1a34d8f5c"),
        Alphabet("images_background", "Futurama", 325, 26, "fc3e1c45caaea08d"),
        Alphabet("images_background", "Grantha", 351, 43, "0f32a8202109ae7a"),
        Alphabet("images_background", "Greek", 394, 24, "c3ae0cb8ad80f274"),
        Alphabet("images_background", "Gujarati", 418, 48, "a231a44d5953133d"),
        Alphabet("images_background", "Hebrew", 466, 22, "0c3b53600efdbd53"),
        Alphabet(
            "images_background",
            "Inuktitut_(Canadian_Aboriginal_Syllabics)",
            540,
            16,
            "e1169296a1fd03ea",
        ),
        Alphabet("images_background", "Japanese_(hiragana)", 488, 52, "1bf0a9696bd24694"),
        Alphabet("images_background", "Japanese_(katakana)", 596, 47, "57516552a780fbb4"),
        Alphabet("images_background", "Korean", 643, 40, "dcbba8560df8e8be"),
        Alphabet("images_background", "Latin", 683, 26, "71fdc81f5eb3dc9a"),
        Alphabet("images_background", "Malay_(Jawi_-_Arabic)", 556, 40, "76ea445e8d736b57"),
        Alphabet("images_background", "Mkhedruli_(Georgian)", 729, 41, "5dd3e163d3fcc5b5"),
        Alphabet("images_background", "N_Ko", 804, 33, "59dd3cc0d8a0e557"),
        Alphabet(
            "images_background",
            "Ojibwe_(Canadian_Aboriginal_Syllabics)",
            837,
            14,
            "b18f817c25d69897",
        ),
        Alphabet("images_background", "Sanskrit", 851, 42, "5d01627858be7c4f"),
        Alphabet("images_background", "Syriac_(Estrangelo)", 273, 23, "88501e9604e87e47"),
        Alphabet("images_background", "Tagalog", 893, 17, "7942585c8e1474c8"),
        Alphabet("images_background", "Tifinagh", 910, 55, "562a95823b861083"),
        Alphabet("images_evaluation", "Angelic", 965, 20, "d4c600bdebc2dbdb"),
        Alphabet("images_evaluation", "Atemayar_Qelisayer", 985, 26, "c56b85bd42873b84"),
        Alphabet("images_evaluation", "Atlantean", 1011, 26, "45f41d2240f6df47"),
        Alphabet("images_evaluation", "Aurek-Besh", 1037, 26, "920ec62ccbcd8127"),
        Alphabet("images_evaluation", "Avesta", 1063, 26, "23e9977c957c0fc5"),
        Alphabet("images_evaluation", "Ge_ez", 1089, 26, "1368c52da2f7ae7d"),
        Alphabet("images_evaluation", "Glagolitic", 1115, 45, "0c7719250ceaac60"),
        Alphabet("images_evaluation", "Gurmukhi", 1160, 45, "7967e5650c2b111e"),
        Alphabet("images_evaluation", "Kannada", 1205, 41, "66a16c0bc78d6400"),
        Alphabet("images_evaluation", "Keble", 1246, 26, "858044c3d3516ca3"),
        Alphabet("images_evaluation", "Malayalam", 1272, 47, "f27a6a2df90a6b0a"),
        Alphabet("images_evaluation", "Manipuri", 1319, 40, "e196a6f4036cfa8a"),
        Alphabet("images_evaluation", "Mongolian", 1359, 30, "d9986b4e1e266979"),
        Alphabet(
            "images_evaluation", "Old_Church_Slavonic_(Cyrillic)", 1389, 45, "4a5b12f9e743a425"
        ),
        Alphabet("images_evaluation", "Oriya", 1434, 46, "6961821bac6b10cf"),
        Alphabet("images_evaluation", "Sylheti", 1503, 28, "ef88b0fb04cec60c"),
        Alphabet("images_evaluation", "Syriac_(Serto)", 1480, 23, "f9ec6dd2c6363d80"),
        Alphabet("images_evaluation", "Tengwar", 1531, 25, "7352c7a66d77b1db"),
        Alphabet("images_evaluation", "Tibetan", 1556, 42, "d104121a68cce203"),
        Alphabet("images_evaluation", "ULOG", 1598, 26, "94f4e80c5654ac0c"),
    ),
)
