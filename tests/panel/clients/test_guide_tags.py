"""How the steps of a program are drawn."""

from __future__ import annotations

import pytest

from panel.clients.templatetags.guides import with_labels


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Choose *New*, then *Email*.", "Choose <strong>New</strong>, then <strong>Email</strong>."),
        ("Enter `a@b.test`.", "Enter <code>a@b.test</code>."),
        (
            "Get `https://b.test:8/ca.crt`.",
            'Get <a href="https://b.test:8/ca.crt"><code>https://b.test:8/ca.crt</code></a>.',
        ),
        ("`curl https://b.test/ca.crt`", "<code>curl https://b.test/ca.crt</code>"),
        ('`https://b.test/"onclick=x`', "<code>https://b.test/&quot;onclick=x</code>"),
        ("`javascript:alert(1)`", "<code>javascript:alert(1)</code>"),
        ("2 * 3 and a lone ` stay", "2 * 3 and a lone ` stay"),
        ("**", "**"),
        ("*<b>*", "<strong>&lt;b&gt;</strong>"),
        ("<script>*x*</script>", "&lt;script&gt;<strong>x</strong>&lt;/script&gt;"),
    ],
)
def test_labels_are_bold_and_what_is_typed_is_code(text: str, drawn: str) -> None:
    assert with_labels(text) == drawn
