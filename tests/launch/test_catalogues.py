"""Catalogues are compiled where that is due, whole or not at all."""

from __future__ import annotations

import gettext
import os
from pathlib import Path

import pytest

from launch.catalogues import compile_catalogues
from launch.problem import LaunchProblem

HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A catalogue of one sentence."""
    path = tmp_path / "fr" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    path.write_text(f'{HEADER}msgid "Yes"\nmsgstr "Oui"\n', "utf-8")
    return path


def said(locale: Path) -> str:
    """Return what the compiled catalogue says for Yes."""
    with (locale / "fr" / "LC_MESSAGES" / "django.mo").open("rb") as compiled:
        return gettext.GNUTranslations(compiled).gettext("Yes")


def test_a_catalogue_is_compiled_once(tmp_path: Path, source: Path) -> None:
    compile_catalogues(tmp_path)
    compiled = source.with_suffix(".mo")
    first = compiled.stat().st_ino
    assert said(tmp_path) == "Oui"
    assert compiled.stat().st_mode & 0o777 == 0o644
    compile_catalogues(tmp_path)
    assert compiled.stat().st_ino == first


def test_another_version_is_compiled_also_when_it_is_older(tmp_path: Path, source: Path) -> None:
    compile_catalogues(tmp_path)
    source.write_text(f'{HEADER}msgid "Yes"\nmsgstr "Si"\n', "utf-8")
    os.utime(source, (1, 1))
    compile_catalogues(tmp_path)
    assert said(tmp_path) == "Si"


def test_a_damaged_catalogue_is_told_and_the_last_one_stays(tmp_path: Path, source: Path) -> None:
    compile_catalogues(tmp_path)
    source.write_text(f'{HEADER}#, python-format\nmsgid "%(count)s"\nmsgstr "%(cuont)s"\n', "utf-8")
    with pytest.raises(LaunchProblem, match=r"django\.po cannot be used"):
        compile_catalogues(tmp_path)
    assert said(tmp_path) == "Oui"
    assert sorted(path.name for path in source.parent.iterdir()) == ["django.mo", "django.po"]
