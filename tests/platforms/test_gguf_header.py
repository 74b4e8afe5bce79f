import io
import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_models.catalogue import shipped_model
from tinyprof_models.model_file import read_model
from tinyprof_platforms.gguf_header import GgufError, GgufHeader, parse_header, read_header
from tinyprof_platforms.gguf_types import FILE_TYPES, TENSOR_TYPES
from tinyprof_platforms.llama_shape import LlamaShape, llama_shape

NAMES = ("stories260k-f32", "stories260k-q8_0", "stories260k-q4_0")
Q4 = shipped_model("stories260k-q4_0").path
DATA = Q4.read_bytes()
HEADER_BYTES = read_header(Q4).data_offset


def parsed(data: bytes, file_bytes: int | None = None) -> GgufHeader:
    return parse_header(io.BytesIO(data), len(data) if file_bytes is None else file_bytes)


def test_types_are_those_of_the_gguf_package() -> None:
    sizes = {kind.value: (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {number: tuple(kind) for number, kind in TENSOR_TYPES.items()}.items() <= sizes.items()
    names = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    assert FILE_TYPES.items() <= names.items()


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_where_the_gguf_package_finds_them(name: str) -> None:
    path = shipped_model(name).path
    header = read_header(path)
    ours = {
        tensor.name: (tensor.shape, tensor.type.name, tensor.bytes, header.data_offset + tensor.offset)
        for tensor in header.tensors.values()
    }
    theirs = {
        tensor.name: (tuple(tensor.shape.tolist()), tensor.tensor_type.name, tensor.n_bytes, tensor.data_offset)
        for tensor in gguf.GGUFReader(path).tensors
    }
    assert ours == theirs
    assert (header.name, header.file_bytes) == ("Stories 260K", path.stat().st_size)
    assert header.lengths["tokenizer.ggml.tokens"] == 512
    assert header.quantisation == shipped_model(name).quantisation
    assert header.longest_piece_bytes == read_model(path).tokenizer.longest_piece_bytes


@pytest.mark.parametrize("name", NAMES)
def test_the_shape_is_what_the_engine_reads(name: str) -> None:
    path = shipped_model(name).path
    shape, model = llama_shape(read_header(path)), read_model(path)
    assert (shape.width, shape.hidden, shape.layers) == (model.width, model.hidden, len(model.layers))
    assert (shape.heads, shape.kv_heads, shape.context) == (model.heads, model.kv_heads, model.context)
    assert (shape.vocabulary, shape.kv_width, shape.tied) == (512, 32, True)
    assert shape.quantized == (name != "stories260k-f32")
    matrices = [m for layer in model.layers for m in (layer.qkv, layer.attention_output, layer.gate_up, layer.down)]
    assert shape.macs_a_token == sum(m.weights.size for m in (*matrices, model.output))


def test_bytes_of_weights_a_token_by_hand() -> None:
    shape = llama_shape(read_header(shipped_model("stories260k-f32").path))
    # Five blocks of 64 x 64 x 2 + 64 x 32 x 2 + 64 x 192 x 3 and two norms, the output, its norm, an embedding's row.
    numbers = 5 * (64 * 64 * 2 + 64 * 32 * 2 + 64 * 192 * 3 + 128) + 64 * 512 + 64 + 64
    assert shape.weight_bytes_a_token == 4 * numbers


def test_without_a_file_type_the_commonest_type_is_named() -> None:
    header = read_header(Q4)
    del header.values["general.file_type"]
    assert header.quantisation == "Q4_0"


def test_a_file_that_is_not_there_or_cut_is_named(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match=r"cannot read .*none\.gguf: No such file"):
        read_header(tmp_path / "none.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(DATA[:-1])
    with pytest.raises(GgufError, match=r"cut\.gguf: is cut short or broken: tensor"):
        read_header(cut)


def with_field(key: bytes, kind: int, value: bytes) -> bytes:
    field = struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not begin with 'GGUF'"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors and"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "fields"),
        (with_field(b"a", 99, b""), "unknown type 99"),
        (with_field(b"a", 8, struct.pack("<Q", 1 << 63)), "not all there"),
        (with_field(b"a", 9, struct.pack("<IQ", 8, 1 << 60)), "texts"),
        (with_field(b"a", 9, struct.pack("<IQ", 4, 1 << 62)), "not all there"),
        (with_field(b"a", 9, struct.pack("<IQ", 9, 1)), "unknown type 9"),
        (with_field(b"general.alignment", 4, struct.pack("<I", 0)), "alignment"),
    ],
)
def test_headers_that_announce_what_cannot_be(data: bytes, says: str) -> None:
    with pytest.raises(GgufError, match=says):
        parsed(data)


def test_a_header_over_the_bound_is_refused_without_being_read() -> None:
    data = with_field(b"a", 9, struct.pack("<IQ", 4, 1 << 40))
    with pytest.raises(GgufError, match="header of over"):
        parsed(data, file_bytes=1 << 45)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, HEADER_BYTES - 1))
def test_any_cut_header_gives_the_one_error(cut: int) -> None:
    with pytest.raises(GgufError) as raised:
        parsed(DATA[:cut])
    assert "\n" not in str(raised.value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, HEADER_BYTES - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_mutated_header_gives_a_shape_or_the_one_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(DATA)
    for at, byte in changes:
        data[at] = byte
    try:
        shape = llama_shape(parsed(bytes(data)))
    except GgufError as why:
        assert str(why)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(shape, LlamaShape)
        assert shape.macs_a_token > 0


def test_other_architectures_and_missing_tensors_are_refused() -> None:
    header = read_header(Q4)
    header.values["general.architecture"] = "mamba"
    with pytest.raises(GgufError, match="mamba"):
        llama_shape(header)
    header = read_header(Q4)
    del header.tensors["blk.3.ffn_up.weight"]
    with pytest.raises(GgufError, match=r"no tensor blk\.3\.ffn_up\.weight"):
        llama_shape(header)
    header = read_header(Q4)
    header.values["llama.embedding_length"] = 96
    with pytest.raises(GgufError, match="another width"):
        llama_shape(header)
