import pytest

from tinyprof.board_names import BoardRef, UnknownBoard, resolve
from tinyprof.metric_names import UnknownMetric, check_metric

KNOWN = [BoardRef("lab.a1", "pico-1"), BoardRef("lab.a1", "host"), BoardRef("roof.a1", "host")]


def test_a_bare_name_is_enough_where_it_is_unique() -> None:
    assert resolve("pico-1", KNOWN) == BoardRef("lab.a1", "pico-1")


def test_a_full_name_says_which() -> None:
    assert resolve("roof.a1/host", KNOWN) == BoardRef("roof.a1", "host")


def test_a_name_of_two_boards_lists_both() -> None:
    with pytest.raises(UnknownBoard, match=r"2 boards .* lab\.a1/host, roof\.a1/host"):
        resolve("host", KNOWN)


@pytest.mark.parametrize(("wrong", "nearest"), [("pico-2", "lab.a1/pico-1"), ("lab.a1/hots", "lab.a1/host")])
def test_an_unknown_name_gets_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownBoard, match=f"nearest: {nearest}"):
        resolve(wrong, KNOWN)


def test_without_any_board_it_says_so() -> None:
    with pytest.raises(UnknownBoard, match="no agent has announced any board"):
        resolve("host", [])


@pytest.mark.parametrize("wrong", ["", "a/b/c", "UPPER", "lab/host", "lab.a1/", "x" * 64])
def test_what_is_no_name_at_all(wrong: str) -> None:
    with pytest.raises(UnknownBoard):
        resolve(wrong, KNOWN)


def test_a_metric_by_name_and_the_nearest_to_a_wrong_one() -> None:
    assert check_metric("ttft_ms").unit == "ms"
    with pytest.raises(UnknownMetric, match="decode_tps"):
        check_metric("decode_tsp")
