"""Makes a UF2 file, which an RP2040's boot ROM takes as a USB drive, from a firmware's ELF file.

    python3 tools/elf_to_uf2.py firmware.elf firmware.uf2

Puts the check value into the second stage of the boot, which the boot ROM asks for. Standard library only.
Sources: the UF2 specification (github.com/microsoft/uf2); RP2040 datasheet, 2.8.1.3.1 (check value) and 2.8.4.2 (UF2).
"""

import argparse
import struct
import sys
from pathlib import Path

FLASH_START = 0x10000000
FLASH_BYTES = 16 << 20
BOOT2_BYTES = 256
PAYLOAD_BYTES = 256
BLOCK_BYTES = 512
FAMILY_RP2040 = 0xE48BFF56
FAMILY_ID_PRESENT = 0x2000
MAGICS = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
PT_LOAD = 1


def loaded_segments(elf: bytes) -> list[tuple[int, bytes]]:
    """What a 32-bit little-endian ELF file loads: pairs of physical address and bytes. Raises ValueError."""
    if elf[:6] != b"\x7fELF\x01\x01" or len(elf) < 52:
        raise ValueError("is no 32-bit little-endian ELF file")
    table = struct.unpack_from("<I", elf, 28)[0]
    entry_bytes, entries = struct.unpack_from("<HH", elf, 42)
    segments = []
    for index in range(entries):
        try:
            kind, offset, _, address, size = struct.unpack_from("<5I", elf, table + index * entry_bytes)
        except struct.error:
            raise ValueError("ends within its program headers") from None
        if kind != PT_LOAD or size == 0:
            continue
        if offset + size > len(elf):
            raise ValueError("ends within a segment")
        segments.append((address, elf[offset : offset + size]))
    return segments


def flash_image(segments: list[tuple[int, bytes]]) -> bytes:
    """The flash from its start, 0xFF where nothing is loaded, whole pages. Raises ValueError."""
    if not any(address == FLASH_START for address, _ in segments):
        raise ValueError(f"loads nothing at 0x{FLASH_START:08x}, where an RP2040's flash begins")
    end = max(address + len(data) for address, data in segments)
    if min(address for address, _ in segments) < FLASH_START or end > FLASH_START + FLASH_BYTES:
        raise ValueError("loads something outside of an RP2040's flash")
    size = -(-(end - FLASH_START) // PAYLOAD_BYTES) * PAYLOAD_BYTES
    image = bytearray(b"\xff" * size)
    for address, data in segments:
        image[address - FLASH_START : address - FLASH_START + len(data)] = data
    return bytes(image)


def boot_crc(data: bytes) -> int:
    """CRC-32 as the boot ROM computes it: polynomial 0x04C11DB7, start 0xFFFFFFFF, nothing reflected, no final XOR."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def with_boot_check(image: bytes) -> bytes:
    """The image with its second boot stage's check value. Raises ValueError where something else is in its place."""
    stage, place = image[: BOOT2_BYTES - 4], image[BOOT2_BYTES - 4 : BOOT2_BYTES]
    check = struct.pack("<I", boot_crc(stage))
    if place not in (b"\x00" * 4, check):
        raise ValueError("its first 256 bytes are no second boot stage with room for a check value")
    return stage + check + image[BOOT2_BYTES:]


def uf2(image: bytes, start: int = FLASH_START) -> bytes:
    """The image as UF2 blocks of 256 bytes each."""
    count = len(image) // PAYLOAD_BYTES
    blocks = bytearray()
    for number in range(count):
        offset = number * PAYLOAD_BYTES
        head = struct.pack(
            "<8I", *MAGICS, FAMILY_ID_PRESENT, start + offset, PAYLOAD_BYTES, number, count, FAMILY_RP2040
        )
        body = (head + image[offset : offset + PAYLOAD_BYTES]).ljust(BLOCK_BYTES - 4, b"\0")
        blocks += body + struct.pack("<I", MAGIC_END)
    return bytes(blocks)


def main() -> int:
    """Writes the file; 1 and one line where the ELF file is not one for an RP2040."""
    parser = argparse.ArgumentParser(description="an RP2040's UF2 file from a firmware's ELF file")
    parser.add_argument("elf", type=Path)
    parser.add_argument("uf2", type=Path)
    options = parser.parse_args()
    try:
        image = with_boot_check(flash_image(loaded_segments(options.elf.read_bytes())))
        options.uf2.write_bytes(uf2(image))
    except OSError as why:
        print(f"{why.filename}: {why.strerror}", file=sys.stderr)
        return 1
    except ValueError as why:
        print(f"{options.elf} {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
