"""What the reference documents: every public name, and the methods that a user calls.

The build of the site and the tests of the docstrings ask here, so that they agree.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import skclr

# of the many names that skorch knows and calls by itself, those that users meet too
MET_BY_USERS = {
    "classes_",
    "fit",
    "get_params",
    "load_params",
    "partial_fit",
    "predict",
    "predict_proba",
    "save_params",
    "score",
    "set_params",
}


def public_modules() -> list[ModuleType]:
    """Return the modules of skclr that name what is public, the package first."""
    names = [info.name for info in pkgutil.iter_modules(skclr.__path__, "skclr.")]
    public = [name for name in names if not name.startswith("skclr._")]
    modules = [skclr, *map(importlib.import_module, public)]
    return [module for module in modules if hasattr(module, "__all__")]


def public_names() -> dict[str, str]:
    """Return the address of each public name, and the one where it is documented.

    What the package itself exports is documented there, whichever module it comes from; the rest
    in the module that it says it is of.
    """
    addresses = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in public_modules()
        for name in module.__all__
    }
    home = {}
    for address, found in sorted(addresses.items(), key=lambda item: _rank(*item)):
        home.setdefault(id(found), address)
    return {address: home[id(found)] for address, found in addresses.items()}


def _rank(address, found):
    """Order addresses of one thing: in the package, in its own module, elsewhere."""
    module, _, _ = address.rpartition(".")
    return (module != "skclr", module != getattr(found, "__module__", module), address)


def documented_members() -> dict[str, list[tuple[str, str]]]:
    """Return the directive and the name of each documented member of each public class."""
    classes = {home: documented(home) for home in public_names().values()}
    return {
        home: [
            ("autoproperty" if isinstance(getattr(cls, name), property) else "automethod", name)
            for name in members_of(cls)
        ]
        for home, cls in classes.items()
        if inspect.isclass(cls)
    }


def members_of(cls: type) -> list[str]:
    """Return the names of the methods and properties that a user meets."""
    names = {name for base in cls.__mro__ if _is_ours(base) for name in vars(base)}
    if hasattr(cls, "fit"):
        names |= {"score"}
    return sorted(
        name
        for name in names
        if not name.startswith("_")
        and (inspect.isroutine(getattr(cls, name)) or isinstance(getattr(cls, name), property))
        and (name in MET_BY_USERS or not _belongs_to_another(cls, name))
    )


def _is_ours(cls):
    return cls.__module__.split(".")[0] == "skclr"


def _belongs_to_another(cls, name):
    """Whether a name is that of a library's own method or parameter."""
    if name.startswith("set_") and name.endswith("_request"):  # scikit-learn adds it to each class
        return True
    theirs = [base for base in cls.__mro__[:-1] if not _is_ours(base)]
    return any(hasattr(base, name) or name in _parameters(base) for base in theirs)


def _parameters(cls):
    try:
        return inspect.signature(cls).parameters
    except ValueError:  # of a class written in C
        return {}


def documented(address: str):
    """Return the object at an address such as ``skclr.LeNet5.forward``."""
    parts = address.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for name in parts[n:]:
            found = getattr(found, name)
        return found
    raise ImportError(address)
