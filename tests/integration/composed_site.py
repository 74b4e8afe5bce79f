"""The services of docker-compose.yml as processes of this machine, with what compose gives them.

No container engine is needed: what a container's own file system, names and ports would be (paths of mounts and
secrets, `mosquitto:8883`, `influxdb:8086`, loopback ports) is replaced by where it is here, and nothing else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from brokers import mosquitto_program
from influxd import influxd_program
from roles import Program, until

from tinyprof.embedded_broker import free_port

ROOT = Path(__file__).parents[2]
AGENT = "lab.bench-1"
_DAY_S = 86_400


def compose(folder: Path, *files: str) -> dict[str, Any]:
    """What compose makes of these files in a copy of the site's in `folder`, with the settings of .env.example."""
    program = shutil.which("docker-compose")
    if program is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("docker-compose is not installed: apt install docker-compose")
        pytest.skip(
            "docker-compose is not installed: 'apt install docker-compose' adds the tests of docker-compose.yml"
        )
    shutil.copy(ROOT / "docker-compose.yml", folder)
    shutil.copy(ROOT / ".env.example", folder / ".env")
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("secrets"))
    named = [word for file in files for word in ("-f", file)]
    done = subprocess.run([program, *named, "config"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "variable is not set" not in done.stderr
    read: dict[str, Any] = yaml.safe_load(done.stdout)
    return read


class ComposedSite:
    """mosquitto, InfluxDB, the collector and an agent, each as its service says."""

    def __init__(self, folder: Path) -> None:
        self.composed = compose(folder, "docker-compose.yml")
        self._folder = folder
        self.ports = {name: free_port() for name in ("mosquitto", "influxdb", "endpoints")}
        self.secrets = folder / "deploy" / "secrets"
        make = [sys.executable, str(folder / "deploy" / "make_secrets.py"), "--agent", AGENT]
        subprocess.run([*make, "--port", str(self.ports["mosquitto"])], check=True, capture_output=True)
        self.programs: list[Program] = []

    # ---- what a service is given

    def mounts(self, service: str) -> dict[str, str]:
        """Where each path of a container is here: bind mounts, volumes, secrets."""
        found = {}
        for volume in self.composed["services"][service].get("volumes", ()):
            here, inside = str(volume).split(":")[:2]
            if not here.startswith("/"):
                here = str(self._folder / "volumes" / here)
                Path(here).mkdir(parents=True, exist_ok=True)
            assert Path(here).exists(), f"{service} mounts {here}, which is not there"
            found[inside] = here
        for secret in self.composed["services"][service].get("secrets", ()):
            found[f"/run/secrets/{secret['source']}"] = str(self._secret(secret["source"]))
        return found

    def _secret(self, name: str) -> Path:
        """A secret's file; addresses in it are those that hold here."""
        path = Path(self.composed["secrets"][name]["file"])
        text = path.read_text()
        here = self.placed(text)
        if here == text:
            return path
        moved = self._folder / "moved-secrets" / name
        moved.parent.mkdir(exist_ok=True)
        moved.write_text(here)
        return moved

    def placed(self, text: str, mounts: dict[str, str] | None = None) -> str:
        """A text of a container's world in this machine's."""
        for inside, here in sorted((mounts or {}).items(), key=lambda pair: -len(pair[0])):
            text = text.replace(inside, here)
        text = text.replace("@mosquitto:8883", f"@localhost:{self.ports['mosquitto']}")
        text = text.replace("//influxdb:8086", f"//127.0.0.1:{self.ports['influxdb']}")
        return text.replace("127.0.0.1:9464", f"127.0.0.1:{self.ports['endpoints']}")

    def environment(self, service: str) -> dict[str, str]:
        """A service's environment, with that of its image."""
        given = self.composed["services"][service].get("environment", {})
        image = self.composed["services"][service].get("build", {}).get("dockerfile")
        lines = (ROOT / image).read_text() if image else ""
        named = dict(re.findall(r"^ENV (\w+)=(\S+)$", lines, re.MULTILINE)) | given
        return {name: self.placed(str(value), self.mounts(service)) for name, value in named.items()}

    def command(self, service: str) -> list[str]:
        """What the image of one of our services runs."""
        text = (ROOT / self.composed["services"][service]["build"]["dockerfile"]).read_text()
        entry, command = (json.loads(re.search(rf"^{word} (\[.*\])$", text, re.MULTILINE)[1])  # type: ignore[index]
                          for word in ("ENTRYPOINT", "CMD"))  # fmt: skip
        assert entry == ["tinyprof"]
        return [self.placed(word, self.mounts(service)) for word in command]

    # ---- the services

    def start(self) -> None:
        """All of them at once, as `docker compose up` would, but for those that wait for InfluxDB's health."""
        self._start_mosquitto()
        self._start_influxdb()
        for service in ("collector", "agent"):
            command = [sys.executable, "-m", "tinyprof", *self.command(service)]
            self._run(service, command, {"PATH": os.environ["PATH"], **self.environment(service)})

    def stop(self) -> None:
        for program in reversed(self.programs):
            program.stop()

    def program(self, name: str) -> Program:
        return next(program for program in self.programs if program.name == name)

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        program = Program(name, self._folder / f"{name}.log", command, environment)
        self.programs.append(program)
        program.start()

    def _start_mosquitto(self) -> None:
        mounts = self.mounts("mosquitto")
        text = self.placed(Path(mounts["/mosquitto/config/mosquitto.conf"]).read_text(), mounts)
        text = text.replace(mounts["/mosquitto/data"], f"{mounts['/mosquitto/data']}/").replace("//\n", "/\n")
        config = self._folder / "mosquitto.conf"
        # The image's user is that of compose; here there is none of that number.
        config.write_text(
            text.replace("listener 8883", f"listener {self.ports['mosquitto']} 127.0.0.1") + "user root\n"
        )
        self._run("mosquitto", [mosquitto_program(), "-c", str(config)], {})

    def _start_influxdb(self) -> None:
        data = self.mounts("influxdb")["/var/lib/influxdb2"]
        # Where the image puts its files.
        paths = ["--bolt-path", f"{data}/influxd.bolt", "--sqlite-path", f"{data}/influxd.sqlite"]
        paths += ["--engine-path", f"{data}/engine", "--http-bind-address", f"127.0.0.1:{self.ports['influxdb']}"]
        self._run("influxdb", [influxd_program(), "run", *paths, "--reporting-disabled"], {"HOME": data})
        until("influxdb is healthy", self._influxdb_is_healthy)
        self._set_influxdb_up()

    def _influxdb_is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['influxdb']}/health", timeout=2) as reply:
                return bool(json.loads(reply.read())["status"] == "pass")
        except OSError:
            return False

    def _set_influxdb_up(self) -> None:
        """What the image's entry point does with DOCKER_INFLUXDB_INIT_*."""
        given = {name.removeprefix("DOCKER_INFLUXDB_INIT_").lower(): value
                 for name, value in self.environment("influxdb").items()}  # fmt: skip
        assert given["mode"] == "setup"
        days = re.fullmatch(r"(\d+)d", given["retention"])
        assert days is not None
        body = {
            "username": given["username"], "password": Path(given["password_file"]).read_text().strip(),
            "token": Path(given["admin_token_file"]).read_text().strip(), "org": given["org"],
            "bucket": given["bucket"], "retentionPeriodSeconds": int(days[1]) * _DAY_S,
        }  # fmt: skip
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['influxdb']}/api/v2/setup", json.dumps(body).encode(), method="POST"
        )
        urllib.request.urlopen(asked, timeout=30).close()

    def health_check(self) -> list[str]:
        """The command of the collector's image that says whether it is well."""
        text = (ROOT / "deploy" / "collector.Dockerfile").read_text().replace("\\\n", " ")
        found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
        assert found is not None
        return [self.placed(word) for word in json.loads(found[1])]
