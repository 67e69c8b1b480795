"""Holds what a node answers against what it says it answers: schemathesis over both listeners.

Reads a JSON object from the file that is named: the URLs, what each kind of caller shows, and what there is on the node.
The description is the node's own. Two things are done to it first, both so that more is asked and more is noticed:

- where a live token, a client or a user can be named, those that are there are named half of the time;
- objects in answers are closed, unless further members belong to them: a member that is not described is a failure.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

# Further members belong to these: custom claims, and the rest of a description.
OPEN = {"Introspection", "Description"}
# What a client may prove itself with in a form. The header does it here: made up credentials in the form beside it are
# refused before anything else is looked at, so nothing else would be looked at.
CREDENTIALS = ["client_id", "client_secret", "client_assertion", "client_assertion_type"]


def also(schema, values):
    """The same schema, with these values as half of what is made of it."""
    description = schema.get("description", "")
    return {"anyOf": [{"enum": values}, schema], "description": description}


def referenced(value):
    """The names of all schemas that something refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and inner.startswith("#/components/schemas/"):
                yield inner.rsplit("/", 1)[1]
            else:
                yield from referenced(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from referenced(inner)


def close_answers(document):
    schemas = document["components"]["schemas"]
    waiting = []
    for item in document["paths"].values():
        for operation in item.values():
            waiting.extend(referenced(operation["responses"]))
    closed = set()
    while waiting:
        name = waiting.pop()
        if name in closed:
            continue
        closed.add(name)
        waiting.extend(referenced(schemas[name]))
        if name not in OPEN and schemas[name].get("type") == "object":
            schemas[name].setdefault("additionalProperties", False)


def name_what_is_there(document, there):
    schemas = document["components"]["schemas"]
    for name, bodies in there["bodies"].items():
        if name in schemas:
            schemas[name] = also(schemas[name], bodies)
    for name, schema in schemas.items():
        properties = schema.get("properties", {})
        if name.endswith("Form"):
            for credential in CREDENTIALS:
                properties.pop(credential, None)
        for member, values in there["members"].get(name, {}).items():
            properties[member] = also(properties[member], values)
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                values = there["parameters"].get(parameter["name"])
                if parameter["in"] == "path" and values:
                    parameter["schema"] = also(parameter["schema"], values)


def main():
    told = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[1]).parent
    with urllib.request.urlopen(told["url"] + "/openapi.json") as answer:
        document = json.load(answer)
    close_answers(document)
    name_what_is_there(document, told["there"])
    description = folder / f"{told['name']}.openapi.json"
    description.write_text(json.dumps(document))
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", told["config"], "run", str(description),
        "--url", told["url"], "--phases", "coverage,fuzzing,stateful",
        "--max-examples", str(told["examples"]), "--generation-deterministic",
        "--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off",
        "--max-redirects", "0", "--request-timeout", "20",
    ]
    environment = {**os.environ, **told["environment"]}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    print(run.stdout)
    print(run.stderr, file=sys.stderr)
    sys.exit(run.returncode)


main()
