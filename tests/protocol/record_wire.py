"""Writes the bytes of every example under wire/, once a version. Usage: record_wire.py VERSION"""

import pathlib
import sys

import protocol_examples

from tinyprof_protocol.codec import encode

for name, message in protocol_examples.EXAMPLES.items():
    path = pathlib.Path(__file__).parent / "wire" / f"{sys.argv[1]}-{name}.msgpack"
    if path.exists():
        sys.exit(f"{path} is recorded already; a recorded version never changes")
    path.write_bytes(encode(message))
