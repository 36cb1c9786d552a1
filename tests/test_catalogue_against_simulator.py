"""What the catalogue lets pass, a server that enforces the vendor's contract accepts; the rest never reaches it."""

import subprocess
import sys
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from generations import catalogue
from generations.catalogue import MODELS, Invalid

ROOT = Path(__file__).resolve().parent.parent
KEY = "vv_sk_demo_simulator_key"
EVERY_START = [(mode, kind) for mode, model in MODELS.items() for kind in model.types]
PLENTY = "100000000"

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """The base URL of a simulator of this module's own, without limits that matter."""
    command = [
        sys.executable, "-m", "simulator", "--port", "0", "--data", str(tmp_path_factory.mktemp("simulator")),
        "--speed", "1000", "--key", KEY, "--balance", PLENTY, "--minute-limit", PLENTY, "--hour-limit", PLENTY,
        "--concurrent", PLENTY, "--clips", "quick",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = next((line for line in process.stdout if "simulator ready on" in line), None)
        assert line, "the simulator did not start"
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def post(base, path, body):
    return requests.post(base + path, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)


def rows(param, seconds):
    """Scenes or shots of any cut that makes `seconds`."""
    cuts = st.lists(st.integers(1, seconds - 1), max_size=int(param.maximum) - 1, unique=True).map(sorted)
    parts = cuts.map(lambda cuts: [end - start for start, end in zip([0, *cuts], [*cuts, seconds], strict=True)])
    return st.tuples(parts, TEXT).map(lambda both: [{param.text_key: both[1], "duration": part} for part in both[0]])


def values_of(param, seconds):
    if param.kind == "choice":
        return st.sampled_from([value for value, _ in param.choices])
    if param.kind == "switch":
        return st.sampled_from([True, False, "on", "false"])
    if param.kind == "integer":
        return st.integers(int(param.minimum), int(param.maximum))
    if param.kind == "number":
        return st.floats(param.minimum, param.maximum)
    if param.kind == "text":
        return TEXT.map(lambda text: text[: param.max_length])
    return rows(param, seconds)


@st.composite
def valid_forms(draw):
    """A form filled in from top to bottom, each choice taken from what the earlier ones leave."""
    mode, kind = draw(st.sampled_from(EVERY_START))
    chosen, done = {}, set()
    while waiting := [param for param in catalogue.params(mode, kind, chosen) if param.name not in done]:
        param = min(waiting, key=lambda param: param.name != "model_version")
        done.add(param.name)
        if draw(st.booleans()) or param.name in ("model_version", "scenes"):
            chosen[param.name] = draw(values_of(param, catalogue.length(mode, catalogue.fit(mode, kind, chosen))))
    return mode, kind, chosen


@st.composite
def media_for(draw, mode, kind):
    url = "http://media.example/{}".format
    slots = {s.name: draw(st.integers(s.minimum, s.maximum)) for s in catalogue.media_slots(mode, kind)}
    return {name: [url(number) for number in range(count)] for name, count in slots.items()}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_passes_here_is_never_refused_there(simulator, data):
    mode, kind, chosen = data.draw(valid_forms())
    cleaned = catalogue.clean(mode, kind, chosen)
    media = catalogue.clean_media(mode, kind, data.draw(media_for(mode, kind)))
    prompt = catalogue.clean_prompt(data.draw(TEXT))
    quoted = post(simulator, "/quote", catalogue.billing(mode, kind, cleaned))
    made = post(simulator, "/generate-video", catalogue.body(mode, kind, cleaned, prompt, media))
    assert (quoted.status_code, made.status_code) == (200, 200), (quoted.text, made.text)
    model = MODELS[mode]
    assert model.price_min <= quoted.json()["required_credits"] <= model.price_max


@pytest.mark.parametrize(("mode", "kind"), EVERY_START)
def test_every_model_and_start_is_accepted_with_its_defaults(simulator, mode, kind):
    media = {slot.name: ["http://media.example/a"] * slot.minimum for slot in catalogue.media_slots(mode, kind)}
    body = catalogue.body(mode, kind, catalogue.clean(mode, kind, {}), "A dune", media)
    answer = post(simulator, "/generate-video", body)
    assert answer.status_code == 200, answer.text


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_spoiled_form_does_not_get_past_the_catalogue(data):
    mode, kind, chosen = data.draw(valid_forms())
    names = [param.name for param in catalogue.params(mode, kind, chosen) if param.kind != "text"]
    spoiled = chosen | {
        data.draw(st.sampled_from([*names, "zoom"])): data.draw(st.sampled_from([["5"], "x" * 99, 10**9]))
    }
    if "seed" in spoiled and spoiled["seed"] == 10**9:
        spoiled["seed"] = 2**31
    with pytest.raises(Invalid):
        catalogue.clean(mode, kind, spoiled)


WORDS = sorted({value for model in MODELS.values() for param in model.params for value, _ in param.choices})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_the_server_refuses_is_refused_here_first(simulator, data):
    mode, kind = data.draw(st.sampled_from(EVERY_START))
    names = st.sampled_from([param.name for param in MODELS[mode].params if param.kind == "choice"])
    chosen = data.draw(st.dictionaries(names, st.sampled_from(WORDS), max_size=2))
    try:
        catalogue.clean(mode, kind, chosen)
    except Invalid:
        return
    billed = catalogue.billing(mode, kind, catalogue.clean(mode, kind, chosen))
    assert post(simulator, "/quote", billed).status_code == 200
