"""Conversations: checked, worded by a template, and tokenized so that nobody can forge a turn."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken.chat import check_messages, render_chat
from nextoken.errors import ChatTemplateError
from nextoken.tokenizer import Tokenizer
from tests.tokenizer.tiny import build

HI = [{"role": "user", "content": "hi"}]
TURNS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_template_words_the_messages() -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HI]
    assert render_chat(TURNS, messages) == "<system>Be brief.\n<user>hi\n<assistant>"
    assert render_chat(TURNS, HI, add_generation_prompt=False) == "<user>hi\n"


def test_a_template_gets_what_transformers_gives_it() -> None:
    template = (
        "{{ bos_token }}{{ eos_token }}{{ tools | tojson }}{{ mood }}{% for i in range(9) %}{% if i == 2 %}{% break %}"
        "{% endif %}{{ i }}{% endfor %}{{ strftime_now('%Y') | length }}{% set ns = namespace(a=1) %}{{ ns.a }}"
    )
    text = render_chat(template, HI, bos_token="<s>", eos_token="</s>", tools=[{"name": "é<"}], mood="!")
    assert text == '<s></s>[{"name": "é<"}]!0141'


def test_blocks_leave_no_lines_behind() -> None:
    assert render_chat("  {% if true %}\nx\n  {% endif %}\ny", HI) == "x\ny"


def test_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert render_chat(TURNS, [{"role": "user", "content": parts}]) == "<user>ab\n<assistant>"


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
}


def test_tools_may_answer_after_a_call() -> None:
    template = (
        "{% for m in messages %}"
        "{{ m.tool_calls[0].function.arguments.x if m.tool_calls else m.content }}{% endfor %}"
    )
    assert render_chat(template, [*HI, CALL, {"role": "tool", "content": "9"}]) == "hi19"


@pytest.mark.parametrize(
    ("messages", "error", "names"),
    [
        ([], ValueError, "empty"),
        ("hi", TypeError, "str"),
        ({"role": "user"}, TypeError, "dict"),
        ([*HI, "hi"], TypeError, r"messages\[1\]"),
        ([{"content": "hi"}], ValueError, r"messages\[0\].*'role'"),
        ([{"role": 3, "content": "hi"}], TypeError, r"messages\[0\]\['role'\].*int"),
        ([*HI, {"role": "wizard", "content": "hi"}], ValueError, r"messages\[1\]\['role'\].*'wizard'"),
        ([{"role": "user"}], ValueError, r"messages\[0\].*'content'"),
        ([{"role": "user", "content": None}], TypeError, r"messages\[0\]\['content'\]"),
        ([{"role": "user", "content": 3}], TypeError, r"messages\[0\]\['content'\].*int"),
        ([{"role": "user", "content": {"a": 1}}], TypeError, r"messages\[0\]\['content'\].*dict"),
        ([{"role": "user", "content": ["a"]}], TypeError, r"messages\[0\]\['content'\]\[0\]"),
        ([{"role": "user", "content": [{"type": "image"}]}], ValueError, "'image'"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], TypeError, r"\[0\]\['text'\].*int"),
        ([*HI, {"role": "tool", "content": "9"}], ValueError, r"messages\[1\].*tool_calls"),
        (
            [{"role": "user", "content": "hi", "date": object()}],
            TypeError,
            r"messages\[0\]\['date'\].*object",
        ),
    ],
)
def test_messages_that_are_none_are_named(messages: Any, error: type[Exception], names: str) -> None:
    with pytest.raises(error, match=names):
        render_chat(TURNS, messages)


def test_a_message_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested"):
        check_messages([{"role": "user", "content": "hi", "meta": loop}])


def test_a_hundred_thousand_messages_are_worded() -> None:
    assert render_chat("{{ messages | length }}", HI * 100_000) == "100000"


def test_no_template_is_said_when_it_is_needed(tmp_path: Path) -> None:
    tokenizer = build(tmp_path, "llama", chat_template=None)
    with pytest.raises(ChatTemplateError, match="no chat template"):
        tokenizer.apply_chat_template(HI)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a\n{% if %}", "line 2"),
        ("a\n{{ nobody.name }}", "line 2.*'nobody' is undefined"),
        ("a\nb\n{{ raise_exception('roles must alternate') }}", "line 3: roles must alternate"),
        ("\n{{ 1 / 0 }}", "line 2: division by zero"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import 'os' as os %}", "no loader"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update({'content': 'x'}) }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ range.__init__.__globals__ }}", "unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(1) }}", "unsafe"),
    ],
)
def test_what_fails_in_a_template_is_told_with_its_line(tmp_path: Path, template: str, says: str) -> None:
    tokenizer = build(tmp_path, "llama", chat_template=template)  # a bad template is no reason not to load
    messages = copy.deepcopy(HI)
    with pytest.raises(ChatTemplateError, match=says):
        tokenizer.apply_chat_template(messages, tokenize=False)
    assert messages == HI


@pytest.mark.parametrize(
    "template", ["{{ ''|attr('__class__') }}", "{{ messages|map(attribute='__class__')|list }}"]
)
def test_the_interpreter_is_out_of_reach(template: str) -> None:
    assert "class" not in render_chat(template, HI)


FOREVER = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for x in [1] * 50 recursive %}{{ loop([1] * 50) }}{% endfor %}",
    "{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{{ range(99999) | map('string') | map('center', 99999) | join }}",
)
HUGE = (
    "{{ 'x' * 10 ** 9 }}",
    "{{ 7 ** (10 ** 9) }}",
    "{% set ns = namespace(s='xxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='xxxx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(n=3) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}{{ ns.n }}",
    "{% for i in range(9999) %}" + "x" * 1000 + "{% endfor %}",
    "{{ 'x' | center(10 ** 9) }}",
    "{{ 'x'.ljust(10 ** 9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 10 ** 9) }}",
    "{{ ('x' * 99999).replace('x', 'y' * 99999) }}",
    "{{ ('x' * 99999) | replace('x', 'y' * 99999) }}",
    "{{ (['x' * 9999] * 9999) | join }}",
    "{{ ''.join(['x' * 9999] * 9999) }}",
    "{{ ('a\n' * 99999) | indent(99999) }}",
    "{{ messages | tojson(indent=99999) }}",
    "{{ range(10 ** 9) | list }}",
    "{{ [1] | batch(10 ** 9, 'x') | list }}",
    "{{ (range(99999) | list * 1000) | sort | length }}",
    "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}",
    "x" * 10_000_000,
)


@pytest.mark.parametrize("template", FOREVER + HUGE, ids=range(len(FOREVER + HUGE)))
def test_a_template_that_does_too_much_is_stopped(template: str) -> None:
    with pytest.raises(ChatTemplateError):
        render_chat(template, HI)


def test_large_contents_are_no_fault() -> None:
    long = "x" * 8_000_000
    assert (
        render_chat(
            "{{ messages[0]['content'] + '!' }}{{ '<' ~ messages[0].content }}",
            [{"role": "user", "content": long}],
        )
        == long + "!<" + long
    )


def test_a_template_can_not_change_the_messages() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi", "extra": {"list": [1]}}]
    before = copy.deepcopy(messages)
    render_chat(
        "{% set m = messages[0] %}{% set m = 1 %}{{ messages | list | reverse | list | length }}", messages
    )
    assert messages == before


@pytest.fixture(scope="module", params=["llama", "gemma"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return build(tmp_path_factory.mktemp("tiny"), request.param)


def test_a_conversation_has_the_ids_of_its_text(tokenizer: Tokenizer) -> None:
    messages = [
        *HI,
        {"role": "assistant", "content": "the\n\nfox  12"},
        {"role": "user", "content": "< > <| |> é"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = tokenizer.apply_chat_template(messages)
    assert ids == tokenizer.encode(text, add_special_tokens=False, parse_special=True)
    assert ids == tokenizer.encode_chat(messages)
    assert sum(map(tokenizer.is_special, ids)) >= 6


FORGED = st.text(st.sampled_from("<|im_end>startofu ")).map(lambda t: t[:12])
NAMES = st.sampled_from(
    ["<|im_end|>", "<|im_start|>", "<end_of_turn>", "<start_of_turn>", "<eos>", "<|im_", "end|>", "<", "\n"]
)


@given(contents=st.lists(st.lists(st.one_of(NAMES, FORGED), max_size=4).map("".join), min_size=1, max_size=3))
def test_contents_never_become_control_tokens(tokenizer: Tokenizer, contents: list[str]) -> None:
    plain = [{"role": "user", "content": "x"} for _ in contents]
    forged = [{"role": "user", "content": content} for content in contents]
    ids = tokenizer.encode_chat(forged)
    control = [i for i in ids if tokenizer.is_special(i)]
    assert control == [i for i in tokenizer.encode_chat(plain) if tokenizer.is_special(i)]
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(forged, tokenize=False)


def test_a_name_in_two_pieces_is_not_put_together(tmp_path: Path) -> None:
    tokenizer = build(tmp_path, "llama", chat_template="{{ messages[0].content }}{{ messages[1].content }}")
    halves = [{"role": "user", "content": "<|im_"}, {"role": "user", "content": "end|>"}]
    ids = tokenizer.encode_chat(halves)
    assert not any(map(tokenizer.is_special, ids))
    assert tokenizer.decode(ids) == "<|im_end|>"


def test_variables_that_the_caller_may_not_set(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match="messages"):
        tokenizer.apply_chat_template(HI, **{"messages": []})
