"""Runs a Jinja template that a stranger wrote, within limits of time, memory and output.

Jinja's sandbox keeps a template from the interpreter, not from the processor. So every step that a template can
repeat (loops, calls, filters, operators, output) passes a check here: of the time used, and of the size of what one
operation is about to make.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, cast

import jinja2
import jinja2.nodes
import jinja2.sandbox
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from nextoken.errors import ChatTemplateError
from nextoken.template_limits import (
    MAX_SECONDS,
    MAX_VALUE,
    LimitError,
    budget,
    check_format,
    check_join,
    check_method,
    check_numbers,
    check_replace,
    check_size,
    check_time,
    joined,
    length,
    watched,
)

MAX_TEMPLATE = 1 << 18  # characters
OUTPUT_FACTOR, OUTPUT_ROOM = 16, 1 << 20
WIDE_PERCENT = re.compile(r"%[^a-zA-Z%]*(\d{5}|\*)")
WIDE_BRACES = re.compile(r"\{[^{}]*(\d{5}|\{)")  # a wide field, or a width that is itself an argument


def render(template: str, variables: Mapping[str, Any], input_size: int) -> str:
    """The rendered text, at most 16 times `input_size` and a MiB.

    Raises ChatTemplateError with the template's line and message for whatever goes wrong in it.
    """
    if len(template) > MAX_TEMPLATE:
        raise ChatTemplateError(
            f"the chat template has {len(template)} characters; at most {MAX_TEMPLATE} are run"
        )
    most = OUTPUT_FACTOR * input_size + OUTPUT_ROOM
    try:
        compiled = _compile(template)
        budget.deadline, budget.value = time.thread_time() + MAX_SECONDS, max(MAX_VALUE, most)
        parts, size = [], 0
        for part in compiled.generate(variables):
            check_time()
            size += len(part)
            if size > most:
                raise LimitError(f"more than {most} characters come out of it")
            parts.append(part)
        return "".join(parts)
    except jinja2.TemplateSyntaxError as error:
        raise ChatTemplateError(
            f"the chat template can not be read: line {error.lineno}: {error.message}"
        ) from error
    except (jinja2.TemplateError, LimitError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ChatTemplateError(f"the chat template failed{_line(error)}: {error}") from error
    except (AttributeError, AssertionError, NotImplementedError) as error:
        raise ChatTemplateError(f"the chat template failed{_line(error)}: {error}") from error
    except RecursionError as error:
        raise ChatTemplateError("the chat template is nested too deep") from error
    except MemoryError as error:
        raise ChatTemplateError("the chat template needs too much memory") from error
    finally:
        budget.deadline, budget.value = float("inf"), MAX_VALUE


def _line(error: BaseException) -> str:
    """Where in the template the error came from, as ' at line N'."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" at line {line}"


@lru_cache(maxsize=16)
def _compile(template: str) -> jinja2.Template:
    return _Environment().from_string(template)


class _Generation(Extension):
    """`{% generation %}` marks what a model is trained to write; for a prompt it means nothing."""

    tags = {"generation"}  # noqa: RUF012  as Jinja declares it

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """transformers' settings for chat templates, with a check at each step."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, _Generation],
            finalize=_checked_output,
        )
        self.filters = {name: _checked_filter(name, function) for name, function in self.filters.items()}
        self.filters["tojson"] = _tojson
        self.filters["watched loop"] = watched
        self.filters["checked join"] = joined
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Joins the output of macros, blocks and recursive loops."""
        return joined(parts)

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(jinja2.nodes.For):
            loop.iter = _filtered(loop.iter, "watched loop")
        _replace_concatenations(tree)
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for value, count in ((left, right), (right, left)):
                if isinstance(value, (str, list, tuple)) and isinstance(count, int):
                    check_size(length(value) * max(count, 0))
        if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            check_size(length(left) + length(right))
        if operator == "%" and isinstance(left, str):
            check_format(left, WIDE_PERCENT)
        if isinstance(left, int) and isinstance(right, int):
            bits = int(left).bit_length()
            check_size((bits * max(right, 0) if operator == "**" else bits + int(right).bit_length()) << 10)
        check_time()
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            check_format(str(value.__self__), WIDE_BRACES)
        return wrapped

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        check_time()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, (str, list, tuple, dict)):
            check_method(owner, function.__name__, args, kwargs)
        return super().call(context, function, *args, **kwargs)


def _filtered(node: jinja2.nodes.Node, name: str) -> jinja2.nodes.Filter:
    return jinja2.nodes.Filter(cast(jinja2.nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


def _replace_concatenations(node: jinja2.nodes.Node) -> None:
    """Makes each `a ~ b` a call of `joined`: of all operators, Jinja lets only this one go unwatched."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, jinja2.nodes.Node):
                    _replace_concatenations(item)
                    value[i] = _without_concat(item)
        elif isinstance(value, jinja2.nodes.Node):
            _replace_concatenations(value)
            setattr(node, field, _without_concat(value))


def _without_concat(node: jinja2.nodes.Node) -> jinja2.nodes.Node:
    if not isinstance(node, jinja2.nodes.Concat):
        return node
    return _filtered(jinja2.nodes.List(node.nodes, lineno=node.lineno), "checked join")


def _checked_output(value: Any) -> Any:
    check_time()
    return value


def _checked_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        check_time()
        # Jinja passes one of these first where a filter asks for it; the value is the first plain one.
        surroundings = (jinja2.Environment, jinja2.runtime.Context, jinja2.nodes.EvalContext)
        plain = [a for a in args if not isinstance(a, surroundings)]
        check_numbers([*plain[1:], *kwargs.values()])
        if plain and isinstance(plain[0], str):
            if name == "format":
                check_format(plain[0], WIDE_PERCENT)
            elif name == "replace" and len(plain) >= 3:
                check_replace(plain[0], plain[1], plain[2])
            elif name in ("indent", "wordwrap"):
                widths = [v for v in (*plain[1:], *kwargs.values()) if isinstance(v, (int, str))]
                width = max([len(v) if isinstance(v, str) else v for v in widths], default=4)
                check_size(len(plain[0]) + (plain[0].count("\n") + 1) * width)
        elif plain and name == "join":
            values = plain[0] = list(watched(plain[0]))
            check_join(values, plain[1] if len(plain) > 1 else kwargs.get("d", ""))
            args = (*args[: len(args) - len(plain)], *plain)
        return function(*args, **kwargs)

    return checked


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it: no HTML escapes."""
    check_time()
    if indent is not None and (indent if isinstance(indent, int) else len(indent)) > 16:
        raise LimitError("an indent of more than 16")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: Any) -> None:
    raise jinja2.TemplateError(str(message))


def _strftime_now(layout: str) -> str:
    if len(layout) > 200 or re.search(r"\d{3}", layout):
        raise LimitError("a layout of the date is too long")
    return datetime.now().strftime(layout)
