"""What tests read off the compose page and do there: its form as a browser would post it, its text, the review."""

import html
import re
from html.parser import HTMLParser
from typing import Any

from generations import catalogue
from generations.models import Generation, LedgerEntry
from tests.makers import sent_to

HTMX = {"HTTP_HX_REQUEST": "true"}


class _Form(HTMLParser):
    """The form with this id (or to this address), as a browser would post it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.inside = name, False
        self.fields: list[tuple[Any, Any]] = []
        self.area = self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = dict(attrs)
        if tag == "form":
            self.inside = self.name in (at.get("id"), at.get("action"))
        if not self.inside:
            return
        if tag == "input" and at.get("name") and "disabled" not in at:
            ticked = at.get("type") not in ("radio", "checkbox") or "checked" in at
            if ticked and at.get("type") != "file":
                self.fields.append((at["name"], at.get("value") or ""))
        elif tag == "textarea":
            self.area = str(at["name"])
            self.fields.append((self.area, ""))
        elif tag == "select":
            self.select = str(at["name"])
        elif tag == "option" and "selected" in at:
            self.fields.append((self.select, at["value"]))

    def handle_data(self, data: str) -> None:
        if self.area:
            self.fields[-1] = (self.area, self.fields[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.fields[-1] = (self.area, self.fields[-1][1].removeprefix("\n"))
            self.area = ""
        if tag == "form":
            self.inside = False


def form_in(page: str, name: str = "compose") -> dict[str, Any]:
    parser = _Form(name)
    parser.feed(page)
    fields: dict[str, Any] = {}
    for key, value in parser.fields:
        fields.setdefault(key, []).append(value)
    return fields


def text_of(answer) -> str:
    return html.unescape(re.sub(r"\s+", " ", answer.content.decode()))


def filled(desk, mode: str = "veo3", kind: str = "text-to-video", **more: Any) -> dict[str, Any]:
    """The page's own form, with a prompt, and with more of it changed."""
    fields = form_in(desk.get(f"/new?mode={mode}&type={kind}").content.decode())
    fields["prompt"] = "A lone walker"
    for slot in catalogue.media_slots(mode, kind):
        if slot.minimum:
            fields[f"{slot.name}.url"] = "https://example.com/start.jpg"
    return {**fields, **more}


def review(desk, mode: str = "veo3", kind: str = "text-to-video", **more: Any):
    return desk.post("/new/review", filled(desk, mode, kind, **more), **HTMX)


def sealed_in(answer) -> str:
    return form_in(answer.content.decode(), "/new/confirm")["sealed"][0]


def nothing_happened() -> None:
    assert sent_to("generate-video") == sent_to("storage") == 0
    assert not Generation.objects.exists()
    assert not LedgerEntry.objects.exists()
