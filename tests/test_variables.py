"""Variables in a prompt, and the braces that are only braces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.variables import fill, literal, names_in

texts = st.text(alphabet=st.sampled_from("{}ab 1_-é\n")) | st.text()
names = st.from_regex(r"[a-zé]([ -]?[a-z0-9_]){0,19}", fullmatch=True)


def test_variables_are_found_once_each_in_the_order_they_appear():
    assert names_in("A {animal} in {art style}, the {animal} of {place-2}") == ["animal", "art style", "place-2"]


def test_every_appearance_is_replaced():
    assert fill("{animal} meets {animal} in {style}", {"animal": "fox", "style": "ink"}) == "fox meets fox in ink"


def test_doubled_braces_are_literal_braces():
    assert names_in("{{animal}} and {{{style}}}") == ["style"]
    assert fill("{{animal}} and {{{style}}}", {"animal": "fox", "style": "ink"}) == "{animal} and {ink}"


def test_a_variable_without_a_value_stays():
    assert fill("{animal} in {style}", {"animal": "fox"}) == "fox in {style}"


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{ a}", "{a }", "{1st}", "{a{b", '{"json": 1}', "{a\nb}", "{" + "a" * 41 + "}"]
)
def test_braces_around_anything_else_are_left_alone(text):
    assert names_in(text) == []
    assert fill(text, {"a": "x", "b": "x"}) == text


def test_braces_in_a_value_are_only_braces():
    assert fill("{a} {b}", {"a": "{b}}", "b": "{{a}}"}) == "{b}} {{a}}"


@given(texts)
def test_a_text_made_literal_has_no_variables_and_comes_back_as_it_was(text):
    assert names_in(literal(text)) == []
    assert fill(literal(text), {}) == text


@given(texts)
def test_a_variable_that_stands_for_itself_changes_nothing_else(text):
    assert fill(text, {name: "{" + name + "}" for name in names_in(text)}) == fill(text, {})


@given(st.lists(st.tuples(texts, names), max_size=5), texts)
def test_what_is_put_together_from_literal_pieces_and_names_comes_apart_again(pieces, end):
    template = "".join(literal(text) + "{" + name + "}" for text, name in pieces) + literal(end)
    assert names_in(template) == list(dict.fromkeys(name for _, name in pieces))
    values = {name: f"<{name}>" for _, name in pieces}
    assert fill(template, values) == "".join(f"{text}<{name}>" for text, name in pieces) + end


@given(st.text(alphabet="{} a-", max_size=5000))
def test_any_text_is_read_quickly_and_without_an_error(text):
    fill(text, dict.fromkeys(names_in(text), ""))
