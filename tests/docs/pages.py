"""The pages of the documentation and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code and where it stands."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """The blocks of a language, on one page or on all of them."""
    found = []
    for path in PAGES if page is None else [page]:
        text = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match[1] == language:
                found.append(Block(path, text.count("\n", 0, match.start()) + 1, language, match[2]))
    return found


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Every call of a program in a block of shell commands: where it stands, and its arguments."""
    lines = [
        (f"{block}+{number}", shlex.split(line.partition(" > ")[0], comments=True))
        for block in blocks("sh") + blocks("powershell")
        for number, line in enumerate(block.text.splitlines(), 1)
        if line.strip()
    ]
    return [(where, words[1:]) for where, words in lines if words and words[0] == program]
