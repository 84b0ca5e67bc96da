"""What is said in English where no reader is known, told in the reader's language.

The mail service knows nothing of Django, and reports of jobs are kept for whoever opens them. Both say English; what
they can say is listed here for translators, with names in place of what differs.
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

SENTENCES = (
    # mailbackend.addresses
    gettext_noop("Enter a domain, such as example.com."),
    gettext_noop("A domain has at most %(most)s characters."),
    gettext_noop("This is an IP address: enter a domain, such as example.com."),
    gettext_noop("This is not a domain name: use letters, digits, hyphens and dots."),
    gettext_noop("A domain has at least two parts, such as example.com."),
    gettext_noop("This is not a domain name: its last part must be like com or fr."),
    gettext_noop("Enter the part before the @."),
    gettext_noop("Use letters without accents: many mail servers still refuse other letters before the @."),
    gettext_noop("The part before the @ has at most %(most)s characters."),
    gettext_noop("The + is reserved: mail to name+anything@ already arrives at name@."),
    gettext_noop("A dot cannot come first, last, or twice in a row."),
    gettext_noop("Before the @, use letters, digits, dots, hyphens and underscores only."),
    gettext_noop("Enter a whole address, such as anna@example.com."),
    gettext_noop("A whole address has at most %(most)s characters."),
    # mailbackend.config
    gettext_noop("The %(what)s must have exactly these keys: %(keys)s."),
    gettext_noop("IMAP_PORT, IMAPS_PORT, POP3_PORT and POP3S_PORT must all differ."),
    gettext_noop("%(port)s_PORT is %(value)s: give a number from 0 to 65535."),
    gettext_noop("DATABASE_URL: port %(port)s is not between 1 and 65535."),
    gettext_noop("DATABASE_URL: its %(item)s must be one line without quotes, backslash, $ and %%."),
    gettext_noop("MAIL_HOST is %(value)s: give a host name such as mail.example.com."),
    gettext_noop("MAIL_LISTEN is empty: give at least one IP address."),
    gettext_noop("MAIL_LISTEN must be a list of IP addresses."),
    gettext_noop("MAIL_LISTEN holds %(value)s, which is not an IP address."),
    gettext_noop("The doveadm API key is damaged: remove its file in DATA_DIR/keys and start again."),
    gettext_noop(
        "The pepper of device passwords is damaged: bring its file in DATA_DIR/keys back from a backup."
    ),
    gettext_noop("The instance name is damaged."),
    gettext_noop("The mail root's id is damaged."),
    gettext_noop("The mail configuration is not JSON: %(reason)s."),
    # mailbackend.paths
    gettext_noop("%(what)s is %(path)s: use an absolute path of letters, digits and . _ - + / only."),
    gettext_noop("%(what)s is %(path)s: '..' is not allowed in it."),
    gettext_noop(
        "DATA_DIR is %(length)s characters long, %(more)s more than unix sockets below it allow: "
        "choose a shorter path."
    ),
    # mailbackend.lmtp, mailbackend.dovecot
    gettext_noop("The mail service did not take the message: %(reason)s."),
    gettext_noop("The mail service does not answer on %(place)s: see whether it is running."),
    gettext_noop(
        "The mail service does not accept the API key: reload it, so that it reads the present one."
    ),
    gettext_noop("The mail service refused a request: HTTP %(reason)s."),
    gettext_noop("The mail service refused %(command)s (%(reason)s, code %(code)s): see its log."),
    gettext_noop("The mail service knows no mailbox %(address)s."),
    gettext_noop("The mail service's answer is too long: ask for less at once."),
    gettext_noop("The mail service's answer about a quota cannot be understood."),
    gettext_noop("The mail service's answer about removed messages cannot be understood."),
    gettext_noop("The mail service's answer about hidden messages cannot be understood."),
    gettext_noop("The mail service's answer about messages cannot be understood."),
    gettext_noop("The mail service's answer about folders cannot be understood."),
    gettext_noop("The mail service's answer about sessions cannot be understood."),
    gettext_noop("The mail service's answer cannot be understood."),
    gettext_noop("Dovecot calls its version %(version)s, which says nothing: install Debian's %(packages)s."),
    gettext_noop("Dovecot %(version)s is %(what)s: install %(known)s (%(packages)s)."),
    # mailbackend.maildir, mailbackend.retired
    gettext_noop(
        "The mail root %(root)s does not hold this installation's marker (%(marker)s): is its disk mounted? "
        "Nothing is created or changed until it is back."
    ),
    gettext_noop("%(place)s exists and is not this mailbox's: it is left as it is."),
    gettext_noop("%(place)s has another mailbox's token: it is left as it is."),
    gettext_noop("%(place)s was made again too many times: erase what is in %(parent)s first"),
    gettext_noop(
        "%(place)s is on another mount than %(root)s, and homes are never copied: "
        "mount the disk on their common folder instead."
    ),
    gettext_noop("%(folder)s is missing."),
    gettext_noop("%(folder)s is not a folder."),
    gettext_noop("%(folder)s belongs to another user."),
    gettext_noop("%(folder)s has mode %(mode)s."),
    # mailbackend.supervisor
    gettext_noop(
        "The mail supervisor's socket %(place)s is closed to this user: become the service account."
    ),
    gettext_noop(
        "The mail supervisor does not answer on %(place)s: start it (make run, or its systemd unit)."
    ),
    gettext_noop("The mail supervisor's answer on %(place)s cannot be understood."),
    gettext_noop("The mail supervisor did not %(command)s."),
    gettext_noop("%(command)s takes longer than %(seconds)s seconds: ask for the status in a moment."),
    gettext_noop("It was stopped again meanwhile."),
    gettext_noop("The mail service is stopped: start it, and it takes the new configuration."),
    gettext_noop("The new configuration is not in use: %(reason)s"),
    gettext_noop("Not restarted, what runs goes on: %(reason)s"),
    gettext_noop("The last good configuration is in use. %(reason)s"),
    gettext_noop("Dovecot refuses the configuration: %(reason)s"),
    gettext_noop("Dovecot does not take the new configuration: %(reason)s"),
    gettext_noop("Dovecot ended while starting (%(how)s): %(reason)s"),
    gettext_noop("Dovecot was not ready within %(seconds)s seconds: %(reason)s"),
    gettext_noop("Dovecot cannot be launched: %(reason)s."),
    gettext_noop("Dovecot ended by itself (%(how)s) and is started again."),
    gettext_noop("Dovecot's log process was killed, so Dovecot is started again."),
    gettext_noop("Dovecot's list of connections (anvil) was lost, so Dovecot is started again."),
    gettext_noop("The panel has not written %(path)s yet: waiting for it."),
    gettext_noop("%(path)s cannot be used: %(reason)s"),
    gettext_noop("%(path)s cannot be written: %(reason)s."),
    gettext_noop("The mail root's marker %(path)s cannot be read: %(reason)s"),
    gettext_noop(
        "The marker %(path)s is %(what)s: mount the disk that holds the mail. Nothing is started without it."
    ),
    gettext_noop(
        "The disk that holds %(place)s is full, and the mail service must write its log there: free some space. "
        "It starts by itself then."
    ),
    gettext_noop("The %(what)s %(path)s cannot be read (%(reason)s): see %(setting)s."),
    gettext_noop(
        "The certificate %(certificate)s does not belong to the key %(key)s: "
        "set TLS_CERTIFICATE and TLS_KEY to two files of one pair."
    ),
    gettext_noop(
        "The certificate %(certificate)s or the key %(key)s is not a PEM file that can be used (%(reason)s): "
        "see TLS_CERTIFICATE and TLS_KEY."
    ),
    gettext_noop("The key %(key)s has a password: give one without (openssl pkey), or see TLS_KEY."),
    gettext_noop(
        "Port %(port)s of %(address)s is taken by another program: end that program, or set %(setting)s."
    ),
    gettext_noop(
        "%(address)s port %(port)s cannot be listened on (%(reason)s): see MAIL_LISTEN and %(setting)s."
    ),
    gettext_noop(
        "Port %(port)s of %(address)s needs root or CAP_NET_BIND_SERVICE: set %(setting)s to a port from 1024 on, "
        "or start as root."
    ),
    gettext_noop("%(where)s: apt-get install %(packages)s."),
    gettext_noop("Dovecot is not installed"),
    gettext_noop("DOVECOT_BIN is %(value)s, which is not a program"),
    gettext_noop("Dovecot's program doveconf is not beside %(place)s: apt-get install %(packages)s."),
    gettext_noop("%(program)s --version fails (%(reason)s): apt-get install %(packages)s."),
    gettext_noop("%(program)s cannot be run: %(reason)s. Install %(packages)s again."),
    gettext_noop(
        "%(what)s is %(path)s, and %(place)s can be changed by others than root: "
        "chown root:root %(again)s and chmod go-w %(once_more)s."
    ),
    gettext_noop("exit code %(code)s: %(reason)s"),
    gettext_noop("ended by signal %(signal)s"),
    gettext_noop("it could not open its log"),
    gettext_noop("it could not write its log; is the disk full?"),
    gettext_noop("it had no memory left"),
    gettext_noop("its log says no more"),
    gettext_noop("it does not answer"),
    gettext_noop("it is not a regular file."),
    gettext_noop("it belongs to somebody else."),
    gettext_noop("it is larger than 1 MiB."),
    # panel: what reports of jobs keep
    gettext_noop("The view that Dovecot reads is missing."),
    gettext_noop("Its home %(home)s is gone: bring it back from a backup. It is not made again empty."),
    gettext_noop("Its creation was cut off."),
    gettext_noop("Left by a creation that was cut off."),
    gettext_noop("No mailbox owns this folder. It is left as it is."),
    gettext_noop(
        "Made again by a delivery that was on its way when the mailbox was purged. "
        "It is erased, never given on."
    ),
    gettext_noop("It could not be erased: %(reason)s."),
    gettext_noop("It still has open sessions, although they were ended."),
    gettext_noop("Purged, but its messages could not be counted: %(reason)s."),
    gettext_noop("%(problem)s The next purge tries again."),
    gettext_noop("%(problem)s The next run tries again."),
    gettext_noop("%(problem)s It is tried again within a minute."),
    gettext_noop("%(problem)s Its messages stay hidden from POP: save what it inherits again."),
    gettext_noop("%(problem)s Copies of what POP deleted may be over: they stay until the next purge."),
    # panel.retention.due, panel.retention.runs, panel.retention.orders, panel.retention.purging
    gettext_noop("%(folder)s: %(days)s days (%(whose)s)"),
    gettext_noop("%(folder)s: %(days)s day (%(whose)s)"),
    gettext_noop("the platform"),
    gettext_noop("The folder %(folder)s is left alone: * and %% in its name stand for any letters."),
    gettext_noop("%(problem)s What is due by the rules stays until the next purge."),
    gettext_noop("It would purge %(messages)s messages; the runs before purged at most %(expected)s."),
    gettext_noop(
        "It would purge far more than the %(messages)s messages that were counted: %(purged)s went so far."
    ),
    gettext_noop("Another purge is at work in this mailbox."),
    gettext_noop("The mailbox was deleted or has another address."),
    gettext_noop("The mailbox is under a legal hold."),
    gettext_noop("The mailbox is suspended."),
    gettext_noop("What is kept there was changed: these messages are kept longer by now."),
    gettext_noop("Its worker ended before it did."),
    gettext_noop("Restante is not set up yet: run 'make run' once."),
    gettext_noop("Messages were moved while a POP view was being cleaned."),
    # panel.quotas
    gettext_noop("%(why)s It is asked about again at the next check."),
    gettext_noop("%(why)s It is compared again later."),
    gettext_noop("%(what)s It has counted anew."),
    gettext_noop("%(what)s It counted anew and still says so: see its log."),
    gettext_noop(
        "Dovecot counted %(counted)s messages and %(counted_bytes)s bytes, "
        "its files are %(held)s messages and %(held_bytes)s bytes."
    ),
)

#: Longer texts are some program's own words. Characters.
LONGEST = 2000

_NAME = re.compile(r"%\((\w+)\)s|%%")


def in_words(text: str) -> str:
    """Return a sentence of SENTENCES in the language that is active; any other text as it is.

    What stands in it (a reason) is told the same way.
    """
    if len(text) > LONGEST:
        return text
    if text in _plain():
        return gettext(text)
    for sentence, pattern in _patterns():
        match = pattern.fullmatch(text)
        if match:
            return gettext(sentence) % {name: in_words(value) for name, value in match.groupdict().items()}
    return text


@cache
def _plain() -> frozenset[str]:
    return frozenset(sentence for sentence in SENTENCES if "%(" not in sentence)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return the sentences with names in them: those with the most words of their own first."""
    named = sorted((s for s in SENTENCES if "%(" in s), key=lambda s: len(_NAME.sub("", s)), reverse=True)
    return [(sentence, re.compile(_as_pattern(sentence), re.DOTALL)) for sentence in named]


def _as_pattern(sentence: str) -> str:
    parts, end = [], 0
    for match in _NAME.finditer(sentence):
        parts += [re.escape(sentence[end : match.start()]), f"(?P<{match[1]}>.+?)" if match[1] else "%"]
        end = match.end()
    return "".join([*parts, re.escape(sentence[end:])])
