"""What operators are told of metrics is true: the page, the alerts and the dashboard name what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

import server.serving  # noqa: F401 - what is counted is declared when it is imported

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "release-registry.json").read_text())

OF_A_SUPERVISOR = {"release_registry_workers_running": "gauge", "release_registry_worker_restarts_total": "counter"}
NAME = re.compile(r"\b(?:release_registry|process)_[a-z_]+\b|\bup\b")
ROW = re.compile(r"\| `(release_registry_[a-z_]+)` \| (\w+) \|([\w, ]*)\| (.+) \|")


def families() -> list[Metric]:
    return [family for family in REGISTRY.collect() if family.name.startswith("release_registry_")]


def shown_name(family: Metric) -> str:
    if family.type == "info":
        return f"{family.name}_info"
    return f"{family.name}_total" if family.type == "counter" else family.name


def series_names(family: Metric) -> Iterable[str]:
    name = shown_name(family)
    if family.type == "histogram":
        return (f"{name}_bucket", f"{name}_sum", f"{name}_count")
    return (f"{name}_sum", f"{name}_count") if family.type == "summary" else (name,)


def expressions() -> Iterator[tuple[str, str]]:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


KNOWN = {
    *(name for family in families() for name in series_names(family)),
    *OF_A_SUPERVISOR,
    "up",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
}


def test_the_page_has_every_metric_and_no_other() -> None:
    told = {name: kind for name, kind, _, _ in ROW.findall(PAGE)}
    there = {shown_name(family): family.type for family in families()} | OF_A_SUPERVISOR
    there["release_registry_build_info"] = "gauge"  # what info is on the wire
    assert told == there


def test_the_text_names_no_metric_that_there_is_not() -> None:
    named = set(re.findall(r"\brelease_registry_[a-z_]+\b", PAGE))
    assert len(named) > 50
    assert named - KNOWN - {shown_name(family) for family in families()} == {"release_registry_build_info"} - KNOWN


def test_the_page_has_the_labels_of_every_metric() -> None:
    told = {
        name: {label.strip() for label in labels.split(",") if label.strip()}
        for name, _, labels, _ in ROW.findall(PAGE)
    }
    for family in families():
        for sample in family.samples:
            labels = sample.labels.keys() - {"le"}
            assert labels == told[shown_name(family)], family.name


def test_every_metric_has_a_help_and_a_unit_that_is_one() -> None:
    for family in families():
        assert family.documentation
        assert not re.search(r"_(ms|millis|kb|mb|percent)\b", family.name)


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_names_only_metrics_that_there_are(where: str, expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names, where
    assert names <= KNOWN


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_an_expression_groups_by_is_a_label_that_there_is(where: str, expression: str) -> None:
    told = {name: set(re.findall(r"\w+", labels)) for name, _, labels, _ in ROW.findall(PAGE)}
    for grouped, rest in re.findall(r"by \(([^)]*)\) (\(.*)", expression, re.DOTALL):
        series = NAME.findall(rest)[0]
        name = series if series in told else re.sub(r"_(bucket|sum|count)$", "", series)
        scraped = {"instance"} | ({"le"} if series.endswith("_bucket") else set())
        assert set(re.findall(r"\w+", grouped)) - scraped <= told.get(name, set()), where


def test_every_alert_says_how_bad_it_is_and_the_page_what_to_do() -> None:
    rules: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in PAGE
    told = set(re.findall(r"`(ReleaseRegistry\w+)`", PAGE))
    assert told == {rule["alert"] for rule in rules}


def test_what_is_looked_for_by_a_label_is_a_value_that_there_is() -> None:
    values: dict[str, set[str]] = {}
    for family in families():
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault(f"{sample.name} {label}", set()).add(value)
    for where, expression in expressions():
        for name, selector in re.findall(r"(release_registry_[a-z_]+)\{([^}]*)\}", expression):
            for label, operator, wanted in re.findall(r"(\w+)(=~|=|!=)\"([^\"]*)\"", selector):
                if label in {"instance", "job", "code"} or (operator, name) == (
                    "=~",
                    "release_registry_refusals_total",
                ):
                    continue
                assert set(wanted.split("|")) <= values[f"{name} {label}"], where


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
