"""Pieces of HTML. Whatever comes from a board, a model or a person goes through `text`. Pure."""

from collections.abc import Iterable, Sequence
from html import escape

from tinyprof.terminal import one_line

MAX_TEXT = 400


def text(value: str) -> str:
    """Text of any source as HTML shows it: one line, cut to 400 characters, nothing in it a tag."""
    line = one_line(value)
    return escape(line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, numbers: str = "") -> str:
    """A table of cells that are HTML already, the first of each row its header; `n` in `numbers` marks numbers."""
    kinds = [' class="n"' if numbers[place : place + 1] == "n" else "" for place in range(len(head))]
    titles = "".join(f'<th scope="col"{kind}>{title}</th>' for kind, title in zip(kinds, head, strict=True))
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], rest, strict=True))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table><caption>{text(caption)}'
        f"</caption><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with their values, which are HTML already; one without a value is left out."""
    shown = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    return f'<dl class="facts">{shown}</dl>'


def figure(plot: str, caption: str) -> str:
    """A plot with its caption, both HTML already."""
    return f"<figure>{plot}<figcaption>{caption}</figcaption></figure>"


def tag(word: str, kind: str = "") -> str:
    """A word in a frame; `kind` is a verdict, for its colour."""
    return f'<span class="tag{f" {kind}" if kind else ""}">{text(word)}</span>'
