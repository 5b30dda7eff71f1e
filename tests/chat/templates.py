"""Ten conversations through the chat templates of llama.cpp's repository, as transformers renders them.

The source distribution llama-cpp-python==0.3.36 has the templates under vendor/llama.cpp/models/templates;
NEXTOKEN_VOCABULARIES names the folder above. templates.json, four bytes of a SHA-256 for each text, is written by

    PYTHONPATH=python:. NEXTOKEN_VOCABULARIES=FOLDER python -m tests.chat.templates

where transformers is installed; it prints where ours differ.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from nextoken import template_sandbox
from nextoken.chat import render_chat
from nextoken.errors import ChatTemplateError

REFERENCE = Path(__file__).with_name("templates.json")
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
FAILED = "failed"


class Then(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Then:
        return cls(2026, 3, 9, 14, 5, 6, tzinfo=tz)


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties][:1]}
    function = {"name": name, "description": f"Calls {name} & <waits>.", "parameters": parameters}
    return {"type": "function", "function": function}


def call(name: str, arguments: Any, call_id: str = "call00001") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def says(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


TOOLS = [
    tool(
        "weather", city={"type": "string", "description": "a 'city' — \"Ελλάδα\""}, days={"type": "integer"}
    ),
    tool("add", a={"type": "number"}, b={"type": "number", "enum": [1, 2.5]}),
]
SYSTEM = says("system", "You are helpful.\n  Answer in <b>French</b> & briefly.")
HELLO = says("user", "Hello, who's there?")
TURNS = [HELLO, says("assistant", "It is me.\n"), says("user", "  And «you» — 你好?  ")]
ASKED = [says("user", "What's the weather in Nice?")]
CALLED = [
    *ASKED,
    says("assistant", None, tool_calls=[call("weather", {"city": "Nice", "days": 2})]),
    says("tool", '{"sun": true, "°C": 21}', tool_call_id="call00001", name="weather"),
]
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "a question": {"messages": [HELLO], "add_generation_prompt": True},
    "a system message": {"messages": [SYSTEM, HELLO], "add_generation_prompt": True},
    "several turns": {"messages": [SYSTEM, *TURNS], "add_generation_prompt": True},
    "turns that are done": {"messages": [*TURNS, says("assistant", "Fine.")], "add_generation_prompt": False},
    "tools": {"messages": ASKED, "tools": TOOLS, "add_generation_prompt": True},
    "system and tools": {"messages": [SYSTEM, *ASKED], "tools": TOOLS[:1], "add_generation_prompt": True},
    "a tool was called": {"messages": [SYSTEM, *CALLED], "tools": TOOLS, "add_generation_prompt": True},
    "two tools were called": {
        "messages": [
            *ASKED,
            says(
                "assistant",
                "I look.",
                tool_calls=[call("weather", {"city": "Nice"}), call("add", {"a": 1, "b": 2.5}, "call00002")],
            ),
            says("tool", "21", tool_call_id="call00001", name="weather"),
            says("tool", "3.5", tool_call_id="call00002", name="add"),
            says("assistant", "21 degrees, 3.5."),
            says("user", "Thanks <|im_end|> </s>"),
        ],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
    "thoughts": {
        "messages": [
            HELLO,
            says("assistant", "Me.", reasoning_content="They ask\nwho I am."),
            says("user", "And now?"),
        ],
        "add_generation_prompt": True,
        "enable_thinking": False,
    },
    "thoughts, the answer last": {
        "messages": [
            HELLO,
            says("assistant", "Me.", reasoning="Who?"),
            HELLO,
            says("assistant", "Still me."),
        ],
        "add_generation_prompt": False,
    },
}


def folder() -> Path | None:
    path = os.environ.get("NEXTOKEN_VOCABULARIES")
    return Path(path) / "templates" if path else None


def names(where: Path) -> list[str]:
    return sorted(path.name for path in where.glob("*.jinja"))


def ours(template: str, conversation: dict[str, Any]) -> str:
    try:
        return render_chat(template, **TOKENS, **conversation)
    except ChatTemplateError:
        return FAILED


def theirs(template: str, conversation: dict[str, Any]) -> str:
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = Then
    options = {name: value for name, value in conversation.items() if name != "messages"}
    try:
        messages = chat_template_utils._normalize_chat_messages(conversation["messages"])
        rendered, _ = chat_template_utils.render_jinja_template(
            [messages], chat_template=template, **TOKENS, **options
        )
    except Exception:
        return FAILED
    return str(rendered[0])


def digest(text: str) -> str:
    return text if text == FAILED else hashlib.sha256(text.encode()).hexdigest()[:8]


def rendered(where: Path, render: Callable[[str, dict[str, Any]], str]) -> Iterator[tuple[str, str, str]]:
    """(file, conversation, text) of all."""
    before, template_sandbox.datetime = template_sandbox.datetime, Then  # type: ignore[attr-defined]
    try:
        for name in names(where):
            template = (where / name).read_text()
            for title, conversation in CONVERSATIONS.items():
                yield name, title, render(template, conversation)
    finally:
        template_sandbox.datetime = before  # type: ignore[attr-defined]


if __name__ == "__main__":
    place = folder()
    assert place is not None, __doc__
    reference: dict[str, list[str]] = {}
    n_different = n_failed = 0
    for (name, title, mine), (_, _, expected) in zip(
        rendered(place, ours), rendered(place, theirs), strict=True
    ):
        reference.setdefault(name, []).append(digest(expected))
        n_failed += expected == FAILED
        if mine != expected:
            n_different += 1
            at = next((i for i, (a, b) in enumerate(zip(mine, expected, strict=False)) if a != b), 0)
            print(f"{name}, {title}:\n  {mine[at : at + 80]!r}\n  {expected[at : at + 80]!r}")
    print(f"{len(reference)} templates, {n_failed} fail on purpose or by fault, {n_different} differ")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in reference.items())
    REFERENCE.write_text("{\n" + lines + "\n}\n")
