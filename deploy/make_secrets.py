"""Makes the secrets of a site: certificates, passwords, tokens; `make secrets` calls it.

What is there already is kept, so that it can be run again to add an agent. Nothing of it belongs into version control:
the folder ignores itself. Needs the program `openssl` for the certificates.
"""

import argparse
import base64
import hashlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tinyprof_protocol.names import BadName, split_node

PASSWORD_ITERATIONS = 101
"""What mosquitto_passwd takes; the passwords here are 192 random bits, which no number of rounds makes stronger."""
YEARS = 10
SERVICES = ("collector", "client")


class CannotMake(Exception):
    """Secrets cannot be made; the message is one line that says what to do."""


def password_line(user: str, password: str, salt: bytes) -> str:
    """A line of mosquitto's password file: PBKDF2 with SHA-512, as mosquitto_passwd(1) writes it."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, PASSWORD_ITERATIONS)
    return f"{user}:$7${PASSWORD_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def broker_url(user: str, password: str, host: str, port: int) -> str:
    """The broker's address with a login, for a `broker_file`."""
    return f"mqtts://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}\n"


class Secrets:
    """The folder of a site's secrets. Files are readable by their owner only, but for what containers must read."""

    def __init__(self, folder: Path, host: str, port: int, inside: str) -> None:
        self._folder = folder
        self._host = host
        self._port = port
        self._inside = inside
        self.made: list[str] = []

    def make(self, agents: Sequence[str]) -> None:
        """Makes what is missing. Raises CannotMake."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._put(".gitignore", "*\n")
        self._certificates()
        self._put("influxdb-token", secrets.token_urlsafe(48) + "\n")
        self._put("influxdb-password", secrets.token_urlsafe(24) + "\n")
        self._put("grafana-password", secrets.token_urlsafe(24) + "\n")
        for user in (*SERVICES, *agents):
            self._login(user)

    def _login(self, user: str) -> None:
        if (self._folder / f"{user}.broker").exists():
            return
        password = secrets.token_urlsafe(24)
        host = self._inside if user == "collector" else self._host
        port = 8883 if user == "collector" else self._port
        if not (self._folder / "passwords").exists():
            self.made.append("passwords")
        with (self._folder / "passwords").open("a") as file:
            file.write(password_line(user, password, secrets.token_bytes(12)) + "\n")
        (self._folder / "passwords").chmod(0o644)
        self._put(f"{user}.broker", broker_url(user, password, host, port))

    def _put(self, name: str, text: str) -> None:
        path = self._folder / name
        if path.exists():
            return
        # Containers run as users of their own and read these through a bind mount; the folder itself is closed.
        path.touch(mode=0o644, exist_ok=False)
        path.write_text(text)
        self.made.append(name)

    def _certificates(self) -> None:
        if (self._folder / "broker.crt").exists():
            return
        names = ["DNS:localhost", "IP:127.0.0.1", f"DNS:{self._inside}"]
        address = self._host.replace(".", "").isdigit() or ":" in self._host
        names.append(f"{'IP' if address else 'DNS'}:{self._host}")
        days = str(365 * YEARS)
        with tempfile.TemporaryDirectory() as work:
            extensions = Path(work) / "extensions"
            extensions.write_text(
                f"subjectAltName={','.join(dict.fromkeys(names))}\nbasicConstraints=critical,CA:FALSE\n"
                "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            )
            request = str(Path(work) / "request")
            key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
            self._openssl(
                "req", "-x509", *key, "-days", days, "-subj", "/CN=tinyprof site", "-keyout", self._path("ca.key"),
                "-out", self._path("ca.crt"), "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            )  # fmt: skip
            self._openssl(
                "req", *key, "-subj", f"/CN={self._host}"[:64], "-keyout", self._path("broker.key"), "-out", request
            )
            self._openssl(
                "x509", "-req", "-in", request, "-CA", self._path("ca.crt"), "-CAkey", self._path("ca.key"),
                "-CAcreateserial", "-days", days, "-extfile", str(extensions), "-out", self._path("broker.crt"),
            )  # fmt: skip
        (self._folder / "ca.key").chmod(0o600)
        (self._folder / "broker.key").chmod(0o644)
        self.made += ["ca.key", "ca.crt", "broker.key", "broker.crt"]

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    def _openssl(self, *arguments: str) -> None:
        program = shutil.which("openssl")
        if program is None:
            raise CannotMake("openssl is not installed: sudo apt install openssl")
        done = subprocess.run([program, *arguments], capture_output=True, check=False, timeout=60)
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
            raise CannotMake(f"openssl {arguments[0]} failed: {said}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the secrets that are missing; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes the secrets of a site; what is there already is kept.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "secrets")
    parser.add_argument("--host", default="localhost", help="the broker's name or address as agents reach it")
    parser.add_argument("--port", type=int, default=8883, help="the broker's port as agents reach it")
    parser.add_argument("--inside", default="mosquitto", help="the broker's name as the collector reaches it")
    parser.add_argument("--agent", action="append", default=[], metavar="SITE.AGENT", help="an agent to let in")
    asked = parser.parse_args(arguments)
    made = Secrets(asked.folder, asked.host, asked.port, asked.inside)
    try:
        for node in asked.agent:
            split_node(node)
        made.make(asked.agent)
    except (BadName, CannotMake, OSError) as why:
        print(f"make secrets: {why}", file=sys.stderr)
        return 1
    print(f"{asked.folder}: " + (f"made {', '.join(made.made)}" if made.made else "everything was there already"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
