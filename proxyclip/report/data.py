"""Records as the report shows them: names, numbers and marks, whatever keys a record of an older schema lacks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from proxyclip import results
from proxyclip.results import columns, published

METRICS = ("mIoU", "aAcc", "mAcc", "mIoU_gt", "fwIoU", *columns.ZERO_SHOT)


class ClassRow(NamedTuple):
    """One class of a run: percent, labelled pixels, and their share of all labelled pixels in percent; and whether a
    zero-shot split has it as unseen."""

    number: int
    name: str
    iou: float | None
    acc: float | None
    pixels: int | None
    share: float | None
    unseen: bool = False


def dig(record: Any, where: str, default: Any = None) -> Any:
    """The value at a dotted path of nested mappings; `default` where a key is absent or the value is None."""
    for key in where.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return default if record is None else record


def number(value: Any) -> float | None:
    """A finite float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True)
class Run:
    """One record. `anchor` is its id in the page."""

    record: Mapping[str, Any]
    anchor: str = "run"

    @cached_property
    def id(self) -> str:
        return str(self.record.get("identity"))

    @cached_property
    def config(self) -> str:
        return str(dig(self.record, "config_name") or dig(self.record, "dataset.type", "unknown"))

    @cached_property
    def dataset(self) -> str:
        """The config's name without its folder and `cfg_`: what runs of all methods on a data set share."""
        return self.config.rsplit("/", 1)[-1].removeprefix("cfg_")

    @cached_property
    def method(self) -> str:
        return str(dig(self.record, "method") or dig(self.record, "arguments.attention", "-"))

    @cached_property
    def clip(self) -> str:
        name = str(dig(self.record, "arguments.model_type", "-"))
        if name.startswith("local-dir:"):
            name = f"{name.rstrip('/').rsplit('/', 1)[-1].removeprefix('local-dir:')} (local)"
        return " ".join(filter(None, [name, str(dig(self.record, "arguments.clip_type", ""))]))

    @cached_property
    def vfm(self) -> str:
        return columns.vfm(self.record)

    @cached_property
    def label(self) -> str:
        return " · ".join([self.method, *([] if self.vfm == "none" else [self.vfm]), self.clip])

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        return {name: number(dig(self.record, f"metrics.{name}")) for name in METRICS}

    @cached_property
    def miou(self) -> float | None:
        return self.metrics["mIoU"]

    @property
    def zero_shot(self) -> bool:
        """Whether the run has means over seen and unseen classes."""
        return any(self.metrics[name] is not None for name in columns.ZERO_SHOT)

    @cached_property
    def target(self) -> published.Target | None:
        return published.target_of(self.record)

    @cached_property
    def difference(self) -> float | None:
        """mIoU minus the published one, in points."""
        return None if self.target is None or self.miou is None else self.miou - self.target.value

    @cached_property
    def origin(self) -> str:
        """Where the published number is from, and whether its protocol is that of the run."""
        return columns.origin(self.record) or ""

    @cached_property
    def speed(self) -> float | None:
        return number(self.record.get("images_per_second"))

    @cached_property
    def precision(self) -> str:
        return str(dig(self.record, "precision", "–"))

    @cached_property
    def classes_in(self) -> tuple[int | None, int | None]:
        """How many classes the means of mIoU and of mIoU_gt are over."""
        return dig(self.record, "classes_in.mIoU"), dig(self.record, "classes_in.mIoU_gt")

    @cached_property
    def images(self) -> int | None:
        count = number(dig(self.record, "dataset.images"))
        return None if count is None else int(count)

    @cached_property
    def left_out(self) -> list[tuple[str, str]]:
        """(file, why) of the images that were left out."""
        found = [one for one in dig(self.record, "left_out", []) if isinstance(one, Mapping)]
        return [(str(one.get("file", "-")), str(one.get("why", "-"))) for one in found]

    @property
    def whole(self) -> bool:
        """Whether the number is of the whole data set by the rule of all other runs."""
        other_rule = dig(self.record, "scoring", "correct") != "correct"
        return not (self.record.get("partial") or self.left_out or other_rule)

    @cached_property
    def classes(self) -> list[ClassRow]:
        rows = [one for one in dig(self.record, "per_class", []) if isinstance(one, Mapping)]
        pixels = [number(one.get("pixels")) for one in rows]
        total = sum(p for p in pixels if p is not None)
        return [
            ClassRow(
                i,
                str(one.get("name", f"class {i}")),
                number(one.get("iou")),
                number(one.get("acc")),
                None if p is None else int(p),
                100 * p / total if p is not None and total else None,
                one.get("unseen") is True,
            )
            for i, (one, p) in enumerate(zip(rows, pixels, strict=True))
        ]

    @cached_property
    def names(self) -> list[str]:
        names = [row.name for row in self.classes] or dig(self.record, "vocabulary.names", [])
        return [str(name) for name in names] if isinstance(names, list) else []

    def name(self, index: int) -> str:
        """The name of a class, or its number where the record has no names."""
        return self.names[index] if 0 <= index < len(self.names) else f"class {index}"

    @cached_property
    def confusion(self) -> np.ndarray | None:
        """(K, K) int64, rows are labels; None where the record has none."""
        try:
            matrix = results.confusion(self.record)
        except (KeyError, TypeError, IndexError, ValueError):
            return None
        return matrix if matrix.sum() else None

    @cached_property
    def per_image(self) -> dict[str, tuple[float | None, float | None]]:
        """File -> (mIoU, aAcc) in percent, in the order of the data set."""
        found = [dig(self.record, f"per_image.{name}", []) for name in ("file", "mIoU", "aAcc")]
        blank = [None] * len(found[0])
        columns = [part if len(part) == len(blank) else blank for part in found[1:]]
        return {str(f): (number(m), number(a)) for f, m, a in zip(found[0], *columns, strict=True)}

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for runs on the same images and classes: their numbers may be compared one by one."""
        images = dig(self.record, "dataset.list_sha256") or (dig(self.record, "dataset.type"), self.images)
        return self.dataset, images, tuple(self.names)


def views(records: Sequence[Mapping[str, Any]]) -> list[Run]:
    """The runs of records, by data set, best mIoU first; each with an anchor of its own."""
    runs, taken = [], set()
    for record in records:
        anchor = base = "run-" + re.sub(r"[^\w-]", "-", str(record.get("identity")), flags=re.ASCII)
        copies = 1
        while anchor in taken:
            copies += 1
            anchor = f"{base}-{copies}"
        taken.add(anchor)
        runs.append(Run(record, anchor))
    return sorted(runs, key=lambda run: (run.dataset, -(-1 if run.miou is None else run.miou), run.id))
