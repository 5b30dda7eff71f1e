"""Write the stubs in python/nextoken/_native from the compiled module; --check compares them, by text and by stubtest.

pybind11-stubgen reads the signatures; what it leaves open is closed here (`dict` becomes `dict[Any, Any]`), so that
strict mypy reads the files, and ruff gives them one form whatever Python ran this.
"""

from __future__ import annotations

import ast
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STUBS = Path(__file__).parent.parent / "python" / "nextoken" / "_native"
HEADER = "# Generated from the compiled module by `make stubs`: do not edit.\n"

# Types that pybind11 names without parameters, and what strict mypy wants to read.
OPEN_TYPES = {
    "dict": "dict[typing.Any, typing.Any]",
    "list": "list[typing.Any]",
    "set": "set[typing.Any]",
    "tuple": "tuple[typing.Any, ...]",
    "collections.abc.Callable": "collections.abc.Callable[..., typing.Any]",
    "collections.abc.Iterable": "collections.abc.Iterable[typing.Any]",
    "collections.abc.Iterator": "collections.abc.Iterator[typing.Any]",
    "collections.abc.Sequence": "collections.abc.Sequence[typing.Any]",
    "numpy.ndarray": "numpy.typing.NDArray[typing.Any]",
}

# What pybind11 takes for an argument beyond the type that it names.
WIDER_ARGUMENTS = {
    "str": "str | bytes",
    "collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]": (
        "collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | "
        "numpy.typing.NDArray[numpy.integer[typing.Any]]"
    ),
}


class CloseTypes(ast.NodeTransformer):
    """Give every argument a type, every open type its parameters, and say None where None is the default."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg not in ("self", "cls"):
            node.annotation = self.widened(self.closed(node.annotation or ast.Name("typing.Any")))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        arguments = node.args
        positional = arguments.posonlyargs + arguments.args
        defaults = [
            *zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
        ]
        for argument, default in [*defaults, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]:
            if (
                isinstance(default, ast.Constant)
                and default.value is None
                and argument.annotation is not None
            ):
                argument.annotation = self.or_none(argument.annotation)
        node.returns = self.closed(node.returns or ast.Name("typing.Any"))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign | None:
        if ast.unparse(node.target) == "__all__":
            return None  # the module has none; stubgen makes one up
        node.annotation = self.closed(node.annotation)
        return node

    def or_none(self, annotation: ast.expr) -> ast.expr:
        text = ast.unparse(annotation)
        if text == "typing.Any" or text.endswith("| None"):
            return annotation
        return ast.parse(f"{text} | None", mode="eval").body

    def widened(self, annotation: ast.expr) -> ast.expr:
        text = ast.unparse(annotation)
        return ast.parse(WIDER_ARGUMENTS.get(text, text), mode="eval").body

    def closed(self, annotation: ast.expr) -> ast.expr:
        text = ast.unparse(annotation)
        if text in OPEN_TYPES:
            return ast.parse(OPEN_TYPES[text], mode="eval").body
        if isinstance(annotation, ast.Subscript):
            annotation.slice = self.closed(annotation.slice)
        elif isinstance(annotation, (ast.Tuple, ast.List)):
            annotation.elts = [self.closed(element) for element in annotation.elts]
        elif isinstance(annotation, ast.BinOp):
            annotation.left, annotation.right = self.closed(annotation.left), self.closed(annotation.right)
        return annotation


def generate() -> dict[str, str]:
    """The files that STUBS should hold: name to text."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "nextoken._native", "-o", folder, "--exit-code"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"pybind11-stubgen failed:\n{done.stdout}{done.stderr}")
        return {path.name: closed(path) for path in sorted((Path(folder) / "nextoken" / "_native").iterdir())}


def closed(path: Path) -> str:
    """A stub as stubgen wrote it, in the form to commit."""
    tree = CloseTypes().visit(ast.parse(path.read_text()))
    imports = ast.parse(
        "from __future__ import annotations\nimport collections.abc, typing, numpy, numpy.typing"
    )
    first = 1 if ast.get_docstring(tree) is not None else 0
    tree.body[first:first] = imports.body
    text = ast.unparse(ast.fix_missing_locations(tree))
    # In __init__.pyi an import of a submodule makes its name known: no unused import.
    unused = [] if path.name == "__init__.pyi" else ["--extend-select=F401"]
    text = ruff(["check", "--fix", "--exit-zero", "--quiet", "--isolated", "--select=I,UP", *unused], text)
    return HEADER + ruff(["format", "--isolated", "--line-length=120"], text)


def ruff(arguments: list[str], text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename=stub.pyi", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    texts = generate()
    committed = {path.name: path.read_text() for path in sorted(STUBS.glob("*.pyi"))}
    if sys.argv[1:] == ["--check"]:
        check(texts, committed)
    elif texts != committed:
        STUBS.mkdir(exist_ok=True)
        for name in committed.keys() - texts.keys():
            (STUBS / name).unlink()
        for name, text in texts.items():
            (STUBS / name).write_text(text)


def check(texts: dict[str, str], committed: dict[str, str]) -> None:
    """End the program with an error if the committed stubs are not those of the module, or not true."""
    for name in sorted(texts.keys() | committed.keys()):
        old, new = committed.get(name, "").splitlines(True), texts.get(name, "").splitlines(True)
        sys.stdout.writelines(
            difflib.unified_diff(old, new, f"committed {name}", f"{name} of the compiled module")
        )
    if texts != committed:
        sys.exit(f"{STUBS} is not in step with the compiled module: run `make stubs` and commit the result")
    stubtest(texts)


def stubtest(texts: dict[str, str]) -> None:
    """Let mypy's stubtest compare names and arguments with the module, which it imports."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as allowed:
        for text in texts.values():
            # Of a class itself, its metaclass differs: pybind11's own, which no stub can name. Of a class that
            # Python can not make, __init__ only raises.
            classes = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
            allowed.writelines(rf"nextoken\._native(\.\w+)*\.{name}(\.__init__)?" + "\n" for name in classes)
        allowed.flush()
        command = [sys.executable, "-m", "mypy.stubtest", "nextoken._native", "--allowlist", allowed.name]
        command.append("--ignore-unused-allowlist")
        environment = os.environ | {"MYPYPATH": str(STUBS.parent.parent)}  # before the installed copy
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
