"""The mail service's page: who may see it, and what it says when nothing answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from panel.accounts.models import User
from tests.cast import Cast

SignIn = Callable[[User], Client]
VERBS = ("start", "stop", "restart", "reload")


@pytest.mark.parametrize("path", ["/service/", *(f"/service/{verb}/" for verb in VERBS)])
def test_it_is_for_admins(cast: Cast, signed_in: SignIn, path: str) -> None:
    assert signed_in(cast.admin).get(path).status_code == 200
    assert signed_in(cast.owner).get(path).status_code == 403
    assert signed_in(cast.stranger).get(path).status_code == 403
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("verb", VERBS)
def test_what_changes_something_is_posted_by_admins_alone(cast: Cast, signed_in: SignIn, verb: str) -> None:
    assert signed_in(cast.owner).post(f"/service/{verb}/").status_code == 403
    assert Client(enforce_csrf_checks=True).post(f"/service/{verb}/").status_code in (302, 403)
    client = signed_in(cast.admin)
    assert client.put(f"/service/{verb}/").status_code == 405
    assert client.post("/service/").status_code == 405
    assert client.get("/service/destroy/").status_code == 404


def test_silence_is_said_and_what_to_do(cast: Cast, signed_in: SignIn) -> None:
    """No supervisor runs beside these tests."""
    client = signed_in(cast.admin)
    page = client.get("/service/").content.decode()
    assert "does not answer" in page
    assert "DATA_DIR/logs/mail.log" in page
    assert "/service/stop/" not in page
    answer = client.post("/service/stop/", follow=True)
    assert answer.redirect_chain == [("/service/", 302)]
    assert "does not answer" in str(next(iter(answer.context["messages"])))


def test_nothing_new_is_no_content(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    cursor = client.get("/service/").context["cursor"]
    answers = {client.get("/service/", {"since": cursor, "was": ""}).status_code for _ in range(2)}
    # A minute may have begun in between.
    assert answers <= {200, 204}
    assert 204 in answers
    assert client.get("/service/", {"since": "x" * 5000}).status_code == 200
