"""Write the inventories of other projects' documentation that the site links into.

    python tools/make_inventories.py

writes a small file a project into docs/_inventories, in Sphinx's own format, with the names that
this documentation mentions and no others. The site is built from them without a network, the same
everywhere.

    python tools/make_inventories.py --check sklearn=https://scikit-learn.org/stable/objects.inv

compares the addresses of a project with those in its whole inventory, a file or an address.
"""

import argparse
import sys
import urllib.request
import zlib
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from sphinx.util.inventory import InventoryFile

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "_inventories"

CLASS, FUNCTION, METHOD, EXCEPTION = "py:class", "py:function", "py:method", "py:exception"
MODULE, DATA, TERM, LABEL = "py:module", "py:data", "std:term", "std:label"

# address -> the names there, {} in the address; a label has a title of its own
PROJECTS = {
    "dask": {
        "deploying-python.html#{}": [(CLASS, "distributed.deploy.local.LocalCluster")],
    },
    "joblib": {
        "generated/{0}.html#{0}": [
            (FUNCTION, "joblib.dump"),
            (FUNCTION, "joblib.load"),
            (CLASS, "joblib.parallel_config"),
        ],
    },
    "matplotlib": {
        "api/_as_gen/{0}.html#{0}": [
            (CLASS, "matplotlib.axes.Axes"),
            (CLASS, "matplotlib.figure.Figure"),
        ],
    },
    "numpy": {
        "reference/generated/{0}.html#{0}": [(CLASS, "numpy.ndarray")],
        "reference/random/legacy.html#{}": [(CLASS, "numpy.random.RandomState")],
    },
    "pandas": {
        "reference/api/{0}.html#{0}": [(CLASS, "pandas.DataFrame"), (CLASS, "pandas.Series")],
    },
    "python": {
        "glossary.html#term-{}": [(TERM, "iterable"), (TERM, "sequence")],
        "library/constants.html#{}": [(DATA, "False"), (DATA, "None"), (DATA, "True")],
        "library/functions.html#{}": [
            (CLASS, "bool"),
            (CLASS, "float"),
            (CLASS, "int"),
            (FUNCTION, "callable"),
        ],
        "library/stdtypes.html#{}": [
            (CLASS, "dict"),
            (CLASS, "list"),
            (CLASS, "str"),
            (CLASS, "tuple"),
        ],
        "library/exceptions.html#{}": [
            (EXCEPTION, "KeyboardInterrupt"),
            (EXCEPTION, "UserWarning"),
            (EXCEPTION, "ValueError"),
        ],
        "library/functools.html#{}": [(FUNCTION, "functools.partial")],
        "library/pickle.html#module-{}": [(MODULE, "pickle")],
    },
    "skorch": {
        "callbacks.html#{}": [
            (CLASS, "skorch.callbacks.Callback"),
            (CLASS, "skorch.callbacks.EpochScoring"),
        ],
        "classifier.html#{}": [(CLASS, "skorch.classifier.NeuralNetClassifier")],
        "dataset.html#{}": [(CLASS, "skorch.dataset.Dataset")],
        "history.html#{}": [(CLASS, "skorch.history.History")],
        "net.html#{}": [
            (CLASS, "skorch.net.NeuralNet"),
            (METHOD, "skorch.net.NeuralNet.partial_fit"),
        ],
    },
    "sklearn": {
        "glossary.html#term-{}": [(TERM, "array-like")],
        "modules/model_evaluation.html#accuracy-score": [(LABEL, "accuracy_score", "accuracy")],
        "modules/generated/{0}.html#{0}": [
            (FUNCTION, "sklearn.datasets.get_data_home"),
            (FUNCTION, "sklearn.metrics.classification_report"),
            (CLASS, "sklearn.metrics.ConfusionMatrixDisplay"),
            (CLASS, "sklearn.model_selection.GridSearchCV"),
            (CLASS, "sklearn.model_selection.HalvingGridSearchCV"),
            (CLASS, "sklearn.pipeline.Pipeline"),
            (CLASS, "sklearn.utils.Bunch"),
        ],
    },
    "torch": {
        "generated/{0}.html#{0}": [
            (CLASS, "torch.Generator"),
            (CLASS, "torch.nn.CrossEntropyLoss"),
            (CLASS, "torch.nn.Module"),
            (CLASS, "torch.nn.Tanh"),
            (CLASS, "torch.optim.SGD"),
            (CLASS, "torch.optim.lr_scheduler.CyclicLR"),
            (CLASS, "torch.optim.lr_scheduler.OneCycleLR"),
            (CLASS, "torch.optim.swa_utils.AveragedModel"),
            (FUNCTION, "torch.compile"),
        ],
        "data.html#{}": [(CLASS, "torch.utils.data.DataLoader")],
        "tensors.html#{}": [(CLASS, "torch.Tensor")],
    },
}

# the shorter names that users import, documented under the longer ones
ALIASES = {
    "skorch": {
        "skorch.NeuralNetClassifier": "skorch.classifier.NeuralNetClassifier",
        "skorch.NeuralNet": "skorch.net.NeuralNet",
        "skorch.NeuralNet.partial_fit": "skorch.net.NeuralNet.partial_fit",
    },
    "dask": {"dask.distributed.LocalCluster": "distributed.deploy.local.LocalCluster"},
}


class Entry(NamedTuple):
    """What an inventory knows of a name."""

    kind: str
    address: str
    title: str = "-"  # the name itself


def entries(project: str) -> dict[str, Entry]:
    """Return what the inventory of a project holds, by name."""
    named = {
        name: Entry(kind, pattern.format(name), *title)
        for pattern, names in PROJECTS[project].items()
        for kind, name, *title in names
    }
    aliases = {alias: named[name] for alias, name in ALIASES.get(project, {}).items()}
    return dict(sorted((named | aliases).items()))


def inventory(project: str) -> bytes:
    """Return the inventory of a project as the bytes of a file in Sphinx's version 2."""
    lines = "".join(
        f"{name} {entry.kind} 1 {entry.address} {entry.title}\n"
        for name, entry in entries(project).items()
    )
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress(lines.encode(), 9)


def differences(project: str, source: str) -> list[str]:
    """Return what is wrong with our addresses, by the project's whole inventory."""
    address = source if "://" in source else Path(source).absolute().as_uri()
    with urllib.request.urlopen(address) as response:
        whole = InventoryFile.load(BytesIO(response.read()), "", lambda base, path: path)
    wrong = []
    aliases = ALIASES.get(project, {})
    for name, own in entries(project).items():
        if name in aliases:
            continue
        theirs = whole.get(own.kind, {}).get(name)
        if theirs is None:
            wrong.append(f"{name}: there is no such {own.kind}")
        elif theirs.uri != own.address:
            wrong.append(f"{name}: {theirs.uri}, and not {own.address}")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Write the inventories, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", metavar="PROJECT=INVENTORY", action="append", default=[])
    options = parser.parse_args(arguments)
    for project, source in (check.split("=", 1) for check in options.check):
        wrong = differences(project, source)
        print(*wrong or [f"{project}: all {len(entries(project))} addresses are right"], sep="\n")
        if wrong:
            return 1
    if not options.check:
        FOLDER.mkdir(exist_ok=True)
        for project in PROJECTS:
            (FOLDER / f"{project}.inv").write_bytes(inventory(project))
    return 0


if __name__ == "__main__":
    sys.exit(main())
