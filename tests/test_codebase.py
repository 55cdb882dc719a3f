"""The code itself: names, docstrings, order of includes, sizes, flags."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import deltaprop as dp
from conftest import SLOW, SLOW_FILES
from deltaprop import graph, nn, optim, plot

ROOT = Path(__file__).resolve().parents[1]
CPP = ROOT / "cpp"
FOLDERS = ["core", "kernels", "graph", "nn", "optim", "engine", "runtime", "train"]
SOURCES = sorted(
    p
    for p in [*(CPP / "include").rglob("*"), *(CPP / "src").rglob("*")]
    if p.suffix in {".hpp", ".cpp", ".h", ".inc"}
)
MODULE_FILES = sorted((ROOT / "python" / "deltaprop").rglob("*.py"))
MOST_LINES = 450
MOST_LINES_OF_A_FUNCTION = 60
# Many short members of one kind, which a reader looks up by name.
CATALOGUES = {
    "cpp/src/kernels/activations.hpp",
    "cpp/src/kernels/functions.hpp",
    "cpp/src/kernels/losses.hpp",
    "python/deltaprop/nn/activations.py",
    "python/deltaprop/nn/init.py",
    "python/deltaprop/nn/losses.py",
    "python/deltaprop/optim/lr_scheduler.py",
    "python/deltaprop/optim/rules.py",
}
BUILD_FILES = [
    p
    for pattern in ("CMakeLists.txt", "*.cmake", "pyproject.toml")
    for p in ROOT.rglob(pattern)
    if not {"build", ".git"} & set(p.relative_to(ROOT).parts)
]
# Importing __main__ would train; the kernels' library has a module's suffix but is none.
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(dp.__path__, "deltaprop.")
    if not name.endswith(("__main__", "_core")) and "-" not in name
]


def public_objects():
    """Give every object that the package says is public, by its full name."""
    for module in (dp, graph, nn, nn.init, optim, plot):
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.ismodule(value) and not name.startswith("__"):
                yield f"{module.__name__}.{name}", value


def public_members():
    """Give the public methods and properties of public classes, and functions."""
    seen = set()
    for name, value in public_objects():
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for base in value.__mro__:
                if not base.__module__.startswith("deltaprop"):
                    continue
                for member, inner in vars(base).items():
                    call = inner.fget if isinstance(inner, property) else inner
                    if member.startswith("_") and member != "__call__":
                        continue
                    if inspect.isfunction(call) and call not in seen:
                        seen.add(call)
                        yield f"{name}.{member}", call


PUBLIC = dict(public_objects())
MEMBERS = dict(public_members())


def test_version_equals_pyproject_and_is_three_numbers():
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert dp.__version__ == project["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", dp.__version__)


@pytest.mark.parametrize("module", [dp, graph, nn, nn.init, optim, plot], ids=lambda m: m.__name__)
def test_all_names_exist(module):
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name), name


@pytest.mark.parametrize("module", [dp, graph, nn, optim, plot], ids=lambda m: m.__name__)
def test_nothing_public_is_left_out(module):
    names = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("deltaprop")
    }
    assert names <= set(module.__all__)


def test_main_names_are_public():
    assert {"Sequential", "Linear", "Layer", "Parameter", "MSELoss"} <= set(nn.__all__)
    assert {"Optimizer", "SGD", "Adam"} <= set(optim.__all__)
    assert {"variable", "constant", "Node", "solve", "grad"} <= set(graph.__all__)
    assert {"check_gradients", "History", "Run", "StopOnPlateau", "graph", "nn", "optim"} <= set(
        dp.__all__
    )
    assert len(MEMBERS) > 20


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    doc = inspect.getdoc(PUBLIC[name])
    assert doc
    assert PUBLIC[name].__doc__, f"{name} only has its base's docstring"
    assert doc.splitlines()[0].endswith((".", ":")), doc.splitlines()[0]


@pytest.mark.parametrize("name", MEMBERS)
def test_public_functions_are_documented(name):
    doc = inspect.getdoc(MEMBERS[name])
    assert doc, name
    assert doc.splitlines()[0].rstrip().endswith((".", "`", ":")), doc.splitlines()[0]


def sections(doc):
    return re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(doc or ""), re.MULTILINE)


# These the package makes; users only meet them.
MADE_FOR_USERS = {
    nn.Parameter,
    optim.LRScheduler,
    optim.Optimizer,
    optim.ParameterGroup,
    dp.History,
    dp.LRRange,
    dp.Run,
    graph.Node,
}


@pytest.mark.parametrize(
    "name",
    [n for n, v in PUBLIC.items() if inspect.isclass(v) and v not in MADE_FOR_USERS],
)
def test_every_argument_of_a_class_is_documented(name):
    text = inspect.cleandoc(PUBLIC[name].__doc__)
    for argument in inspect.signature(PUBLIC[name]).parameters:
        if argument not in {"args", "kwargs"}:
            line = rf"^([\w, ]*\b|\*){argument}\b[\w, ]*( : .*)?$"
            assert re.search(line, text, re.MULTILINE), argument


@pytest.mark.parametrize(
    "name",
    [n for n, f in MEMBERS.items() if len(inspect.signature(f).parameters) > 2],
)
def test_longer_signatures_have_sections(name):
    doc = MEMBERS[name].__doc__
    elsewhere = "see the class" in doc or "arguments as for" in doc
    assert elsewhere or "Parameters" in sections(doc), name


@pytest.mark.parametrize("module", ["deltaprop", *MODULES])
def test_doctests(module):
    found = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert found.failed == 0


def test_there_are_doctests():
    finder = doctest.DocTestFinder()
    count = sum(
        len(test.examples)
        for module in ["deltaprop", *MODULES]
        for test in finder.find(importlib.import_module(module))
    )
    assert count > 20


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def folder_of(path):
    parts = path.relative_to(CPP).parts
    return parts[2] if parts[0] == "include" else parts[1]


def test_there_are_sources():
    assert len(SOURCES) > 20
    assert {folder_of(p) for p in SOURCES} <= set(FOLDERS)
    assert {folder_of(p) for p in SOURCES} >= {"core", "kernels", "nn", "optim", "engine", "train"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CPP)))
def test_a_folder_includes_only_what_stands_above_it(path):
    above = FOLDERS[: FOLDERS.index(folder_of(path)) + 1]
    for name in includes(path):
        if name.startswith("deltaprop/"):
            assert name.split("/")[1] in above, name
            assert (CPP / "include" / name).is_file(), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CPP)))
def test_the_core_knows_no_python(path):
    for name in includes(path):
        assert not re.search(r"python|pybind|numpy", name, re.IGNORECASE), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CPP)))
def test_headers_are_included_by_their_whole_path(path):
    # A header beside the source is private to its folder and has no folder in its name.
    for name in includes(path):
        if (path.parent / name).is_file():
            assert "/" not in name, name
        else:
            assert name.startswith(("deltaprop/", "Eigen/", "sys/")) or "/" not in name, name


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.suffix == ".hpp"], ids=lambda p: str(p.relative_to(CPP))
)
def test_headers_are_read_once(path):
    assert "#pragma once" in path.read_text()


def lines(path):
    return len(path.read_text().splitlines())


@pytest.mark.parametrize(
    "path",
    [
        *SOURCES,
        *(CPP / "tests").iterdir(),
        *(ROOT / "python" / "bindings").iterdir(),
        *MODULE_FILES,
    ],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_only_catalogues_are_long(path):
    catalogue = str(path.relative_to(ROOT)) in CATALOGUES
    assert (lines(path) > MOST_LINES) == catalogue, lines(path)


def test_every_catalogue_exists():
    assert all((ROOT / name).is_file() for name in CATALOGUES)


def function_lengths(source):
    """Return the lines of each function by its name, without those of its docstring."""
    lengths = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            doc = first.end_lineno - first.lineno + 1 if documented else 0
            lengths[f"{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1 - doc
    return lengths


def test_the_length_of_a_function_is_without_its_docstring():
    source = 'def f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    return x\n'
    assert function_lengths(source) == {"f:1": 4}


@pytest.mark.parametrize("path", MODULE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_function_is_long(path):
    lengths = function_lengths(path.read_text())
    assert not {f: n for f, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}


# Comments, literals and preprocessor directives, whose braces may be unbalanced.
CPP_NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:\\\n|[^\n])*",
    re.DOTALL | re.MULTILINE,
)
# The text before the brace of a scope that is no function, and of a table.
CPP_SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum|extern)\b[^()=]*$|=\s*$")


def cpp_function_lengths(source):
    """Return the lines of each function, lambda and block by its name and the line of its brace."""
    code = CPP_NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source)
    lengths, opened, end = {}, [], 0
    for mark in re.finditer(r"[{};]", code):
        if mark[0] == "{":
            opened.append((mark.start(), code[end : mark.start()]))
        elif mark[0] == "}":
            begin, head = opened.pop()
            if not CPP_SCOPE.search(head):
                name = re.search(r"(\w+)\s*\(", head)
                key = f"{name[1] if name else ''}:{code.count(chr(10), 0, begin) + 1}"
                lengths[key] = code.count("\n", begin, mark.start()) + 1
        end = mark.end()
    assert not opened
    return lengths


def test_the_length_of_a_cpp_function_is_that_of_its_braces():
    source = """#define OPEN {
namespace n {
struct S {
  S() : a_{1} {
    g('{');  // {
  }
};
int table[] = {
    1,
};
template <class T>
T f(T x,
    T y) {
  for (int i = 0; i < 1'000; ++i) {
    g("}");
  }

  return [&] { return x; }();
}
}
"""
    lengths = cpp_function_lengths(source)
    assert lengths == {"S:4": 1, ":4": 3, ":14": 3, ":18": 1, "f:13": 7}


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *sorted((ROOT / "python" / "bindings").glob("*.?pp"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_no_cpp_function_is_long(path):
    lengths = cpp_function_lengths(path.read_text())
    assert not {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}


@pytest.mark.parametrize("path", BUILD_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_build_files_have_no_flag_that_changes_results(path):
    for line in path.read_text().splitlines():
        code = line.split("#")[0]
        for flag in ("-march=native", "-mcpu=native", "-ffast-math", "-Ofast", "-mtune=native"):
            assert flag not in code, line
        assert not re.search(r"-funsafe-math|-fassociative-math|-ffinite-math", code), line


def test_contraction_is_off():
    assert "-ffp-contract=off" in (ROOT / "CMakeLists.txt").read_text()


def test_kernels_use_no_libm_on_the_hot_path():
    # exp, log and tanh differ from one C library to the next.
    for path in (CPP / "src" / "kernels").iterdir():
        if path.suffix in {".hpp", ".cpp"}:
            calls = re.findall(r"std::(exp|log|tanh|erf|pow|sin|cos)\w*\(", path.read_text())
            assert not calls, (path.name, calls)


def test_the_package_is_typed():
    assert (Path(dp.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    "path",
    MODULE_FILES,
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_no_extra_is_imported_with_the_package(path):
    # Imports inside functions are allowed: they run where the extra is expected.
    for line in path.read_text().splitlines():
        assert not re.match(
            r"(import|from) (tqdm|sklearn|pandas|torch|matplotlib|scipy|IPython)\b", line
        )


def test_slow_tests_and_files_exist():
    files = list((ROOT / "tests").glob("test_*.py"))
    names = {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert names >= SLOW
    assert all(any(path.name.startswith(prefix) for path in files) for prefix in SLOW_FILES)
