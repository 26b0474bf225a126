"""What docs/command.md shows is what the command says, as far as it is quick."""

import gzip
import re
import shlex
from importlib.resources import files

import pandas as pd
import pytest
from helpers import ROOT

import skreg
from skreg.__main__ import main

PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def shown():
    """Each command of the page, and the lines that it prints there."""
    for block in re.findall(r"^```console\n\$ (.*?)^```$", PAGE, flags=re.M | re.S):
        for text in block.split("\n$ "):
            command, *lines = text.splitlines()
            yield command, lines


SHOWN = dict(shown())


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The table of the page, of which scikit-learn has a copy for its own tests."""
    folder = files("sklearn.datasets.tests.data.openml.id_40945")
    packed = (folder / "data-v1-dl-16826755.arff.gz").read_bytes()
    header, rows = gzip.decompress(packed).decode().split("@data\n")
    names = re.findall("@attribute '(.*?)'", header)
    (tmp_path / "arff").write_text(rows, encoding="utf-8")
    frame = pd.read_csv(tmp_path / "arff", names=names, na_values="?")
    frame.to_csv(tmp_path / "titanic.csv", index=False)
    monkeypatch.chdir(tmp_path)


def run(command):
    program, *arguments = shlex.split(command)
    assert program == "skreg"
    return main(arguments)


@pytest.mark.usefixtures("table")
def test_the_columns_of_the_page(monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(skreg.RegularizedMLPClassifierCV, "fit", stop)
    command = "skreg train titanic.csv --target survived --drop boat body"
    assert run(command) == 130
    printed = capsys.readouterr().out.splitlines()
    lines = SHOWN[command]
    assert len(printed) == 18
    assert printed == lines[:18]


@pytest.mark.usefixtures("table")
def test_an_error_of_the_page(capsys):
    command = "skreg train titanic.csv --target survive"
    assert run(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == SHOWN[command]


def test_the_page_names_each_option(capsys):
    for name in ("train", "predict"):
        with pytest.raises(SystemExit):
            main([name, "--help"])
        options = set(re.findall(r"--\w+", capsys.readouterr().out)) - {"--help"}
        assert len(options) > 3
        assert [option for option in sorted(options) if option not in PAGE] == []
