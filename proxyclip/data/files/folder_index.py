"""Files of folders by name, however its letters are stored, and what lies in the place of a missing one."""

import re
from pathlib import Path

from proxyclip.utils.paths import is_hidden, normalize_file_name

UNREADABLE_SUFFIXES = (".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".psd", ".svg", ".pdf")
# What a file of the right name and another ending is, and what to do about it.
FORMAT_REMEDIES = {
    ".json": "polygons of a labeling tool: export label maps from it, one channel of class indices",
    ".xml": "annotations of a labeling tool: export label maps from it, one channel of class indices",
    ".txt": "a text, such as YOLO's polygons: export label maps, one channel of class indices",
    ".npy": "an array of NumPy: save it as PNG, or as TIFF above 255 classes",
    ".npz": "an archive of NumPy: save its map as PNG, or as TIFF above 255 classes",
    ".mat": "an array of MATLAB: save it as PNG, or as TIFF above 255 classes",
    ".gif": "a GIF: save it as PNG",
}


class FolderIndex:
    """Files of folders by the names that a person takes for one; each is listed once."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}
        self._starts: dict[Path, dict[str, list[str]]] = {}
        self.explained: set[Path] = set()  # files that explain another's absence

    def list_folder(self, folder: Path) -> dict[str, str]:
        """Map the normalized names of the files in a folder to their own."""
        if folder not in self._names:
            names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
            self._names[folder] = {normalize_file_name(name): name for name in names if not is_hidden(name)}
        return self._names[folder]

    def find(self, path: Path, suffixes: tuple[str, ...]) -> Path | None:
        """Find the first of `path` + suffix that is a file, or None."""
        names = self.list_folder(path.parent)
        matches = (names.get(normalize_file_name(path.name + suffix)) for suffix in suffixes)
        name = next(filter(None, matches), None)
        return path.parent / name if name else None

    def _list_starts(self, folder: Path) -> dict[str, list[str]]:
        """Map what stands before a `_`, `-` or `.` in the normalized names of a folder to those names."""
        if folder not in self._starts:
            starts: dict[str, list[str]] = {}
            for key in self.list_folder(folder):
                for match in re.finditer("[-_.]", key):
                    starts.setdefault(key[: match.start()], []).append(key)
            self._starts[folder] = starts
        return self._starts[folder]

    def explain(self, path: Path, option: str, readable: tuple[str, ...]) -> str | None:
        """Explain a missing file by one of its name with another ending, or return None.

        Args:
            path: without suffix.
            option: of the data set, that sets the ending.
            readable: endings of files that can be read.
        """
        stem = normalize_file_name(path.name + ".x")[:-2]
        names = self.list_folder(path.parent)
        for key in self._list_starts(path.parent).get(stem, ()):
            name, ending = names[key], key.removeprefix(stem)
            suffix = Path(key).suffix
            if suffix in readable:
                remedy = f": set test_dataloader.dataset.{option}={ending}"
            elif suffix in FORMAT_REMEDIES:
                remedy = f", {FORMAT_REMEDIES[suffix]}"
            elif suffix in UNREADABLE_SUFFIXES:
                remedy = ", which cannot be read: convert it to PNG or JPEG"
            else:
                continue
            self.explained.add(path.parent / name)
            return f"{name} lies there{remedy}"
        return None
