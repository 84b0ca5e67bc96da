"""What is told of mail programs: complete in every language, and refused with a reason where it cannot be used."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest
from django.core.management import call_command

from panel.addresses.inherited import PopPolicy
from panel.addresses.mail_servers import STARTTLS, TLS, MailServer
from panel.clients import content_files, programs
from panel.clients.content_files import DEVICES
from panel.clients.programs import Facts, Program, find_program, guide
from tests.translations.typography import faults

LANGUAGES = ("en", "fr")
POLICY = PopPolicy("keep_days", 30)
#: Whom the issue names; a host may add others.
SLUGS = {
    "outlook-classic", "outlook-new", "outlook-mobile", "thunderbird", "thunderbird-android", "apple-mail", "iphone",
    "gmail-android", "samsung-email", "mutt", "mbsync", "offlineimap", "getmail", "fetchmail",
}  # fmt: skip
COMMAND_LINE = {"mutt", "mbsync", "offlineimap", "getmail", "fetchmail"}

GOOD = """
name = "Pine"
order = 200
devices = ["linux"]

[imap]
steps = ["Enter `{{ address }}`."]
"""


@pytest.fixture
def folder(settings: object, tmp_path: Path) -> Path:
    """A DATA_DIR/clients of a host, empty."""
    from mailbackend.paths import DataDir

    settings.DATA_DIR = DataDir(tmp_path)  # type: ignore[attr-defined]
    clients = tmp_path / "clients"
    clients.mkdir()
    return clients


def facts(protocol: str, *, security: str = TLS, sends: bool = True, private: bool = False) -> Facts:
    """Return what a guide is filled in with."""
    return Facts(
        "anna.b@example.com",
        MailServer(protocol, "mail.example.net", 4993, security),
        MailServer("smtp", "smtp.example.org", 4465, TLS) if sends else None,
        POLICY,
        "https://panel.example.net/setup/ca.crt" if private else "",
    )


def all_guides(language: str) -> list[tuple[Program, str]]:
    """Return each program with each of its protocols."""
    return [(program, protocol) for program in programs.programs(language) for protocol in program.protocols]


def test_what_we_bring_along_is_used_without_a_complaint(folder: Path) -> None:
    found = content_files.read_folder(programs.BUILT_IN, LANGUAGES)
    assert found.broken == ()
    for language in LANGUAGES:
        assert {program.slug for program in programs.programs(language)} == SLUGS
    assert len(list(programs.BUILT_IN.iterdir())) == len(SLUGS) * len(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_device_has_programs_for_both_protocols(folder: Path, language: str) -> None:
    for device in DEVICES:
        offered = [program for program in programs.programs(language) if device in program.devices]
        assert any("imap" in program.protocols for program in offered)
        assert any("pop3" in program.protocols for program in offered)


def test_both_languages_say_as_much(folder: Path) -> None:
    for (english, protocol), (french, _same) in zip(all_guides("en"), all_guides("fr"), strict=True):
        for told in (facts(protocol), facts(protocol, security=STARTTLS, sends=False, private=True)):
            one, other = guide(english, protocol, told), guide(french, protocol, told)
            assert one is not None
            assert other is not None
            assert len(one.steps) == len(other.steps), english.slug
            assert len(one.leave_copy) == len(other.leave_copy), english.slug
            assert bool(one.leave_copy_default) == bool(other.leave_copy_default), english.slug
            for mine, its in zip(one.files, other.files, strict=True):
                assert mine.name == its.name
                # The same settings: only what is remarked beside them is in the reader's language.
                assert _settings(mine.text) == _settings(its.text), english.slug


@pytest.mark.parametrize("language", LANGUAGES)
def test_guides_name_this_address_and_its_servers(folder: Path, language: str) -> None:
    for program, protocol in all_guides(language):
        found = guide(program, protocol, facts(protocol))
        assert found is not None
        said = "\n".join((*found.steps, *(file.text for file in found.files)))
        for value in ("anna.b@example.com", "mail.example.net", "4993"):
            assert value in said, (program.slug, protocol, value)
        if program.slug not in COMMAND_LINE or program.slug == "mutt":
            assert "smtp.example.org" in said, (program.slug, protocol)
            assert "4465" in said, (program.slug, protocol)
        assert "{" not in re.sub(r"\$\{|f=\$\(", "", said), (program.slug, "left to fill in")
        assert bool(found.leave_copy) == (protocol == "pop3"), program.slug
        if program.slug in COMMAND_LINE:
            assert found.files
        else:
            assert TLS in said or "TLS/SSL" in said or "SSL" in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_submission_server_none_is_named(folder: Path, language: str) -> None:
    for program, protocol in all_guides(language):
        found = guide(program, protocol, facts(protocol, sends=False))
        assert found is not None
        said = "\n".join((*found.steps, *(file.text for file in found.files)))
        assert "smtp.example" not in said
        assert "set smtp_" not in said
        assert "port `0`" not in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_hold_no_password_and_check_certificates(folder: Path, language: str) -> None:
    checks = {
        "mbsync": {"SSLType IMAPS", "SSLType STARTTLS"},
        "offlineimap": {"sslcacertfile = "},
        "getmail": {"ca_certs = "},
        "fetchmail": {"sslcertck"},
        "mutt": {"set ssl_force_tls = yes"},
    }
    never = re.compile(
        r"^\s*(?:pass\s|password\s*[=\s]\s*[\"\w]|remotepass\s*=|set \w+_pass = \"[^`])",
        re.MULTILINE | re.IGNORECASE,
    )
    for program, protocol in all_guides(language):
        for security in (TLS, STARTTLS):
            found = guide(program, protocol, facts(protocol, security=security))
            assert found is not None
            for file in found.files:
                assert not never.search(file.text), file.text
                assert any(mark in file.text for mark in checks[program.slug]), (program.slug, file.text)
                assert not re.search(r"SystemCertificates no|nosslcertck|ssl_verify_host *= *no", file.text)


@pytest.mark.parametrize("slug", ["offlineimap", "getmail"])
def test_who_cannot_check_starttls_gets_no_file_for_it(folder: Path, slug: str) -> None:
    program = find_program(slug, "en")
    assert program is not None
    found = guide(program, "imap", facts("imap", security=STARTTLS))
    assert found is not None
    assert found.files == ()
    assert len(found.steps) == 1
    assert "instead" in found.steps[0]


@pytest.mark.parametrize("slug", sorted(COMMAND_LINE))
def test_a_host_with_its_own_authority_has_it_fetched_and_named(folder: Path, slug: str) -> None:
    program = find_program(slug, "en")
    assert program is not None
    found = guide(program, "imap", facts("imap", private=True))
    assert found is not None
    assert "`curl -fo ~/.mail.example.net-ca.crt https://panel.example.net/setup/ca.crt`" in found.steps[0]
    assert ".mail.example.net-ca.crt" in found.files[0].text
    trusted = guide(program, "imap", facts("imap"))
    assert trusted is not None
    assert "curl" not in trusted.steps[0]
    assert "ca.crt" not in trusted.files[0].text


@pytest.mark.parametrize("slug", ["mbsync", "offlineimap"])
def test_a_program_without_pop_has_no_guide_for_it(folder: Path, slug: str) -> None:
    program = find_program(slug, "fr")
    assert program is not None
    assert program.protocols == ("imap",)
    assert guide(program, "pop3", facts("pop3")) is None


def test_whose_ip_the_log_shows(folder: Path) -> None:
    told = {program.slug: program.finds_ip_of for program in programs.programs("en") if program.finds_ip_of}
    assert told == {"outlook-new": "Microsoft", "outlook-mobile": "Microsoft"}


def test_another_language_is_told_in_english_and_a_region_counts_for_nothing(folder: Path) -> None:
    assert programs.programs("fr-ca") == programs.programs("fr")
    assert programs.programs("de") == programs.programs("en")
    assert find_program("nothing", "en") is None


def test_french_is_written_as_the_french_write_it(folder: Path) -> None:
    for program, protocol in all_guides("fr"):
        for told in (facts(protocol), facts(protocol, security=STARTTLS, sends=False, private=True)):
            found = guide(program, protocol, told)
            assert found is not None
            for said in (
                program.name,
                program.remark,
                *found.steps,
                *found.leave_copy,
                found.leave_copy_default,
            ):
                # Labels and names are their makers', and what is typed is no French.
                assert faults(re.sub(r"`[^`]*`|\*[^*]*\*|\bMail\b|Samsung Email", "X", said)) == [], (
                    program.slug
                )


@pytest.mark.parametrize(
    "values",
    [
        {"address": "anna"},
        {"address": "Anna@example.com"},
        {"address": '"a b"@example.com'},
        {"address": "$(id)@example.com"},
        {"address": "a'b@example.com"},
        {"address": "a\nb@example.com"},
        {"address": "anna@example.com\n"},
        {"address": "a`id`@example.com"},
        {"host": "mail.example.com; id"},
        {"host": 'mail"'},
        {"host": "-oProxy"},
        {"host": ""},
        {"outgoing": "smtp example"},
        {"url": "https://panel.example/$(id)"},
        {"url": "https://panel.example/ca.crt\nset x"},
        {"url": "javascript:alert(1)"},
    ],
)
def test_nothing_that_means_something_to_a_shell_or_a_file_is_filled_in(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^Not a"):
        Facts(
            values.get("address", "anna@example.com"),
            MailServer("imap", values.get("host", "mail.example.com"), 993, TLS),
            MailServer("smtp", values["outgoing"], 465, TLS) if "outgoing" in values else None,
            POLICY,
            values.get("url", ""),
        )


def test_all_that_a_local_part_may_hold_is_filled_in(folder: Path) -> None:
    address = "-a_b.c--d-@xn--bcher-kva.example"
    told = Facts(address, MailServer("imap", "localhost", 993, TLS), None, POLICY)
    for program in programs.programs("en"):
        found = guide(program, "imap", told)
        assert found is not None
        assert address in "\n".join((*found.steps, *(file.text for file in found.files)))


# -- what a host writes itself --------------------------------------------------------------------------------------


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file of the host's."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_host_adds_a_program(folder: Path) -> None:
    write(folder, "pine.en.toml", GOOD)
    write(folder, "pine.fr.toml", GOOD.replace("Enter", "Saisissez"))
    assert programs.broken_files() == ()
    assert programs.programs("en")[-1].name == "Pine"
    pine = find_program("pine", "fr")
    assert pine is not None
    found = guide(pine, "imap", facts("imap"))
    assert found is not None
    assert found.steps == ("Saisissez `anna.b@example.com`.",)


def test_a_host_corrects_one_language_and_each_change_counts_at_once(folder: Path) -> None:
    own = (programs.BUILT_IN / "thunderbird.fr.toml").read_text("utf-8")
    path = write(
        folder, "thunderbird.fr.toml", own.replace('name = "Thunderbird"', 'name = "Thunderbird, chez nous"')
    )
    assert programs.programs("fr")[0].name == "Thunderbird, chez nous"
    assert programs.programs("en")[0].name == "Thunderbird"
    path.write_text(own.replace('name = "Thunderbird"', 'name = "Autre"'), "utf-8")
    assert programs.programs("fr")[0].name == "Autre"
    path.unlink()
    assert programs.programs("fr")[0].name == "Thunderbird"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (GOOD.replace("{{ address }}", "{{ adress }}"), "names a value that there is not"),
        (GOOD.replace("{{ address }}", "{address}"), "with two braces"),
        (GOOD.replace("{{ address }}", "{{ address "), "cannot be filled in"),
        (GOOD.replace("{{ address }}", "{{ ''.__class__.mro() }}"), "steps in"),
        (GOOD.replace("{{ address }}", "{{ range(10) }}"), "names a value that there is not"),
        (
            GOOD.replace("{{ address }}", "{% if smtp_host %}{{ smtp_hots }}{% endif %}"),
            "names a value that there is not",
        ),
        (GOOD.replace("{{ address }}", "{% include '/etc/passwd' %}"), "cannot be filled in"),
        (GOOD.replace("Enter", "*Enter"), "without its second one"),
        (GOOD.replace('name = "Pine"', ""), "'name' is missing"),
        (GOOD.replace('"Pine"', '"Pine of {{ domain }}"'), "name is the same for every address"),
        (GOOD.replace("order", "remark = 'Look for *this'\norder"), "remark has a * or ` without"),
        (GOOD.replace('name = "Pine"', "name = 7"), "name must be a text"),
        (GOOD.replace("200", "'200'"), "order must be a whole number"),
        (GOOD.replace("200", "true"), "order must be a whole number"),
        (GOOD.replace('["linux"]', '["plan9"]'), "'plan9' in devices is not known"),
        (GOOD.replace('["linux"]', "[]"), "devices must be a list"),
        (GOOD.replace('["linux"]', "[[]]"), "devices is not known"),
        (GOOD.replace("order", "ways = ['magic']\norder"), "'magic' in ways is not known"),
        (GOOD.replace("order", "colour = 'red'\norder"), "'colour' at its beginning is not known"),
        (GOOD.replace("[imap]", "[jmap]"), "'jmap' at its beginning is not known"),
        (GOOD.partition("[imap]")[0], "describes no protocol"),
        (GOOD.replace('["Enter `{{ address }}`."]', "[]"), "steps in [imap] must be a list"),
        (GOOD.replace('["Enter `{{ address }}`."]', "[7]"), "number 1 must be a text"),
        (GOOD.replace("[imap]", "[pop3]"), "'leave_copy' is missing in [pop3]"),
        (GOOD + "leave_copy = ['x']", "'leave_copy' in [imap] is not known"),
        (GOOD + "files = 'x'", "must be sections"),
        (GOOD + "[[imap.files]]\nname = '~/x'", "'text' is missing"),
        (GOOD.partition("[imap]")[0] + "imap = 'x'", "imap must be a section"),
        ("name = ", "it is not TOML"),
        ("x = " + "[" * 5000, "it is n"),
        ("#" * 70000, "larger than 64 KB"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_of_and_ours_is_shown(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    wrong: str,
    reason: str,
) -> None:
    path = write(folder, "thunderbird.en.toml", wrong)
    with caplog.at_level(logging.WARNING):
        found = programs.programs("en")
    assert {program.slug for program in found} == SLUGS
    assert found[0].name == "Thunderbird"
    (broken,) = programs.broken_files()
    assert broken.path == path
    assert reason in broken.reason
    assert str(path) in caplog.text
    caplog.clear()
    programs.programs("fr")
    assert caplog.text == "", "once for each change, not for each page"
    call_command("check", stdout=None)
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["Pine.en.toml", "pine.toml", "pine.de.toml", "pine.en.fr.toml", "-pine.en.toml"]
)
def test_a_file_by_another_name_is_told_of(folder: Path, name: str) -> None:
    write(folder, name, GOOD)
    (broken,) = programs.broken_files()
    assert "its name must be" in broken.reason


def test_a_new_program_in_one_language_alone_is_told_of(folder: Path) -> None:
    write(folder, "pine.en.toml", GOOD)
    (broken,) = programs.broken_files()
    assert broken.path.name == "pine.en.toml"
    assert "write pine.fr.toml too" in broken.reason
    assert find_program("pine", "en") is None


def test_languages_that_disagree_are_told_of(folder: Path) -> None:
    write(folder, "pine.en.toml", GOOD)
    write(folder, "pine.fr.toml", GOOD.replace('["linux"]', '["mac"]'))
    assert [broken.path.name for broken in programs.broken_files()] == ["pine.en.toml", "pine.fr.toml"]
    assert "must be the same in every language" in programs.broken_files()[0].reason


def test_one_language_broken_leaves_the_other_as_ours(folder: Path) -> None:
    """A host that corrects both, and errs in one, has the good one used: nothing of it differs but words."""
    own = (programs.BUILT_IN / "thunderbird.fr.toml").read_text("utf-8")
    write(folder, "thunderbird.fr.toml", own.replace('name = "Thunderbird"', 'name = "Bon"'))
    write(folder, "thunderbird.en.toml", "name =")
    assert programs.programs("fr")[0].name == "Bon"
    assert programs.programs("en")[0].name == "Thunderbird"


def test_what_is_no_text_or_cannot_be_read_is_told_of(folder: Path) -> None:
    (folder / "pine.en.toml").write_bytes(b"name = '\xff'")
    (folder / "pine.fr.toml").mkdir()
    (folder / "thunderbird.fr.toml").symlink_to(folder / "nowhere")
    reasons = {broken.path.name: broken.reason for broken in programs.broken_files()}
    assert "not UTF-8" in reasons["pine.en.toml"]
    assert "cannot be read" in reasons["pine.fr.toml"]
    assert "cannot be read" in reasons["thunderbird.fr.toml"]
    assert {program.slug for program in programs.programs("fr")} == SLUGS


def test_a_folder_that_is_none_or_not_there_is_none(folder: Path) -> None:
    folder.rmdir()
    assert {program.slug for program in programs.programs("fr")} == SLUGS
    folder.write_text("a file")
    assert {program.slug for program in programs.programs("fr")} == SLUGS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told_of(folder: Path) -> None:
    folder.chmod(0)
    assert {program.slug for program in programs.programs("fr")} == SLUGS
    assert [broken.path for broken in programs.broken_files()] == [folder]
    folder.chmod(0o700)


def _settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]
