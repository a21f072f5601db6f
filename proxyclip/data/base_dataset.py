"""Base class of the benchmark data sets: file listing, errors and legal labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from mmseg import datasets as mm

from proxyclip.data.files.errors import FileIssue, summarize_issues
from proxyclip.data.files.label_counts import LabelContext
from proxyclip.data.files.labels import LabelFormat
from proxyclip.data.files.layout import DatasetLayout, SampleFiles, find_samples
from proxyclip.data.splits import CUSTOM_SPLIT_HINT, resolve_unseen_ids


class BenchmarkDataset(mm.BaseSegDataset):
    """Data set on disk: images, label maps, and perhaps a list of names.

    A new data set is a subclass, a config, a vocabulary and a script; a subclass sets what differs of these attributes:

    - `METAINFO`: `classes` and `palette`, in label order.
    - `defaults`: arguments of BaseSegDataset, overridden by those of the config.
    - `source`: a sentence for error messages, where the data come from.
    - `counts`: number of images of each split with a fixed one, by the name of the split.
    - `marks`: values of the files that are not scored, besides 0 with reduce_zero_label; None: ignore_index alone.
    - `without_labels`: names of images that are known to lack a label map.
    - `unseen_classes`: names of the usual zero-shot split; None where there is none.
    - `has_known_labels`: False where only the user knows what 0 means in the label maps.
    - `generated`: True if the class makes its data where they are missing.

    Derived from them and from the config are the properties `split`, `expected_images`, `layout`, `label_format` and
    `label_context`.
    `ignore_index` is part of the metainfo and, with the label format, of every sample: loader, metric and pictures use
    those. `test_mode` is on by default; an unreadable image is an error, never replaced by another one.

    Args:
        ann_file, data_root, kwargs: as in BaseSegDataset; `ignore_index` and `reduce_zero_label` may be None, the
            default, which is not the same as stating it: what is stated is not asked.
        zero_shot: add `unseen`, the ids of the classes of `unseen_classes` after zero-label reduction, to the metainfo
            and every sample. `metainfo=dict(unseen=[...])`, names or ids, does so with another split.

    Raises:
        FileNotFoundError: a folder, the list, or files of the list do not exist, or there is no image.
        ValueError: the list has a name twice, two images have one name, or the zero-shot split is not possible.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    source: ClassVar[str] = ""
    counts: ClassVar[Mapping[str, int]] = {}
    marks: tuple[int, ...] | None = None
    without_labels: ClassVar[frozenset[str]] = frozenset()
    unseen_classes: ClassVar[tuple[str, ...] | None] = None
    has_known_labels: bool = True
    generated: ClassVar[bool] = False

    def __init__(self, ann_file: str = "", data_root: str | None = None, zero_shot: bool = False, **kwargs: Any):
        if zero_shot:
            metainfo = dict(kwargs.get("metainfo") or {})
            if metainfo.get("unseen") is None:
                if self.unseen_classes is None:
                    reason = "has no usual zero-shot split, so zero_shot=True fails"
                    raise ValueError(f"{type(self).__name__} {reason}: {CUSTOM_SPLIT_HINT}")
                metainfo["unseen"] = self.unseen_classes
            kwargs["metainfo"] = metainfo
        if data_root is not None and str(data_root).startswith("~"):
            data_root = str(Path(data_root).expanduser())
        options = ("ignore_index", "reduce_zero_label")
        kwargs = {name: value for name, value in kwargs.items() if name not in options or value is not None}
        self.stated_options = frozenset(options) & kwargs.keys()
        if "ignore_index" in kwargs:
            self.marks = None  # those of the user's files
        super().__init__(ann_file, data_root=data_root, **{"test_mode": True, **self.defaults, **kwargs})
        self._metainfo["ignore_index"] = self.ignore_index
        unseen = self._metainfo.pop("unseen", None)
        if unseen is not None:
            self._metainfo["unseen"] = resolve_unseen_ids(unseen, self._metainfo["classes"])
        if self.label_map and len(self._metainfo["classes"]) > 255:  # 255 marks classes left out
            raise ValueError(f"Expected at most 255 chosen classes, but got {len(self._metainfo['classes'])}")

    @property
    def layout(self) -> DatasetLayout:
        """Folders, list and suffixes of the files."""
        images, labels = (self.data_prefix.get(key) for key in ("img_path", "seg_map_path"))
        listed = Path(self.ann_file) if self.ann_file and not Path(self.ann_file).is_dir() else None
        folders = Path(images or self.data_root or "."), None if labels is None else Path(labels)
        return DatasetLayout(*folders, listed, self.img_suffix, self.seg_map_suffix, self.without_labels)

    @property
    def label_format(self) -> LabelFormat:
        """Legal values of the label maps."""
        classes = len(self.label_map or self._metainfo.get("classes") or ()) or None
        return LabelFormat(classes, self.ignore_index, self.reduce_zero_label, self.marks)

    @property
    def label_context(self) -> LabelContext:
        """Facts that the labels of the whole set are checked with."""
        classes = self.METAINFO["classes"] if self.label_map else self._metainfo["classes"]
        stated = self.stated_options | ({"reduce_zero_label"} if self.has_known_labels else set())
        return LabelContext(str(self.layout.labels), tuple(classes), self.label_format, stated)

    @property
    def image_options(self) -> dict[str, Any]:
        """Options `stretch` and `max_megapixels` of the loader in the pipeline."""
        loader = next((step for step in self.pipeline.transforms if hasattr(step, "max_megapixels")), None)
        return {name: getattr(loader, name, None) for name in ("stretch", "max_megapixels")} if loader else {}

    @property
    def split(self) -> str:
        """Name of the list without suffix, or of the folder of images."""
        layout = self.layout
        return layout.names.stem if layout.names else layout.images.name

    @property
    def expected_images(self) -> int | None:
        """Known number of images of the split; None if it is not fixed."""
        return self.counts.get(self.split)

    def list_samples(self) -> tuple[list[SampleFiles], list[FileIssue]]:
        """Samples on disk, and the issues of their file names; no image is read."""
        if self.data_root and not Path(self.data_root).is_dir():
            return [], [FileIssue("missing place", str(self.data_root), "the data folder does not exist")]
        return find_samples(self.layout)

    def load_data_list(self) -> list[dict]:
        """List the samples, each with existing files."""
        if self.backend_args is not None:
            return super().load_data_list()  # not on this file system
        pairs, problems = self.list_samples()
        errors = [problem for problem in problems if problem.level == "error"]
        if errors:
            raise self._listing_error(errors)
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        return [
            {"img_path": str(pair.image), **common, "seg_fields": []}
            | ({} if pair.label is None else {"seg_map_path": str(pair.label)})
            for pair in pairs
        ]

    def get_data_info(self, idx: int) -> dict:
        """Files of a sample and its legal labels."""
        labels = self.label_format
        info = super().get_data_info(idx) | {"num_classes": labels.classes, "ignore_index": labels.ignore}
        return info | {"ignored_values": labels.marks} | {k: v for k, v in self._metainfo.items() if k == "unseen"}

    def prepare_data(self, idx: int) -> Any:
        """Run a sample through the pipeline; errors without its file name get it."""
        try:
            return super().prepare_data(idx)
        except Exception as error:
            info = self.get_data_info(idx)
            files = [str(info[key]) for key in ("img_path", "seg_map_path") if key in info]
            if any(name in str(error) for name in files):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RuntimeError(f"{files[0]} does not go through the pipeline: {reason}") from error

    def _listing_error(self, errors: list[FileIssue]) -> Exception:
        message = f"{type(self).__name__}: {'. '.join(summarize_issues(errors))}."
        if any("lies there" in problem.remedy for problem in errors):
            return FileNotFoundError(message)  # the data are where they should be
        if not any(problem.kind.startswith(("missing", "no image")) for problem in errors):
            return ValueError(message)
        advice = "Say where the data are with --data-root DIR or DATA_ROOT=DIR; docs/datasets.md shows the folders."
        return FileNotFoundError(f"{message} {self.source} {advice}")
