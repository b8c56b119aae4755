"""Tables as people save them, of any usual separator, encoding and packing; and which film a cell names."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tbconv.contract.errors import DataError, FilmError, SetupError, some
from tbconv.contract.xray.folder import FilmTree, name_inside, parts_inside, read_bytes

# --- table ---
# What is in a file, whatever program wrote it.

Row = dict[str, str]  # `key_of` a column to a stripped cell
ABSENT = frozenset({"", "nan", "none", "null", "na", "n/a", "#n/a"})
SEPARATORS = (",", ";", "\t", "|")
TEXT_TABLES = (".csv", ".tsv", ".tab")
SHEETS = (".xlsx", ".xlsm")  # read with openpyxl
OLD_SHEETS = (".xls", ".ods", ".numbers")
_SAMPLE = 50  # lines that tell the separator
_LONGEST_CELL = 1 << 24  # letters; a report in a cell has some thousands
csv.field_size_limit(_LONGEST_CELL)  # the module's own is 131,072


@dataclass(frozen=True, slots=True)
class FilmTable:
    """A table that was read."""

    path: Path
    columns: tuple[str, ...]  # as they are written
    rows: tuple[Row, ...]  # those that are not blank

    @property
    def keys(self) -> frozenset[str]:
        """The columns by `key_of`."""
        return frozenset(map(key_of, self.columns))

    def name_of(self, key: str) -> str:
        """Return a column as it is written."""
        return next((name for name in self.columns if key_of(name) == key), key)


def key_of(name: str) -> str:
    """Return a name without capitals, spaces and signs: `Image Index`, `image_index` and `ImageIndex` are one."""
    return re.sub(r"[\W_]+", "", name.casefold())


def is_table(path: Path) -> bool:
    """Say whether a file's name is that of a table."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((*TEXT_TABLES, *SHEETS, *OLD_SHEETS))


def read_table(path: Path) -> FilmTable:
    """Read a table.

    Raises:
        DataError: it is damaged, empty, or a spreadsheet of a kind that is not read.
        SetupError: it is an .xlsx, and openpyxl is not installed.
    """
    if path.name.lower().endswith(OLD_SHEETS):
        why = "spreadsheets are read as .xlsx, tables as text"
        raise DataError(f"{path.name} cannot be read", why=why, fix="save it as CSV (UTF-8) or .xlsx")
    lines = _sheet_rows(path) if path.name.lower().endswith(SHEETS) else _text_rows(path)
    header, *others = [row for row in lines if any(cell.strip() for cell in row)] or [[]]
    columns = tuple(name.strip() for name in header)
    keys = [key_of(name) for name in columns]
    rows = (_row(keys, row) for row in others)
    return FilmTable(path, columns, tuple(row for row in rows if any(row.values())))


def _row(keys: Sequence[str], cells: Sequence[str]) -> Row:
    row: Row = dict.fromkeys(keys, "")
    for key, cell in zip(keys, cells, strict=False):
        value = cell.strip()
        if not row[key] and value.lower() not in ABSENT:
            row[key] = value
    return row


def _text_rows(path: Path) -> list[list[str]]:
    try:
        data = read_bytes(path)
    except FilmError as error:
        raise DataError(f"{path.name} cannot be read", why=error.why, fix=error.fix) from error
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            fix = "download it again"
            raise DataError(f"{path.name} is damaged", why=f"it cannot be unpacked: {error}", fix=fix) from error
    text = decode_text(data)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r'"?sep=(.)"?', first.strip(), re.IGNORECASE)  # Excel's own first line
    text, separator = (rest, told[1]) if told else (text, find_separator(text))
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path.name} cannot be read", why=str(error), fix="save it again as CSV (UTF-8)") from error


def decode_text(data: bytes) -> str:
    """Return text of any usual encoding: by its byte-order mark, by its zero bytes, UTF-8, or else Windows' own."""
    marks = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
    for mark, encoding in (*marks, (codecs.BOM_UTF8, "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    head = data[:2000]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # plain letters have their zero byte second or first
        if len(head) > 8 and head[first::2].count(0) > 0.7 * (len(head) // 2):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace") if _is_windows(data) else data.decode("latin-1")


def _is_windows(data: bytes) -> bool:
    return not any(byte in data for byte in b"\x81\x8d\x8f\x90\x9d")  # that have no letter there


def find_separator(text: str) -> str:
    """Return the sign that cuts the first lines into the most columns, as many in each line."""

    def score(separator: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=separator) if row]
        except csv.Error:
            return 0.0, 0
        width = len(rows[0]) if rows else 0
        alike = sum(len(row) == width for row in rows) / max(1, len(rows))
        return (alike if width > 1 else 0.0, width)

    sample = "\n".join(text.splitlines()[:_SAMPLE])
    return max(SEPARATORS, key=score)


def _sheet_rows(path: Path) -> list[list[str]]:
    try:
        import openpyxl
    except ImportError as error:
        raise SetupError(
            f"{path.name} is a spreadsheet, and openpyxl is not installed",
            why="tables are read as text; .xlsx needs that package",
            fix="pip install 'openpyxl>=3.1', or save the table as CSV (UTF-8)",
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(read_bytes(path)), read_only=True, data_only=True)
        for sheet in book.worksheets:
            rows = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
            if sum(any(row) for row in rows) > 1:
                return rows
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise DataError(f"{path.name} is damaged", why=why, fix="save it again, or as CSV (UTF-8)") from error
    return []


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def tables_of(tree: FilmTree) -> list[Path]:
    """Return the tables of a folder, those that stand highest first."""
    found = (path for path in tree.others if is_table(path) and not tree.is_system(path))
    return sorted(found, key=lambda path: (len(path.parts), path))


# --- films by name ---
# Which film a cell means: with or without folders and suffix, with the slashes of either kind.


class NamedFilms:
    """The films of a folder, found by the ends of their paths."""

    def __init__(self, root: Path, films: Iterable[Path]) -> None:
        self.root = root
        self._paths = [(path, [part.casefold() for part in parts_inside(path, root)]) for path in films]
        self._ends: dict[tuple[int, bool], dict[str, list[Path]]] = {}

    def resolve(self, cells: Iterable[str], table: Path) -> dict[str, Path]:
        r"""Return the film of each cell that names one.

        A name alone means the film of this name, wherever it is. A path means the film whose path ends alike; where
        folders that all cells share are not here (`C:\exports\a.png`), they do not count, and where others are not,
        the name counts if no other cell has it.

        Raises:
            DataError: a cell means several films.
        """
        unlike = dict.fromkeys(cells)
        split = [parts for cell in unlike if (parts := parts_of_cell(cell))]
        named = Counter(stem_of_name(parts[-1]) for parts in split)
        shared = sum(
            1
            for _ in takewhile(lambda level: len(set(level)) == 1, zip(*(parts[:-1] for parts in split), strict=False))
        )
        found: dict[str, Path] = {}
        several: list[str] = []
        for cell in unlike:
            parts = parts_of_cell(cell)
            paths = self._find(parts, shared, by_name=bool(parts) and named[stem_of_name(parts[-1])] == 1)
            if len(paths) == 1:
                found[cell] = paths[0]
            elif paths:
                names = (name_inside(path, self.root) for path in paths[:2])
                several.append(f"{cell} ({' and '.join(names)})")
        if several:
            raise DataError(
                f"{table.name} names {len(several)} films that are there more than once: {some(several, 2)}",
                why="a name without its folder means two films",
                fix="write the path inside the folder instead of the name, or remove the copies",
            )
        return found

    def _find(self, parts: list[str], shared: int, *, by_name: bool) -> list[Path]:
        for start in range(len(parts)):
            folders, name = parts[start:-1], parts[-1]
            for stems, last in ((False, name), (True, name), (True, stem_of_name(name))):
                paths = self._ending(len(parts) - start, stems=stems).get("/".join([*folders, last]), [])
                exact = [path for path in paths if len(parts_inside(path, self.root)) == len(parts) - start]
                if exact or (paths and (start <= shared or by_name)):
                    return exact or paths
        return []

    def _ending(self, count: int, *, stems: bool) -> dict[str, list[Path]]:
        """Return the films by the last `count` parts of their paths."""
        key = (count, stems)
        if key not in self._ends:
            ends: dict[str, list[Path]] = defaultdict(list)
            for path, parts in self._paths:
                if len(parts) >= count:
                    last = stem_of_name(parts[-1]) if stems else parts[-1]
                    ends["/".join([*parts[len(parts) - count : -1], last])].append(path)
            self._ends[key] = ends
        return self._ends[key]


def parts_of_cell(cell: str) -> list[str]:
    """Return the folders and the name that a cell writes, in small letters."""
    return [part.casefold() for part in re.split(r"[\\/]+", cell.strip()) if part not in ("", ".")]


_SUFFIX = re.compile(r"\.(png|jpe?g|dcm|dicom|tiff?|bmp)$", re.IGNORECASE)
_SHEET_NUMBER = re.compile(r"(\d+)\.0")  # 1000.0: what spreadsheets make of 1000


def stem_of_name(name: str) -> str:
    """Return a name without the suffix of a picture: `1.2.840.113` keeps its dots."""
    number = _SHEET_NUMBER.fullmatch(name)
    return number[1] if number else _SUFFIX.sub("", name)
