"""Check an OpenAPI description, and every example in it against its schema, in an environment that has a validator.

python check_openapi.py < openapi.json; exits 1 with a sentence for each fault.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate


def main():
    description = json.load(sys.stdin)
    validate(description)
    faults = [
        fault for place, content in contents(description) for fault in wrong_examples(place, content, description)
    ]
    sys.exit("\n".join(faults) or 0)


def contents(description):
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation.get("requestBody", {}).get("content", {})
            for status, answer in operation["responses"].items():
                yield f"{method} {path} {status}", answer.get("content", {})


def wrong_examples(place, content, description):
    if "application/json" not in content:
        return
    media = content["application/json"]
    examples = [row["value"] for row in media.get("examples", {}).values()] + [
        media[k] for k in ("example",) if k in media
    ]
    if not examples:
        yield f"{place} has no example"
    validator = Draft202012Validator({**media["schema"], "components": description["components"]})
    for example in examples:
        yield from (f"{place}: {error.message}" for error in validator.iter_errors(example))


if __name__ == "__main__":
    main()
