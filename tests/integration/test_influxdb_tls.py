"""The store on an InfluxDB that speaks https alone, with certificates of the site's own."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from influx_site import InfluxSite
from influxd import TOKEN, Certificates, Influxd

from tinyprof.cli import tinyprof

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those that `make secrets` makes: signed by the site, for localhost and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("secrets")
    command = [sys.executable, str(ROOT / "deploy" / "make_secrets.py"), "--folder", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return Certificates(folder / "broker.crt", folder / "broker.key", folder / "ca.crt")


@pytest.fixture(scope="module")
def server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory):
    running = Influxd(tmp_path_factory.mktemp("influxd"), tls=certificates).start()
    yield running
    running.stop()


def check(tmp_path: Path, url: str, ca_file: Path | str):
    path = tmp_path / "collector.toml"
    path.write_text(
        f'[store]\nuse = ["influxdb"]\n[store.influxdb]\nurl = "{url}"\norg = "lab"\ntoken = "{TOKEN}"\n'
        f'ca_file = "{ca_file}"\n'
    )
    return CliRunner().invoke(tinyprof, ["collector", "check", "--config", str(path)])


def test_with_the_sites_certificates_all_is_right(tmp_path, server, certificates):
    done = check(tmp_path, server.url, certificates.ca)
    assert (done.exit_code, done.output) == (0, "store influxdb: all is right\n")


def test_what_is_wrong_with_a_certificate_is_a_line_that_says_what_to_do(tmp_path, server, certificates):
    elsewhere = Influxd(tmp_path, tls=certificates, host="127.0.0.2").start()
    try:
        cases = {
            "the certificate that signed the server's in store.influxdb.ca_file": check(tmp_path, server.url, ""),
            "a name that is in the server's certificate": check(tmp_path, elsewhere.url, certificates.ca),
            "no-such-file: No such file": check(tmp_path, server.url, tmp_path / "no-such-file"),
            "there are no certificates in it": check(tmp_path, server.url, certificates.key),
            "HTTPS": check(tmp_path, server.url.replace("https", "http"), ""),
        }
    finally:
        elsewhere.stop()
    for says, done in cases.items():
        assert done.exit_code == 1, done.output
        assert says in done.output
        assert done.output.count("\n") == 1, done.output
        assert TOKEN not in done.output


def test_a_whole_site_over_https(tmp_path, broker, certificates, server):
    site = InfluxSite(tmp_path, broker, server)
    try:
        site.start_collector()
        site.start_agent()
        site.wait_until_stored(20)
        site.agent.kill()
        site.settle()
        assert site.judge().ok
    finally:
        for role in site.roles:
            role.kill()
        site.database.close()
    assert TOKEN not in site.collector.log.read_text()
