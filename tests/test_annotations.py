"""Every public signature is annotated: the package says that it is typed."""

import importlib
import inspect
import pkgutil

import pytest
from skorch.callbacks import Callback

import skclr

MODULES = [
    "skclr",
    *(
        info.name
        for info in pkgutil.walk_packages(skclr.__path__, "skclr.")
        if not any(part.startswith("_") for part in info.name.split("."))
    ),
]


def public_objects():
    """Return every public class and function by its address, each of them once."""
    found = {}
    for home in MODULES:
        module = importlib.import_module(home)
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                found.setdefault(value, f"{home}.{name}")
    return {address: value for value, address in found.items()}


def is_ours(cls):
    return cls.__module__.partition(".")[0] == "skclr"


def signatures_of(value):
    """Yield names and functions: a function itself, of a class what is written in this package."""
    if not inspect.isclass(value):
        yield "", inspect.unwrap(value)
        return
    written = {}
    for cls in filter(is_ours, value.__mro__):
        for name, member in vars(cls).items():
            if name == "__init__" or not name.startswith("_"):
                written.setdefault(name, member)
    for name, member in written.items():
        if isinstance(member, property):
            yield name, member.fget
        elif isinstance(member, (classmethod, staticmethod)):
            yield name, member.__func__
        elif inspect.isfunction(member) and not is_hook(name):
            yield name, member


def is_hook(name):
    """Tell whether skorch calls it by this name, with arguments that skorch determines."""
    return name.startswith("on_") and hasattr(Callback, name)


def without_annotation(function):
    signature = inspect.signature(function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty and function.__name__ != "__init__":
        missing.append("return")
    return missing


OBJECTS = public_objects()


@pytest.mark.parametrize("address", OBJECTS)
def test_public_signature_is_annotated(address):
    missing = {name: without_annotation(f) for name, f in signatures_of(OBJECTS[address])}
    assert {name: names for name, names in missing.items() if names} == {}


def test_what_is_not_annotated_is_found():
    class Example:
        def __init__(self, a: int, b=1): ...

        @classmethod
        def make(cls): ...

        @property
        def size(self) -> int:
            return 1

    Example.__module__ = "skclr.example"
    missing = {name: without_annotation(f) for name, f in signatures_of(Example)}
    assert missing == {"__init__": ["b"], "make": ["return"], "size": []}
