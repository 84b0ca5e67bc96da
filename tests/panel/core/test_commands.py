"""Commands speak the language of the terminal; their JSON is the same everywhere."""

from __future__ import annotations

import pytest
from django.utils import translation

from panel.addresses.management.commands.setmailbox import Command

NOT_FOUND = (
    "the following arguments are required: address (see: manage.py setmailbox --help)",
    "the following arguments are required: address (voir\N{NO-BREAK SPACE}: manage.py setmailbox --help)",
)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that fails for want of an argument, and return its line."""
    with pytest.raises(SystemExit) as stopped:
        Command().run_from_argv(["manage.py", "setmailbox", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, NOT_FOUND[0]),
        ({"LANG": "C.UTF-8", "LANGUAGE": "fr"}, NOT_FOUND[0]),
        ({"LANG": "en_GB.UTF-8"}, NOT_FOUND[0]),
        ({"LANG": "de_DE.UTF-8"}, NOT_FOUND[0]),
        ({"LANG": "fr_FR.UTF-8"}, NOT_FOUND[1]),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "fr_CA.UTF-8"}, NOT_FOUND[1]),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:fr:en"}, NOT_FOUND[1]),
    ],
)
def test_commands_speak_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    line: str,
) -> None:
    for name in ("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = translation.get_language()
    assert said(capsys) == line
    assert said(capsys, "--json") == NOT_FOUND[0]
    assert translation.get_language() == before


def test_help_is_in_the_language_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    with pytest.raises(SystemExit):
        Command().run_from_argv(["manage.py", "setmailbox", "--help"])
    shown = capsys.readouterr().out
    assert "Modifie une boîte aux lettres" in shown
    assert "personne ne peut se connecter" in shown
