"""Conversations, worded by the template that the model brings along.

A template is a program from a stranger. It runs in Jinja's sandbox, without files or imports, under limits of
`nextoken.template_sandbox`; it gets a copy of the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nextoken.errors import ChatTemplateError
from nextoken.template_sandbox import render

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer

Message = Mapping[str, Any]
ROLES = ("system", "developer", "user", "assistant", "model", "tool")
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
RESERVED = ("messages", "add_generation_prompt")


def render_chat(
    template: str | None,
    messages: Sequence[Message],
    *,
    bos_token: str = "",
    eos_token: str = "",
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    **extra: Any,
) -> str:
    """The conversation as text.

    `tools` are JSON schemas for the template to list; `extra` are more names it may use. The caller's messages are
    never changed. Raises ChatTemplateError if there is no template, or with its line and message if it fails or goes
    past a limit; ValueError and TypeError, naming message and field, for messages that are none.
    """
    checked = check_messages(messages)
    return _render(
        template, checked, bos_token, eos_token, tools, add_generation_prompt, extra, lambda text: text
    )


def encode_chat(
    tokenizer: Tokenizer,
    template: str | None,
    messages: Sequence[Message],
    *,
    bos_token: str = "",
    eos_token: str = "",
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    **extra: Any,
) -> list[int]:
    """The conversation as token ids, control tokens only where the template itself names them. Raises as render_chat.

    Where a message spells a control token, the name is broken by a mark before the template sees it, and the mark is
    taken out again when only text is left. Other conversations have the ids of their rendered text.
    """
    checked = check_messages(messages)
    mark = _unused_mark(template, checked, tools, extra)

    def defuse(text: str) -> str:
        return tokenizer.break_control_names(text, mark)

    text = _render(template, checked, bos_token, eos_token, tools, add_generation_prompt, extra, defuse)
    return tokenizer.encode_rendered(text, mark)


def check_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A copy of the messages with the text parts of contents joined.

    Raises TypeError and ValueError that name the message's index and the field.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise TypeError(f"messages must be a list of dicts, not {type(messages).__name__}")
    if not messages:
        raise ValueError("messages is empty")
    checked: list[dict[str, Any]] = []
    called = False
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise TypeError(f"messages[{i}] must be a dict, not {type(message).__name__}")
        role = message.get("role")
        if role is None:
            raise ValueError(f"messages[{i}] has no 'role'")
        if not isinstance(role, str):
            raise TypeError(f"messages[{i}]['role'] must be str, not {type(role).__name__}")
        if role not in ROLES:
            raise ValueError(f"messages[{i}]['role'] is {role[:64]!r}; it must be one of {', '.join(ROLES)}")
        called = called or bool(message.get("tool_calls"))
        if role == "tool" and not called:
            raise ValueError(f"messages[{i}]['role'] is 'tool', but no message before it has 'tool_calls'")
        copy = {key: _copy(value, str, f"messages[{i}][{key!r}]") for key, value in message.items()}
        copy["content"] = _content(message, i)
        # Templates ask whether a field is there, so what says nothing is left out, as transformers does.
        checked.append(_with_thoughts({key: value for key, value in copy.items() if value is not None}))
    return checked


def _with_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    """What the model thought stands under the names that templates read, whichever of them was used."""
    thoughts = next((message[name] for name in THOUGHTS if name in message), None)
    return message if thoughts is None else {"thinking": thoughts, **message, "reasoning_content": thoughts}


def _content(message: Message, i: int) -> str | None:
    content = message.get("content")
    if content is None and message.get("tool_calls"):
        return None
    if "content" not in message:
        raise ValueError(f"messages[{i}] has no 'content'")
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        raise TypeError(
            f"messages[{i}]['content'] must be str or a list of parts, not {type(content).__name__}"
        )
    texts = []
    for j, part in enumerate(content):
        place = f"messages[{i}]['content'][{j}]"
        if not isinstance(part, Mapping):
            raise TypeError(f"{place} must be a dict, not {type(part).__name__}")
        if part.get("type") != "text":
            raise ValueError(f"{place}['type'] is {part.get('type')!r}; only 'text' can be read")
        if not isinstance(part.get("text"), str):
            raise TypeError(f"{place}['text'] must be str, not {type(part.get('text')).__name__}")
        texts.append(part["text"])
    return "".join(texts)


def _render(
    template: str | None,
    messages: list[dict[str, Any]],
    bos_token: str,
    eos_token: str,
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool,
    extra: Mapping[str, Any],
    defuse: Callable[[str], str],
) -> str:
    if template is None:
        raise ChatTemplateError(
            "the model has no chat template (a base model, perhaps); word the prompt yourself and use generate()"
        )
    for name in RESERVED:
        if name in extra:
            raise TypeError(f"{name!r} can not be a variable of the template")
    for message in messages:
        for key, value in message.items():
            if key != "role":
                message[key] = _copy(value, defuse, key)
    variables = {
        **{name: _copy(value, defuse, name) for name, value in extra.items()},
        "messages": messages,
        "tools": None if tools is None else _copy(tools, defuse, "tools"),
        "add_generation_prompt": add_generation_prompt,
        "bos_token": bos_token,
        "eos_token": eos_token,
    }
    return render(template, variables, input_size=_size(messages) + _size(variables["tools"]) + _size(extra))


def _copy(value: Any, change: Callable[[str], str], place: str, depth: int = 0) -> Any:
    """A copy of JSON-like data with each string changed; keys are left as they are."""
    if depth > 64:
        raise ValueError(f"{place} is nested more than 64 deep")
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _copy(item, change, place, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item, change, place, depth + 1) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"{place} holds a {type(value).__name__}; only JSON-like data can be given to a template")


def _size(value: Any) -> int:
    """Characters in all strings, keys included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return sum(_size(item) for item in value)
    return 8


def _unused_mark(*values: Any) -> str:
    """A code point that is no character and that none of the values holds."""
    for code in range(0xFDD0, 0xFDF0):
        if not _holds(chr(code), values):
            return chr(code)
    raise ValueError("messages hold all of U+FDD0 to U+FDEF, which are no characters")


def _holds(mark: str, value: Any) -> bool:
    if isinstance(value, str):
        return mark in value
    if isinstance(value, Mapping):
        return any(_holds(mark, key) or _holds(mark, item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(_holds(mark, item) for item in value)
    return False
