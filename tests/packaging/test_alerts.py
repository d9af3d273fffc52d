"""The alerts of deploy/prometheus and the dashboard's expressions, as Prometheus' own promtool reads and tries them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SCENES = Path(__file__).with_name("alerts_test.yaml")


@pytest.fixture
def promtool() -> str:
    """The program. Where it is missing nothing is tried, which CI must not do."""
    found = shutil.which("promtool", path=os.pathsep.join([os.environ["PATH"], str(ROOT / ".build" / "bin")]))
    if found is None:
        assert os.environ.get("CI") != "true", "promtool is missing: make promtool"
        pytest.skip("promtool is missing: make promtool")
    return found


def asked(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def tried(promtool: str, rules: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "alerts.yaml").write_text(rules)
    shutil.copy(SCENES, folder)
    return asked(promtool, "test", "rules", SCENES.name, folder=folder)


def test_each_alert_fires_when_it_should_and_none_for_a_healthy_server(promtool: str, tmp_path: Path) -> None:
    done = tried(promtool, ALERTS.read_text(), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_comes_too_soon_is_noticed(promtool: str, tmp_path: Path) -> None:
    rules = yaml.safe_load(ALERTS.read_text())
    (rule,) = [rule for rule in rules["groups"][0]["rules"] if rule["alert"] == "ReleaseRegistryAdoptionFails"]
    rule["for"] = "10m"
    done = tried(promtool, yaml.safe_dump(rules), tmp_path)
    assert done.returncode != 0
    assert "alertname: ReleaseRegistryAdoptionFails, time: 15m" in done.stdout + done.stderr


def test_every_alert_is_seen_to_fire() -> None:
    scenes = yaml.safe_load(SCENES.read_text())["tests"]
    fired = {each["alertname"] for scene in scenes for each in scene["alert_rule_test"] if each.get("exp_alerts")}
    assert fired == {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}


def test_prometheus_reads_every_expression_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "release-registry.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(expressions) > 40
    rules = [
        {"record": f"expression:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = asked(promtool, "check", "rules", "rules.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
