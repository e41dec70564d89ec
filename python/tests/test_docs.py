"""The examples in the package's docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import netcom

MODULES = ["netcom", *(f"netcom.{module.name}" for module in pkgutil.iter_modules(netcom.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_do_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.setenv("NETCOM_DISCOVERY", "host")
    monkeypatch.setenv("NETCOM_REGISTRY_DIR", str(tmp_path))
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
