"""The reference is complete: every public name is in it, with a whole docstring."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import skclr

pytest.importorskip("numpydoc")
pytest.importorskip("sphinx")

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)
sys.path.insert(0, str(DOCS / "_ext"))

import reference  # noqa: E402
from numpydoc.validate import ERROR_MSGS, validate  # noqa: E402

HOMES = sorted(set(reference.public_names().values()))
MEMBERS = [
    f"{home}.{name}"
    for home in HOMES
    if inspect.isclass(reference.documented(home))
    for name in reference.members_of(reference.documented(home))
]
# numpydoc's checks, but for these: where a docstring begins, which sections are not needed
# everywhere, and that what is returned has no name (scikit-learn gives it one)
LEFT_OUT = {"GL01", "ES01", "SA01", "SA04", "RT02"}
LEFT_OUT_OF_METHODS = {"EX01"}  # the class has examples
# the constructor takes skorch's parameters too, which no signature can show
EXCEPTIONS = {("skclr.CLRLeNetClassifier", "PR02"), ("skclr.CLRLeNetClassifier", "PR08")}


def complaints(address, left_out):
    return [
        f"{code}: {message}"
        for code, message in validate(address)["errors"]
        if code not in left_out and (address, code) not in EXCEPTIONS
    ]


@pytest.mark.parametrize("address", HOMES)
def test_docstring_of_a_public_name_is_whole(address):
    assert complaints(address, LEFT_OUT) == []


@pytest.mark.parametrize("address", MEMBERS)
def test_docstring_of_a_public_method_is_whole(address):
    assert complaints(address, LEFT_OUT | LEFT_OUT_OF_METHODS) == []


def test_checks_that_are_left_out_are_checks_of_numpydoc():
    assert ERROR_MSGS.keys() >= LEFT_OUT | LEFT_OUT_OF_METHODS


def test_validation_finds_what_is_missing():
    def without_docstring(a):
        return a

    reference.without_docstring = without_docstring
    try:
        found = complaints("reference.without_docstring", LEFT_OUT)
    finally:
        del reference.without_docstring
    assert found


def test_every_public_name_is_on_the_page_of_the_reference():
    text = (DOCS / "api" / "index.rst").read_text(encoding="utf-8")
    listed = {f"skclr.{line.strip()}" for line in text.splitlines() if line.startswith("   ")}
    assert set(HOMES) - listed == set()


def test_a_name_that_the_package_exports_is_documented_there():
    names = reference.public_names()
    assert names["skclr.callbacks.CyclicLR"] == "skclr.CyclicLR"
    assert names["skclr.callbacks.OneCycleLR"] == "skclr.callbacks.OneCycleLR"


def test_methods_that_skorch_calls_are_not_in_the_reference():
    members = reference.members_of(reference.documented("skclr.CLRLeNetClassifier"))
    assert {"fit", "predict", "history_frame", "score"} <= set(members)
    assert not {"train_step_single", "on_epoch_begin", "lr"} & set(members)


def test_methods_that_scikit_learn_adds_are_not_in_the_reference():
    members = reference.members_of(reference.documented("skclr.SnapshotEnsemble"))
    assert hasattr(skclr.SnapshotEnsemble, "set_score_request")
    assert {"fit", "predict", "predict_proba", "score"} <= set(members)
    assert not {"set_score_request", "get_metadata_routing"} & set(members)


def test_every_example_has_its_place_in_the_order_of_the_lessons():
    import lessons

    examples = {path.stem for path in (ROOT / "examples").rglob("plot_*.py")}
    assert examples == set(lessons.LESSONS)


def test_inventories_are_those_that_the_tool_writes():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import make_inventories as tool
    finally:
        sys.path.remove(str(ROOT / "tools"))
    written = {path.stem: path.read_bytes() for path in tool.FOLDER.glob("*.inv")}
    assert written == {project: tool.inventory(project) for project in tool.PROJECTS}


def test_inventories_are_read_by_sphinx_with_their_upstream_addresses():
    from sphinx.util.inventory import InventoryFile

    content = (DOCS / "_inventories" / "torch.inv").read_bytes()
    base = "https://docs.pytorch.org/docs/stable"
    names = InventoryFile.loads(content, uri=base).data["py:class"]
    address = f"{base}/generated/torch.optim.lr_scheduler.CyclicLR.html"
    name = "torch.optim.lr_scheduler.CyclicLR"
    assert names[name].uri == f"{address}#{name}"


def test_link_checker_names_broken_links(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#here">b</a><a href="a.html#top">a</a>'
        '<a href="gone.html">c</a><img src="gone.png"><a href="https://example.org">d</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_links.py", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert checked.stdout.splitlines() == [
        "a.html: b.html#here (no such anchor)",
        "a.html: gone.html (no such file)",
        "a.html: gone.png (no such file)",
    ]
