"""Filters that put figures and times into words, and icons. Built in (settings.TEMPLATES): no `{% load %}` needed."""

from datetime import datetime
from functools import lru_cache

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from generations import catalogue, words

register = template.Library()

for _filter in (words.credits, words.bytes_words, words.clock, words.duration_words, words.range_words):
    register.filter(_filter.__name__, _filter)


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """A relative time with the exact one on hover; static/app.js keeps it fresh."""
    if at is None:
        return "never"
    exact = f"{timezone.localtime(at):%-d %B %Y, %H:%M:%S}"
    return format_html('<time datetime="{}" title="{}" data-rel>{}</time>', at.isoformat(), exact, words.relative(at))


@register.simple_tag
def icon(name: str, **given: str) -> SafeString:
    """A shape of static/icons.svg: `{% icon "plus" class="i-lg" %}`."""
    return _icon(name, given.get("class", ""))


@lru_cache(1000)
def _icon(name: str, more: str) -> SafeString:
    """Kept: a page has hundreds, and the address of the sheet stays what it is while the process lives."""
    shape = f"{static('icons.svg')}#{name}"
    return format_html("<svg class='{}' aria-hidden='true'><use href='{}'/></svg>", f"i {more}".rstrip(), shape)


@register.filter
def in_list(text: str) -> list[str]:
    """One sentence for a template that takes several."""
    return [text]


@register.filter
def until(at: datetime) -> SafeString:
    """How long until a time, with the exact one on hover."""
    exact = f"{timezone.localtime(at):%-d %B %Y, %H:%M}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, words.remaining(at))


@register.filter
def model_name(mode: str) -> str:
    """The name of a model, also of one that left the catalogue."""
    model = catalogue.MODELS.get(mode)
    return model.name if model else mode


@register.filter
def type_name(generation_type: str) -> str:
    return catalogue.TYPES.get(generation_type, generation_type)
