"""How much of a model is read from flash for each token: for the estimate of a part's speed."""

from tinyprof_models.golden import shipped_golden


def model_bytes(sha256: str, flash_used: int | None) -> int | None:
    """What is read from flash for each token: a shipped model's file, else all that the firmware has in flash."""
    for model in shipped_golden().models.values():
        if model.sha256 == sha256:
            return model.bytes
    return flash_used
