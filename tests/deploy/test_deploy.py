"""What `deploy/` holds: checked by systemd's and Prometheus's own tools, and against the files that it names.

Containers and Grafana can't be run here, so the compose file is read, not started.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.node.exit_codes import ExitCode

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "runner@.service"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services["services"].values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert len(images) >= 6
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w-]+)?", image), f"{image} names no version"


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    for name, service in services["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if not source.startswith("."):
                assert source in services["volumes"], f"{name}: {source} is no volume of the file"
            elif source != "./node.yaml":  # the user's own
                assert (DEPLOY / source).exists(), f"{name}: {source} is not there"


def test_nothing_is_published_beyond_this_machine_and_no_secret_is_written(services: dict[str, Any]) -> None:
    for name, service in services["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|PASSWORD", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), f"{name}: {variable} must come from outside"


def test_overrides_of_the_node_are_keys_of_the_file(services: dict[str, Any]) -> None:
    """By the real loader: an override that the file has no place for is an error."""
    from runner.config.load import load

    environ = {"ALPACA_API_KEY": "PK0000000000000000000", "ALPACA_API_SECRET": "a-secret-of-the-deployment"}
    given = services["services"]["node"]["environment"]
    environ |= {name: value for name, value in given.items() if name.startswith("RUNNER__")}
    assert len(environ) == 5
    loaded = load([ROOT / "configs" / "paper.yaml"], environ=environ)
    assert loaded.config.metrics.listen == "0.0.0.0:9464"
    assert loaded.config.state.redis is not None
    assert loaded.config.state.redis.host == "redis"


def test_the_containers_find_each_other(services: dict[str, Any]) -> None:
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "compose.yml").read_text())
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == ["node:9464"]
    assert "node" in services["services"]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/runner.yaml").read_text())["providers"][0]
    mounts = services["services"]["grafana"]["volumes"]
    assert any(f":{provider['options']['path']}/runner.json" in mount for mount in mounts)
    variables = json.loads((DEPLOY / "grafana" / "runner.json").read_text())["templating"]["list"]
    assert [v["query"] for v in variables if v["type"] == "datasource"] == [source["type"]]


def test_both_scrape_configurations_are_the_same_but_for_the_target() -> None:
    own, compose = (yaml.safe_load((DEPLOY / "prometheus" / f"{n}.yml").read_text()) for n in ("prometheus", "compose"))
    for each in (own, compose):
        del each["scrape_configs"][0]["static_configs"]
    assert own == compose


def test_what_the_image_copies_is_what_the_wheel_is_built_from() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name


def _locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", text, re.MULTILINE))


def test_the_image_has_the_versions_that_are_tested() -> None:
    run, dev = _locked("run.lock"), _locked("dev.lock")
    assert "nautilus-trader" in run
    assert "pytest" not in run
    assert run.items() <= dev.items()


def _settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_a_restart_is_not_tried_where_it_mends_nothing() -> None:
    codes = {int(code) for code in _settings()["RestartPreventExitStatus"][0].split()}
    assert codes == {ExitCode.USAGE, ExitCode.STRATEGY, ExitCode.CONFIG}


def test_the_unit_is_well_formed_and_hardened(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.fail("systemd-analyze is needed: install Debian's package systemd")
    unit = tmp_path / UNIT.name
    # Only a program that is there can be verified.
    unit.write_text(UNIT.read_text().replace("/opt/runner/bin/runner", sys.executable).replace("=/etc/runner", "=/tmp"))
    verified = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", str(unit)], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stdout
