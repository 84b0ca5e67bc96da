"""A real Thunderbird without a screen, and a way to have it find the panel under the names of hosted domains."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from panel.service.certificates import IssuedFiles, ensure_certificate
from tests.postgres import free_port
from tests.stand import PATIENCE, Stand, wait_for

#: Debian's uid and gid of nobody.
NOBODY = 65534
#: It asks nobody but us, starts with no account and no windows full of news, and believes that all names are here.
PREFERENCES: dict[str, str | int | bool] = {
    "network.dns.forceResolve": "127.0.0.1",
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.allow_hijacking_localhost": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mailnews.start_page.enabled": False,
    "security.OCSP.enabled": 0,
}


class Front:
    """What stands before the panel elsewhere: a proxy that answers HTTPS for any name, and passes all on.

    Attributes:
        port: where it listens, on loopback.
        asked: the names for which HTTPS was asked, in their order.
    """

    def __init__(self, stand: Stand, folder: Path) -> None:
        self.asked: list[str] = []
        self._panel = ("127.0.0.1", stand.ports["panel"])
        self._tls = stand.data_dir.tls
        self._folder = folder
        self._alone = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take nobody any more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A program that hangs up in the middle is none of our business.
        with contextlib.suppress(OSError), client:
            client.settimeout(PATIENCE)
            if client.recv(8, socket.MSG_PEEK).startswith(b"CONNECT "):
                request = b""
                while b"\r\n\r\n" not in request:
                    part = client.recv(4096)
                    if not part:
                        return
                    request += part
                name = request.split()[1].decode().rpartition(":")[0]
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                client = self._context(name).wrap_socket(client, server_side=True)
                self.asked.append(name)
            with client, socket.create_connection(self._panel, PATIENCE) as panel:
                back = threading.Thread(target=_pass_on, args=[panel, client], daemon=True)
                back.start()
                _pass_on(client, panel)
                back.join()

    def _context(self, name: str) -> ssl.SSLContext:
        """Return the certificate of a name, by the stand's own authority."""
        files = IssuedFiles(self._folder / name)
        with self._alone:
            if not files.folder.exists():
                files.folder.mkdir()
                for file in ("ca.crt", "ca.key"):
                    shutil.copy(self._tls / file, files.folder)
            ensure_certificate(files, name, datetime.now(UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        return context


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


class Thunderbird:
    """One that runs, and does what it is told in the language of its own parts.

    Told over Marionette, Mozilla's protocol for tests: each message is JSON behind its length.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # who it is
        self._ask("WebDriver:NewSession", {"capabilities": {}})
        self._ask("Marionette:SetContext", {"value": "chrome"})
        self._ask("WebDriver:SetTimeouts", {"script": int(PATIENCE * 1000)})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function with its whole access, and return what it returns.

        Args:
            script: its arguments are in the list `given`.
            arguments: anything that JSON holds.

        Raises:
            AssertionError: with what it threw.
        """
        whole = f"""
            const given = Array.from(arguments), done = given.pop();
            (async () => {{ {script} }})().then(
                value => done({{value}}),
                error => done({{error: String(error) + " " + (error?.cause ?? "") + (error?.stack ?? "")}})
            );
        """
        asked = {"script": whole, "args": arguments, "sandbox": "system", "newSandbox": True}
        answer = self._ask("WebDriver:ExecuteAsyncScript", asked)["value"]
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def close(self) -> None:
        """Tell it nothing more."""
        self._stream.close()
        self._socket.close()

    def _ask(self, command: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        kind, number, error, result = self._read()
        assert (kind, number) == (1, self._number)
        assert error is None, error
        return result

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._stream.read(1) or b"0:"
        return json.loads(self._stream.read(int(length[:-1])))


@contextlib.contextmanager
def running(stand: Stand) -> Iterator[tuple[Thunderbird, Front]]:
    """Start one whose every connection ends at a stand, and end it afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="rt-tb-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "names").mkdir()
        front = Front(stand, folder / "names")
        stack.callback(front.close)
        port = free_port()
        profile = folder / "profile"
        profile.mkdir()
        preferences = PREFERENCES | {
            "marionette.port": port,
            "network.proxy.http_port": front.port,
            "network.proxy.ssl_port": front.port,
        }
        lines = (f"user_pref({_js(name)}, {_js(value)});\n" for name, value in preferences.items())
        (profile / "user.js").write_text("".join(lines))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                _as_nobody(
                    (
                        *("thunderbird", "--headless", "--no-remote", "--profile", str(profile)),
                        *("--marionette", "--remote-allow-system-access"),
                    ),
                    folder,
                ),
                env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack.callback(_end, process)
        try:
            wait_for(lambda: _listens(port, process), "Thunderbird to start", seconds=120)
        except AssertionError as err:
            raise AssertionError(f"{err}\n{(folder / 'log').read_text('utf-8', 'replace')}") from err
        thunderbird = Thunderbird(port)
        stack.callback(thunderbird.close)
        _trust(thunderbird, stand.data_dir.tls / "ca.crt")
        yield thunderbird, front


def _trust(thunderbird: Thunderbird, authority: Path) -> None:
    """Have it trust the stand's own authority, as if somebody had imported it."""
    certificate = x509.load_pem_x509_certificate(authority.read_bytes())
    thunderbird.run(
        """
        const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
        database.addCertFromBase64(given[0], "C,,");
        """,
        base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode(),
    )


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"Thunderbird ended with {process.returncode}.")
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _js(value: str | int | bool) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _as_nobody(command: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    if os.geteuid() != 0:
        return command
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return "setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *command
