"""What the estimate needs to know of the part that an emulator is or stands for, and of the model on it."""

from tinyprof_agent.drivers.driver import PartSpeed
from tinyprof_models.golden import shipped_golden


def part_speed(part: str | None) -> PartSpeed | None:
    """Clock and flash bandwidth of a part of the platform catalogue; None where either is not known."""
    return None


def model_bytes(sha256: str, flash_used: int | None) -> int | None:
    """What is read from flash for each token: a shipped model's file, else all that the firmware has in flash."""
    for model in shipped_golden().models.values():
        if model.sha256 == sha256:
            return model.bytes
    return flash_used
