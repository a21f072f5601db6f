"""File issues, and the exceptions that carry them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileIssue:
    """Issue of one file: `kind` groups it with similar ones, `remedy` is for the user.

    `level` is 'error' (the number would be wrong, or there would be none) or 'note'.
    """

    kind: str
    file: str
    text: str
    remedy: str = ""
    level: str = "error"

    def __str__(self) -> str:
        return f"{self.file}: {self.text}{f'; {self.remedy}' if self.remedy else ''}"


class UnusableFile(Exception):
    """A file that cannot be used; `problem` has the parts of the message."""

    def __init__(self, problem: FileIssue) -> None:
        super().__init__(str(problem))
        self.problem = problem


class CorruptFile(UnusableFile, OSError):
    """A file that cannot be read to its end."""


class InvalidFile(UnusableFile, ValueError):
    """A file that can be read but is not what it should be."""


def summarize_issues(issues: Iterable[FileIssue]) -> list[str]:
    """Format the first issue of each kind, with the number of the others."""
    kinds: dict[str, list[FileIssue]] = {}
    for issue in issues:
        kinds.setdefault(issue.kind, []).append(issue)
    more = (f" (and {len(group) - 1} more like it)" if len(group) > 1 else "" for group in kinds.values())
    return [f"{group[0]}{text}" for group, text in zip(kinds.values(), more, strict=True)]
