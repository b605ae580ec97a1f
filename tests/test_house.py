"""The house is as its plan says: small files, short functions, and doors between the rooms."""

import ast
from pathlib import Path

import skclr

PACKAGE = Path(skclr.__file__).parent
TESTS = Path(__file__).parent
LONGEST_FILE, LONGEST_TEST_FILE, LONGEST_FUNCTION = 400, 500, 50
# each is a list with long docstrings: of schedules, and of parameters
MAY_BE_LONG = {"schedules.py", "classifier/_estimator.py"}
# parameters are listed and kept, one a line
MAY_BE_LONG_FUNCTIONS = {("classifier/_estimator.py", "CLRLeNetClassifier.__init__")}


def files_of(folder):
    """Return the Python files of a folder by their paths in it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def length(path):
    return len(path.read_text(encoding="utf-8").splitlines())


SOURCES = files_of(PACKAGE)
TREES = {name: parsed(path) for name, path in SOURCES.items()}


def functions_of(tree, prefix=""):
    """Yield every function with its full name, those of classes and of functions included."""
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}.{node.name}".lstrip(".")
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield name, node
        yield from functions_of(node, name)


def n_lines(function):
    """Count the lines of a function from its ``def``, without those of its docstring."""
    n = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        n -= function.body[0].end_lineno - function.body[0].lineno + 1
    return n


def room_of(name):
    """Return the room in which a file or module of the package stands."""
    return name.removeprefix("skclr.").removesuffix(".py").replace("/", ".").split(".")[0]


def private_imports(name, tree):
    """Yield what a file takes from another room that is not meant for it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path"
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            continue
        for path in imported:
            if path.startswith("skclr.") and room_of(path) != room_of(name):
                _, _, *inside = path.split(".")
                if any(part.startswith("_") for part in inside):
                    yield path


def imported_at_once(tree):
    """Yield the modules that are imported with a file, neither in a function nor for types."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        yield from imported_at_once(node)


def test_files_of_the_package_are_short():
    lengths = {name: length(path) for name, path in SOURCES.items() if name not in MAY_BE_LONG}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_files_of_tests_are_short():
    lengths = {name: length(path) for name, path in files_of(TESTS).items()}
    assert {name: n for name, n in lengths.items() if n > LONGEST_TEST_FILE} == {}


def test_functions_fit_on_a_screen():
    lengths = {
        (name, function): n_lines(node)
        for name, tree in TREES.items()
        for function, node in functions_of(tree)
    }
    too_long = {place: n for place, n in lengths.items() if n > LONGEST_FUNCTION}
    assert {place: too_long[place] for place in too_long.keys() - MAY_BE_LONG_FUNCTIONS} == {}


def test_files_say_what_they_are_for():
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_rooms_import_no_private_name_of_another():
    found = {name: list(private_imports(name, tree)) for name, tree in TREES.items()}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_matplotlib_is_imported_only_when_something_is_drawn():
    found = {name: set(imported_at_once(tree)) for name, tree in TREES.items()}
    assert [n for n, modules in found.items() if any("matplotlib" in m for m in modules)] == []


def test_what_is_private_is_recognized():
    code = (
        "from skclr.displays import a, _b\nfrom skclr._process._threads import c\nimport skclr._c"
    )
    found = list(private_imports("callbacks/_cyclic.py", ast.parse(code)))
    assert found == ["skclr.displays._b", "skclr._process._threads.c"]


def test_lines_are_counted_without_the_docstring():
    code = 'def f():\n    """One.\n\n    Two.\n    """\n    def g(): pass\n    return g'
    assert {name: n_lines(node) for name, node in functions_of(ast.parse(code))} == {
        "f": 3,
        "f.g": 1,
    }
