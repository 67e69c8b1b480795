"""The chart, by Helm 4 itself and by the schemas of every Kubernetes from the oldest that it takes.

Standard input: {"chart": folder, "output": folder}. Into the output goes the configuration of each file in ci/, as the
nodes would read it. Standard output: what was found wrong, one to a line, and "checked N objects" at the end.
"""

import json
import re
import sys
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

OLDEST = (1, 27)
# Their schemas are part of no Kubernetes; their shape is asserted in helm/introspectd/tests.
WITHOUT_SCHEMA = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "ScaledObject"}

# Before this one the chart asks for no sleep, by the version that Helm says; this binding always says the newest.
SLEEPS_FROM = (1, 30)

# What nobody may be able to set without being told: a value, and a part of what Helm says of it.
REFUSED = [
    ({"replicas": 3}, "replicas"),
    ({"config": {"issuer": "https://a.example", "cache": {"size": 1}}}, "size"),
    ({"image": {"tag": 1}}, "tag"),
]


def versions() -> list[str]:
    """Every Kubernetes that there are schemas of, from the oldest that the chart takes."""
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    found = {numbers(match[1]) for one in folder.iterdir() if (match := re.match(r"v(\d+\.\d+)\.", one.name))}
    return [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= OLDEST]


def numbers(version: str) -> tuple[int, ...]:
    """A version that can be compared."""
    return tuple(map(int, version.split(".")))


def render(chart: str, values: dict) -> list[dict]:
    """The objects that Helm makes of it."""
    with helm.Chart.load(chart) as loaded:
        texts = loaded.render(values, name="t", namespace="identity")
    manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
    return [found for text in manifests for found in yaml.safe_load_all(text) if found]


def check(chart: Path, values_file: Path, output: Path) -> int:
    """Everything about one file of values: how many objects there were."""
    name, values = values_file.stem.removesuffix("-values"), yaml.safe_load(values_file.read_text())
    known = versions()
    for version in (known[0], known[-1]):
        report = helm.lint(str(chart), values, strict=True, kube_version=f"v{version}.0")
        for message in report["errors"] + [said["error"] for said in report["messages"] if said["severity"] > 1]:
            print(f"{name}: helm lint for {version}: {message}")
    objects, older = render(str(chart), values), render(str(chart), {**values, "preStopSleepSeconds": 0})
    for version in known:
        for found in objects if numbers(version) >= SLEEPS_FROM else older:
            validate(name, found, version)
    for found in objects:
        if found["kind"] == "ConfigMap" and "config.yaml" in found["data"]:
            (output / f"{name}.yaml").write_text(found["data"]["config.yaml"])
    return len(objects)


def validate(name: str, found: dict, version: str) -> None:
    """One object, as this Kubernetes would take it."""
    if found["kind"] in WITHOUT_SCHEMA:
        return
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as refused:
        print(f"{name}: {found['kind']} {found['metadata']['name']}: Kubernetes {version}: {refused}")


def main() -> None:
    asked = json.load(sys.stdin)
    chart, output = Path(asked["chart"]), Path(asked["output"])
    files = sorted((chart / "ci").glob("*-values.yaml"))
    objects = sum(check(chart, file, output) for file in files)
    usual = yaml.safe_load((chart / "ci/usual-values.yaml").read_text())
    for wrong, part in REFUSED:
        try:
            render(str(chart), {**usual, **wrong})
            print(f"{wrong} is taken")
        except helm.HelmError as refused:
            if part not in str(refused):
                print(f"{wrong} is refused without saying why: {refused}")
    known = versions()
    tools = f"Helm {helm.helm_sdk_version()} for Kubernetes {known[0]} to {known[-1]}"
    print(f"checked {objects} objects of {len(files)} files with {tools}")


main()
