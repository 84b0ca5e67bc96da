"""How strong a password is said to be, and that saying so is little work whatever is typed."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import zxcvbn.matching

from panel.addresses.strength import strength


@pytest.mark.parametrize("password", ["P@ssw0rd", "P@$$w0rd!", "p4ssw0rd", "anna", "12345678"])
def test_guessable_passwords_are_weak(password: str) -> None:
    assert not strength(password).good_enough


def test_symbols_that_stand_for_letters_are_not_tried_without_end() -> None:
    """Each combination is a search of the whole dictionary: 20 symbols of this kind were 576 of them, and 6 seconds."""
    searched = zxcvbn.matching.dictionary_match
    with patch.object(zxcvbn.matching, "dictionary_match", side_effect=searched) as counted:
        assert strength("4@8({[<369!1|0$5+7%2" * 4).good_enough
        assert counted.call_count < 40
