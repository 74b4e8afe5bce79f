"""The keys, the signs and the filter's language."""

import textwrap
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tinyprof_dashboard.availability import HEALTHS
from tinyprof_dashboard.keys import KEYS, SCOPES
from tinyprof_dashboard.palette import EMULATED, ESTIMATED, SYMBOLS, ink

_FILTER = (
    ("berlin state:critical", "both"),
    ("decode<5 | ttft>200", "either"),
    ("!verdict:valid age>1m", "not, and a unit"),
    ('"two words" power_mw>50', "quotes; any metric's name"),
)
_WIDTH = 24
_MEANING_WIDTH = 42


class HelpScreen(ModalScreen[None]):
    """Closes on any of its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter,space", "dismiss", "close")]
    CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen VerticalScroll { width: 72; max-width: 100%; height: auto; max-height: 100%; background: $panel;
                                padding: 1 2; scrollbar-size-vertical: 1; }
    """

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll():
            yield Static(help_text(), markup=False)


def _wrapped(text: str) -> str:
    return f"\n{' ' * (_WIDTH + 2)}".join(textwrap.wrap(text, _MEANING_WIDTH))


def help_text() -> Text:
    """Everything the help says."""
    text = Text()
    for scope, title in SCOPES.items():
        text.append(f"{title}\n", ink("strong"))
        for key in KEYS:
            if key.scope == scope:
                text.append(f"  {key.shown:<{_WIDTH}}", ink("accent")).append(f"{_wrapped(key.meaning)}\n", ink("text"))
        text.append("\n")
    text.append("The filter's language\n", ink("strong"))
    for example, meaning in _FILTER:
        text.append(f"  {example:<{_WIDTH}}", ink("accent")).append(f"{meaning}\n", ink("text"))
    text.append("\nSigns\n  ", ink("strong"))
    for health in HEALTHS:
        text.append(f"{SYMBOLS[health]} {health}   ", ink(health))
    text.append(f"\n  {EMULATED} emulated   {ESTIMATED} estimated, not measured   · nothing known", ink("text"))
    return text
