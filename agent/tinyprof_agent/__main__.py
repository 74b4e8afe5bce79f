"""`python -m tinyprof_agent --config agent.toml` runs an agent."""

import argparse
import sys
from pathlib import Path

from tinyprof_agent.config import load_config
from tinyprof_agent.identity import version
from tinyprof_protocol.configuration import BadConfig


def main(arguments: list[str] | None = None) -> int:
    """Reads the configuration and runs until a signal; 2 where the configuration cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tinyprof_agent", description="A tinyprof agent")
    parser.add_argument("--config", type=Path, help="the agent's TOML file; left out: defaults and the environment")
    parser.add_argument("--version", action="version", version=version())
    given = parser.parse_args(arguments)
    try:
        config = load_config(given.config)
    except BadConfig as why:
        print(f"tinyprof agent: {why}", file=sys.stderr)
        return 2
    from tinyprof_agent.service import run

    return run(config)


if __name__ == "__main__":
    sys.exit(main())
