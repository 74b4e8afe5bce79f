"""What turns runs into hourly medians, as Flux (2.x) and as continuous queries (1.x). Pure.

Only valid runs count. Records may come late, so that each round makes the last day anew; a point overwrites itself.
"""

from typing import Final

METRICS_KEPT: Final = ("ttft_ms", "tpot_ms", "prefill_tps", "decode_tps", "energy_mj_per_token")
MEASUREMENT: Final = "tinyprof_hourly"


def hourly_bucket(bucket: str) -> str:
    """Where the medians go; they are kept for ever."""
    return f"{bucket}_hourly"


def task_name(bucket: str) -> str:
    """The task's name, by which it is found again."""
    return f"tinyprof hourly medians of {bucket}"


def flux_task(bucket: str, org: str) -> str:
    """The task for 2.x."""
    option = f'option task = {{name: "{task_name(bucket)}", every: 1h, offset: 5m}}\n\n'
    return option + flux_script(bucket, org)


def flux_script(bucket: str, org: str) -> str:
    """One round of it."""
    return "\n".join(
        f"""from(bucket: "{bucket}")
    |> range(start: -25h)
    |> filter(fn: (r) => r._measurement == "tinyprof_result" and (r._field == "{metric}" or r._field == "verdict"))
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.{metric} and r.verdict == "valid")
    |> rename(columns: {{{metric}: "_value"}})
    |> aggregateWindow(every: 1h, fn: median, createEmpty: false, timeSrc: "_start")
    |> set(key: "_field", value: "{metric}")
    |> set(key: "_measurement", value: "{MEASUREMENT}")
    |> to(bucket: "{hourly_bucket(bucket)}", org: "{org}")
"""
        for metric in METRICS_KEPT
    )


def continuous_query(database: str) -> str:
    """The same for 1.x, into a retention policy of the same database that keeps for ever."""
    columns = ", ".join(f"MEDIAN({metric}) AS {metric}" for metric in METRICS_KEPT)
    return (
        f'CREATE CONTINUOUS QUERY "tinyprof_hourly" ON "{database}" RESAMPLE FOR 25h BEGIN '  # noqa: S608
        f'SELECT {columns} INTO "{database}"."for_ever"."{MEASUREMENT}" FROM "tinyprof_result" '
        f"WHERE verdict = 'valid' GROUP BY time(1h), * END"
    )
