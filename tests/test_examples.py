"""Examples of public methods run, too.

`--doctest-modules` looks into a class in the module that its ``__module__`` names, and there for
methods written in that very file. The methods of a class that a package presents are written in a
private file: their examples run here, and no example runs twice.
"""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import skclr

PUBLIC = [
    "skclr",
    *(f"skclr.{part.name}" for part in pkgutil.iter_modules(skclr.__path__) if part.name[0] != "_"),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder()


def collected_by_pytest():
    """Return the docstrings whose examples `--doctest-modules` runs."""
    parts = pkgutil.walk_packages(skclr.__path__, "skclr.")
    modules = [skclr, *(importlib.import_module(part.name) for part in parts)]
    return {test.docstring for module in modules for test in FINDER.find(module) if test.examples}


def public_objects():
    """Return every public class and function once, by its address."""
    modules = [importlib.import_module(name) for name in PUBLIC]
    named = {
        id(value): (f"{value.__module__}.{name}", value)
        for module in modules
        for name in getattr(module, "__all__", [])
        if inspect.isroutine(value := getattr(module, name)) or inspect.isclass(value)
    }
    return dict(named.values())


def all_examples():
    """Return what can be run in the docstrings of public objects and of their methods."""
    found = [
        test
        for address, value in public_objects().items()
        for test in FINDER.find(value, address, module=False, globs={})
    ]
    return {test.name: test for test in found if test.examples}


EXAMPLES = all_examples()
COLLECTED = collected_by_pytest()
LEFT = sorted(name for name, test in EXAMPLES.items() if test.docstring not in COLLECTED)


@pytest.mark.parametrize("name", LEFT)
def test_the_example_of_a_method_runs_by_itself(name):
    failures = []
    doctest.DocTestRunner(optionflags=FLAGS).run(EXAMPLES[name], out=failures.append)
    assert failures == []


def test_examples_of_methods_are_among_them():
    assert "skclr.classifier.CLRLeNetClassifier.save_params" in LEFT


def test_examples_of_classes_and_functions_are_left_to_pytest():
    assert "skclr.classifier.CLRLeNetClassifier" in EXAMPLES
    assert not set(LEFT) & public_objects().keys()
