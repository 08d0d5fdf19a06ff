"""Do the deployment files parse, and do they agree with the code?

No container engine is needed. A dashboard that asks for a metric which the binary does not export
shows nothing and says nothing: this is where that is noticed.
"""

import json
import re
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
POM = "{http://maven.apache.org/POM/4.0.0}"
# Labels that Prometheus itself puts on every series.
TARGET_LABELS = {"instance", "job"}


def exported():
    """Every metric of the binary: its kind and its labels, from the one table in the code."""
    text = (ROOT / "src/telemetry/names.rs").read_text()
    rows = re.findall(
        r'\b(Counter|Gauge|Histogram)\s+"((?:radstream|gen_ai)_\w+)"\s+"([^"]*)"', text
    )
    assert len(rows) > 20, "the table of metrics was not found in names.rs"
    metrics = {}
    for kind, name, words in rows:
        listed = re.search(r"\blabels? ([a-z0-9_]+(?:, [a-z0-9_]+)*)", words)
        labels = set(listed[1].split(", ")) if listed else set()
        if kind == "Histogram":
            metrics[f"{name}_bucket"] = labels | {"le"}
            metrics[f"{name}_sum"] = metrics[f"{name}_count"] = labels
        else:
            metrics[name] = labels
    return metrics


def expressions():
    """Every PromQL expression of alerts and dashboards, with where it stands."""
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())[
        "groups"
    ]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    for file in sorted(DEPLOY.glob("grafana/dashboards/*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                expr = (
                    target["expr"]
                    .replace("$__rate_interval", "1m")
                    .replace("$instance", ".*")
                )
                yield f"{file.name}: {panel['title']}", expr


ALL_EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(
    ("place", "expr"), ALL_EXPRESSIONS, ids=[p for p, _ in ALL_EXPRESSIONS]
)
def test_an_expression_parses_and_asks_for_what_is_exported(place, expr):
    promql_parser.parse(expr)
    metrics = exported()
    used = set(re.findall(r"\b(?:radstream|gen_ai_client)_\w+", expr))
    assert used <= metrics.keys(), (
        f"{place}: not exported: {sorted(used - metrics.keys())}"
    )
    known = TARGET_LABELS.union(*(metrics[name] for name in used))
    groupings = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expr)
    matchers = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expr)
    labels = {label.strip() for group in groupings for label in group.split(",")} | set(
        matchers
    )
    assert labels <= known, (
        f"{place}: labels that these metrics do not have: {labels - known}"
    )


def test_every_metric_is_on_the_dashboard_or_in_an_alert():
    text = " ".join(expr for _, expr in ALL_EXPRESSIONS)
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()}
    # Dead letters say the same by class.
    unseen = {f for f in families if f not in text} - {"radstream_parse_failures_total"}
    assert not unseen, f"nobody looks at {sorted(unseen)}"


def test_panels_do_not_overlap_and_have_identities():
    panels = json.loads((DEPLOY / "grafana/dashboards/radstream.json").read_text())[
        "panels"
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells


def test_alerts_say_what_happened_and_what_to_do():
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    for rule in (rule for group in alerts["groups"] for rule in group["rules"]):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}


def settings():
    """The documented settings: section, key."""
    reference = tomllib.loads((ROOT / "config/radstream.toml").read_text())

    def walk(table, path):
        for key, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, (*path, key))
            else:
                yield (*path, key), value

    return dict(walk(reference, ()))


def test_compose_names_settings_files_and_versions_that_exist():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    for name, service in services.items():
        for key in service.get("environment", {}):
            if key.startswith("RADSTREAM__"):
                path = tuple(key.removeprefix("RADSTREAM__").lower().split("__"))
                assert path in settings(), f"{name}: no such setting: {key}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), (
                f"{name}: {source}"
            )
        assert set(service.get("depends_on", [])) <= services.keys()
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (
                f"{name}: {port} is open to the network"
            )
    versions = xml.etree.ElementTree.parse(ROOT / "tests/kafka/pom.xml").getroot()
    kafka = versions.findtext(f"{POM}properties/{POM}kafka.version")
    registry = versions.findtext(f"{POM}properties/{POM}apicurio.version")
    assert services["kafka"]["image"] == f"apache/kafka:{kafka}", "as in the tests"
    assert services["schema-registry"]["image"].endswith(f":{registry}"), (
        "as in the tests"
    )


def test_the_dockerfile_copies_only_what_is_in_the_context():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    context = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / entry).exists() for entry in context), context
    sources = re.findall(
        r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    for source in sources:
        assert source == "." or source.split("/")[0] in context, (
            f"{source} is not in the context"
        )
    # What the code compiles in must be there as well.
    included = [
        (file.parent / path).resolve().relative_to(ROOT)
        for file in ROOT.glob("src/**/*.rs")
        for path in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text())
    ]
    for path in included:
        parents = {str(parent) for parent in path.parents}
        assert parents & context, f"{path} is compiled in but not in the context"


def test_the_environment_of_the_image_names_settings_that_exist():
    for key in re.findall(r"RADSTREAM__\w+", (ROOT / "Dockerfile").read_text()):
        assert (
            tuple(key.removeprefix("RADSTREAM__").lower().split("__")) in settings()
        ), key


def check_settings(config):
    """Every key of a configuration is one that radstream knows."""
    known = settings()
    for section, table in config.items():
        for key, value in table.items():
            if isinstance(value, dict) and (section, key) not in known:
                assert all((section, key, inner) in known for inner in value), (
                    section,
                    key,
                )
            else:
                assert (section, key) in known, (section, key)


@pytest.mark.parametrize(
    ("name", "memory", "process"),
    # The process, and the child that reads a PDF.
    [("radstream", "1536Mi", 300 + 512), ("radstream-teach", "512Mi", 200)],
)
def test_kubernetes_gives_more_time_and_memory_than_radstream_takes(
    name, memory, process
):
    file = DEPLOY / f"kubernetes/{name}.yaml"
    documents = {doc["kind"]: doc for doc in yaml.safe_load_all(file.read_text())}
    config = tomllib.loads(documents["ConfigMap"]["data"]["radstream.toml"])
    check_settings(config)
    pod = documents["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > config["shutdown"]["grace_s"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["memory"] == memory
    room = {"1536Mi": 1536, "512Mi": 512}[memory]
    assert config["memory"]["budget_mib"] + process <= room, (
        "the byte budget and the process fit"
    )
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    paths = {
        container[f"{p}Probe"]["httpGet"]["path"]
        for p in ("startup", "liveness", "readiness")
    }
    assert paths == {"/startupz", "/livez", "/readyz"}


def test_the_job_that_redistills_names_settings_codes_and_paths_that_exist():
    file = DEPLOY / "kubernetes/radstream-redistill.yaml"
    documents = {doc["kind"]: doc for doc in yaml.safe_load_all(file.read_text())}
    config = tomllib.loads(documents["ConfigMap"]["data"]["radstream.toml"])
    check_settings(config)
    assert {"{out}", "{work}"} <= set(config["redistill"]["train"])
    job = documents["CronJob"]["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] == "redistill"
    assert pod["restartPolicy"] == "Never", "a failure policy asks for it"
    (rule,) = job["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    known = (ROOT / "src/command/exit.rs").read_text()
    codes = {int(code) for code in re.findall(r"pub const \w+: u8 = (\d+);", known)}
    assert set(rule["onExitCodes"]["values"]) < codes
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (config["promotion"]["store"], config["redistill"]["work"]):
        assert any(path.startswith(place + "/") for place in places), path


def test_compose_gives_more_time_than_radstream_takes():
    known = settings()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    grace = compose["services"]["radstream"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > known["shutdown", "grace_s"]


def test_sample_reports_are_json_but_for_the_one_meant_to_fail():
    lines = (DEPLOY / "samples/reports.jsonl").read_text().splitlines()
    broken = []
    for number, line in enumerate(lines, start=1):
        try:
            assert json.loads(line)["resourceType"] == "DiagnosticReport"
        except json.JSONDecodeError:
            broken.append(number)
    assert broken == [len(lines)]
