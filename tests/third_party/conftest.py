"""Programs of others, which are used if they are installed; `.ci/run` says that they have to be."""

import importlib
import os

import pytest


@pytest.fixture
def program():
    """Import a module of another project; without it, the test is skipped, or fails if need be."""
    is_required = os.environ.get("SKCLR_THIRD_PARTY") == "required"
    return importlib.import_module if is_required else pytest.importorskip
