"""The reference engine on this machine: a child process that ends when idle, so that the agent itself stays small."""

from tinyprof_agent.drivers.host.driver import HostDriver, Options, default_processor, make

__all__ = ["HostDriver", "Options", "default_processor", "make"]
