"""`python -m tinyprof_collector [--config collector.toml]`."""

import argparse
import sys
from pathlib import Path

from tinyprof_collector.config import load_config
from tinyprof_protocol.configuration import BadConfig


def main(arguments: list[str] | None = None) -> int:
    """Reads the configuration and runs the collector; 2 for a configuration that cannot be used."""
    parser = argparse.ArgumentParser(prog="tinyprof_collector", description="The collector of tinyprof")
    parser.add_argument("--config", type=Path, help="a TOML file; without it the defaults and the environment")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
    except BadConfig as why:
        print(f"tinyprof collector: {why}", file=sys.stderr)
        return 2
    try:
        from tinyprof_collector.service import run
    except ModuleNotFoundError as why:
        if (why.name or "").startswith("tinyprof"):
            raise
        print(
            f"tinyprof collector: the collector needs the package {why.name}: pip install 'tinyprof[collector]'",
            file=sys.stderr,
        )
        return 1
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
