"""From the spool to the collector: batches cut to limits, a window of them under way, and acknowledgements back."""

from tinyprof_agent.uplink.sender import Uplink

__all__ = ["Uplink"]
