"""The JSON Schema of the results file.

`python -m tinyprof.benchmarking.schema > docs/results-file.schema.json` writes the one in the documents.
"""

import json
from typing import Any, Final

import msgspec

from tinyprof.benchmarking.results_file import SCHEMA, VERSION, Results

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, from the structs that write and read the file; ids are hexadecimal there."""
    schema = _hexadecimal(msgspec.json.schema(Results))
    properties = schema["$defs"]["Results"]["properties"]
    properties["schema"], properties["version"] = {"const": SCHEMA}, {"const": VERSION}
    return {"$schema": DIALECT, "title": f"Results of 'tinyprof benchmark', version {VERSION}", **schema}


def _hexadecimal(value: Any) -> Any:
    if isinstance(value, dict):
        if "contentEncoding" in value:
            return {"type": "string", "pattern": "^[0-9a-f]{32}$"}
        return {key: _hexadecimal(item) for key, item in value.items()}
    return [_hexadecimal(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
