"""Zip archives as PyTorch writes them: every declared size is checked before anything of it is read.

Python's `zipfile` and PyTorch's own reader take archives that mean different things to different readers: entries of
one name, entries that share bytes, bytes before the first entry or after the last. Such archives are refused.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from proxyclip.utils.formats import format_size

MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 1 << 24
MAX_PACKED_TEXT_BYTES = 1 << 26  # of all compressed entries together, which are TorchScript's code
END, LOCATOR, END64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sIQI"), struct.Struct("<4sQ2H2I4Q")
CENTRAL, LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
STORED, DEFLATED = 0, 8
ENCRYPTED_FLAGS = 0x2041  # encrypted, strongly encrypted, or with a masked directory


class ArchiveError(ValueError):
    """A zip archive that is damaged, or that PyTorch would not have written."""


@dataclass(frozen=True)
class ZipEntry:
    """One entry of a zip archive, as its directory declares it."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int
    offset: int  # of its local header

    @property
    def label(self) -> str:
        """The name's beginning, for messages."""
        return repr(self.name if len(self.name) < 80 else f"{self.name[:77]}...")


def list_zip_entries(path: Path) -> tuple[list[ZipEntry], int]:
    """List the entries of an archive by its directory alone, and return the directory's offset.

    Raises:
        ArchiveError: no archive, one with bytes after its end, or with a directory of too many entries.
    """
    with path.open("rb") as file:
        return _read_directory(file, path.stat().st_size)


def _read_exactly(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise ArchiveError("it is cut short")
    return data


def _read_directory(file: BinaryIO, file_size: int) -> tuple[list[ZipEntry], int]:
    end = file_size - END.size
    if end < 0:
        raise ArchiveError("it is cut short")
    signature, disk, start_disk, _, count, size, offset, comment = END.unpack(_read_exactly(file, end, END.size))
    if signature != b"PK\5\6" or comment or disk or start_disk:
        raise ArchiveError("it does not end as an archive of PyTorch does: cut short, or bytes were added")
    if end >= LOCATOR.size and _read_exactly(file, end - LOCATOR.size, 4) == b"PK\6\7":
        locator = LOCATOR.unpack(_read_exactly(file, end - LOCATOR.size, LOCATOR.size))
        end -= LOCATOR.size + END64.size
        if locator[2] != end:
            raise ArchiveError("its directory is not where its end says")
        record = END64.unpack(_read_exactly(file, end, END64.size))
        narrow, wide = (count, size, offset), (record[7], record[8], record[9])
        if record[0] != b"PK\6\6" or any(
            a not in (b, c) for a, b, c in zip(narrow, wide, (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), strict=True)
        ):
            raise ArchiveError("its two ends contradict each other")
        count, size, offset = wide
    if count > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"it declares {count} entries, and at most {MAX_ENTRIES} are read")
    if offset + size != end:
        raise ArchiveError("its directory is not where its end says")
    data = _read_exactly(file, offset, size)
    entries, position = [], 0
    for _ in range(count):
        entry, position = _parse_entry(data, position)
        entries.append(entry)
    if position != size:
        raise ArchiveError("its directory has another length than declared")
    return entries, offset


def _parse_entry(data: bytes, position: int) -> tuple[ZipEntry, int]:
    if position + CENTRAL.size > len(data):
        raise ArchiveError("its directory is cut short")
    fields = CENTRAL.unpack_from(data, position)
    name_size, extra_size, comment_size = fields[10:13]
    start = position + CENTRAL.size
    stop = start + name_size + extra_size + comment_size
    if fields[0] != b"PK\1\2" or stop > len(data):
        raise ArchiveError("its directory is damaged")
    raw_name = data[start : start + name_size]
    sizes = _widen_sizes(data[start + name_size : stop - comment_size], [fields[9], fields[8], fields[16]])
    name = raw_name.decode("utf-8", "surrogateescape")
    size, packed_size, offset = sizes
    return ZipEntry(name, raw_name, fields[3], fields[4], fields[7], packed_size, size, offset), stop


def _widen_sizes(extra: bytes, sizes: list[int]) -> list[int]:
    """Replace sizes of 0xFFFFFFFF by those of the zip64 field."""
    wide: bytes = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    for index, size in enumerate(sizes):
        if size == 0xFFFFFFFF:
            if len(wide) < 8:
                raise ArchiveError("an entry declares a size that its directory does not have")
            sizes[index], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return sizes


class TensorArchive:
    """An open archive of torch.save or torch.jit.save, whose entries were checked by their directory.

    Attributes:
        entries: by name below the folder that all of them have.

    Raises:
        ArchiveError: entries that PyTorch would not have written: compressed tensors, two of one name (in any case),
            shared bytes, several folders, names that lead out.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            entries, self._end = _read_directory(self._file, path.stat().st_size)
            self.entries = _index_entries(entries)
            self._limits = _find_limits(entries, self._end)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "TensorArchive":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def find_entry(self, name: str) -> ZipEntry:
        """Find an entry by its name below the archive's folder.

        Raises:
            ArchiveError: there is none.
        """
        if name not in self.entries:
            raise ArchiveError(f"it lacks the entry {name[:60]!r}")
        return self.entries[name]

    def read_into(self, entry: ZipEntry, buffer: memoryview) -> None:
        """Read a stored entry into a buffer of its size.

        Raises:
            ArchiveError: cut short, or with another checksum than declared.
        """
        if entry.method != STORED or len(buffer) != entry.size:
            raise ArchiveError(f"its entry {entry.label} is compressed, or of another size than declared")
        self._file.seek(self._find_data(entry))
        if self._file.readinto(buffer) != entry.size:  # type: ignore[attr-defined]  # of BufferedReader
            raise ArchiveError("it is cut short")
        _check_checksum(entry, buffer)

    def read_bytes(self, entry: ZipEntry, limit: int) -> bytes:
        """Read an entry of at most `limit` bytes, stored or compressed.

        Raises:
            ArchiveError: larger, damaged, or of another size than declared.
        """
        if entry.size > limit:
            raise ArchiveError(
                f"its entry {entry.label} declares {format_size(entry.size)}, and {format_size(limit)} are read"
            )
        data = _read_exactly(self._file, self._find_data(entry), entry.packed_size)
        if entry.method == DEFLATED:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                data = unpacker.decompress(data, entry.size + 1)
            except zlib.error as error:
                raise ArchiveError(f"its entry {entry.label} is damaged") from error
        if len(data) != entry.size:
            raise ArchiveError(f"its entry {entry.label} is of another size than declared")
        _check_checksum(entry, data)
        return data

    def _find_data(self, entry: ZipEntry) -> int:
        header = LOCAL.unpack(_read_exactly(self._file, entry.offset, LOCAL.size))
        start = entry.offset + LOCAL.size + header[9] + header[10]
        name = _read_exactly(self._file, entry.offset + LOCAL.size, header[9])
        if (header[0], header[3], name) != (b"PK\3\4", entry.method, entry.raw_name) or header[2] & ENCRYPTED_FLAGS:
            raise ArchiveError(f"its entry {entry.label} is another one than its directory says")
        if start + entry.packed_size > self._limits[entry.offset]:
            raise ArchiveError(f"its entry {entry.label} reaches into the next one")
        return start


def _check_checksum(entry: ZipEntry, data: bytes | memoryview) -> None:
    if zlib.crc32(data) != entry.checksum:
        raise ArchiveError(f"its entry {entry.label} is damaged: the checksum differs")


def _index_entries(entries: Iterable[ZipEntry]) -> dict[str, ZipEntry]:
    """Index entries by their names below the common folder, which must be plain and unlike each other."""
    index: dict[str, ZipEntry] = {}
    roots, lowered, packed_bytes = set(), set(), 0
    for entry in entries:
        parts = entry.name.split("/")
        is_plain = len(parts) > 1 and not {"", ".", ".."} & set(parts) and not set("\0\\") & set(entry.name)
        if not is_plain or not entry.name.isprintable():
            raise ArchiveError(f"its entry {entry.label} has a name that leads elsewhere")
        if entry.flags & ENCRYPTED_FLAGS:
            raise ArchiveError(f"its entry {entry.label} is encrypted")
        is_code = parts[1] == "code" and entry.method == DEFLATED
        if entry.method != STORED and not is_code:
            raise ArchiveError(f"its entry {entry.label} is compressed, which PyTorch's are not")
        if entry.method == STORED and entry.size != entry.packed_size:
            raise ArchiveError(f"its entry {entry.label} declares two sizes")
        packed_bytes += entry.size * is_code
        roots.add(parts[0])
        if entry.name.casefold() in lowered or len(roots) > 1:
            raise ArchiveError(f"its entry {entry.label} has the name of another one, or another folder")
        lowered.add(entry.name.casefold())
        index["/".join(parts[1:])] = entry
    if packed_bytes > MAX_PACKED_TEXT_BYTES:
        size = format_size(packed_bytes)
        raise ArchiveError(f"its compressed code declares {size}, and {format_size(MAX_PACKED_TEXT_BYTES)} are read")
    return index


def _find_limits(entries: Iterable[ZipEntry], end: int) -> dict[int, int]:
    """Map the offset of each entry to that of the next; entries must not share bytes, nor begin late."""
    ordered = sorted(entries, key=lambda entry: entry.offset)
    limits = {}
    for entry, following in zip(ordered, [*(entry.offset for entry in ordered[1:]), end], strict=True):
        if entry.offset + LOCAL.size + len(entry.raw_name) + entry.packed_size > following:
            raise ArchiveError(f"its entry {entry.label} reaches into the next one")
        limits[entry.offset] = following
    if ordered and ordered[0].offset != 0:
        raise ArchiveError("bytes stand before its first entry")
    return limits
