"""The test loop that survives: it saves what it has counted, goes on after a break, and can leave images out."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import TestLoop, autocast

from proxyclip.data.metric import SegMetric
from proxyclip.journal import Counts, Journal
from proxyclip.samples import LoaderDied, Samples


class NothingLeft(ValueError):
    """All images were left out."""


class ResumableLoop(TestLoop):
    """MMEngine's TestLoop with a journal of counts, if the metric is one SegMetric that scores.

    Batches are cut from the data set in its order, whatever the number of processes, so neither that number nor an
    interruption changes what shares a forward. Processes take turns; no image is padded in.

    After `run` (in process 0): `counts` of every image by its index, and `left_out`, (index, why) of the others.
    """

    journal: Journal  # set before `run`; without it nothing is saved
    skip_bad = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_size = self.dataloader.batch_size or 1
        self.images = len(self.dataloader.dataset)
        self.known: dict[int, Counts] = {}  # counted by earlier evaluations; in process 0 alone
        self.before = 0  # how many they are
        self.counts: dict[int, Counts] = {}
        self.left_out: list[tuple[int, str]] = []

    def obstacle(self) -> str | None:
        """Why this evaluation cannot be saved and resumed, or None."""
        metrics = self.evaluator.metrics
        if len(metrics) != 1 or not isinstance(metrics[0], SegMetric) or metrics[0].format_only:
            return "its test_evaluator is not one SegMetric that scores"
        if not hasattr(self.dataloader.dataset, "get_data_info"):
            return f"{type(self.dataloader.dataset).__name__} does not say the files of its images"
        if type(self.dataloader.sampler).__name__ != "DefaultSampler":
            return f"its sampler is a {type(self.dataloader.sampler).__name__}"
        return None

    def run(self) -> dict:
        """Evaluate what the journal lacks, and return the metrics of all."""
        if self.obstacle() is not None or not hasattr(self, "journal"):
            return super().run()
        todo = self._todo()
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        self.runner.model.eval()
        self._samples = Samples(self.dataloader, todo, self.skip_bad)
        try:
            for number, (indices, batch, bad) in enumerate(self._samples):
                self._leave_out([(one.index, one.why) for one in bad])
                if batch is not None:
                    self._batch(number, indices, batch)
        except BaseException as error:
            self._say_saved(error)
            raise
        self.journal.save()
        self._merge()
        metrics = self._score()
        try:
            self.runner.call_hook("after_test_epoch", metrics=metrics)
        except OSError as error:  # a full disk must not cost the result
            print(f"warning: the log cannot be written ({error})", file=sys.stderr)
        self.runner.call_hook("after_test")
        return metrics

    def _todo(self) -> list[list[int]]:
        """The batches of this process that are not wholly counted yet."""
        shared: list[Any] = [None]
        if get_rank() == 0:
            self.known = self.journal.load()
            shared = [set(self.known)]
        if get_world_size() > 1:
            dist.broadcast_object_list(shared)
        self.before = len(shared[0])
        starts = range(0, self.images, self.batch_size)
        batches = [list(range(start, min(start + self.batch_size, self.images))) for start in starts]
        return [batch for batch in batches if not shared[0].issuperset(batch)][get_rank() :: get_world_size()]

    @torch.no_grad()
    def _batch(self, number: int, indices: list[int], batch: Any) -> None:
        self.runner.call_hook("before_test_iter", batch_idx=number, data_batch=batch)
        with autocast(enabled=self.fp16):
            outputs = self.runner.model.test_step(batch)
        metric, counts = self.evaluator.metrics[0], {}
        for index, sample in zip(indices, outputs, strict=True):
            try:
                self.evaluator.process(data_samples=[sample], data_batch=batch)
            except ValueError as error:  # labels that do not belong to the image
                if not self.skip_bad:
                    self._samples.at_fault = True
                    raise
                self._leave_out([(index, str(error))])
            else:
                counts[index] = metric.results.pop()
        self.journal.add(counts)
        self.runner.call_hook("after_test_iter", batch_idx=number, data_batch=batch, outputs=outputs)

    def _leave_out(self, bad: list[tuple[int, str]]) -> None:
        for index, why in bad:
            print(f"left out: {self.file(index)}: {why}", file=sys.stderr, flush=True)
        self.left_out += bad

    def file(self, index: int) -> str:
        """The image file of a sample."""
        return str(self.dataloader.dataset.get_data_info(index).get("img_path", f"image {index}"))

    def _say_saved(self, error: BaseException) -> None:
        """After a failure or an interruption: save, and say how far one has come."""
        try:
            saved = self.journal.save()
        except RuntimeError:  # torch's signal handler tells of a dead loader process just now; it does so once
            saved = self.journal.save()
        if not saved or get_rank() != 0:
            return
        count = len(set(self.known) | set(self.journal.counts))
        by = " by process 0" if get_world_size() > 1 else ""
        said = f"{count} of {self.images} images are scored{by} and saved; the same command goes on after them"
        if self._samples.at_fault and isinstance(error, Exception) and not isinstance(error, LoaderDied):
            said += ", with --skip-bad past files that cannot be read"
        print(said, file=sys.stderr, flush=True)

    def _merge(self) -> None:
        """Bring the counts of all processes to process 0."""
        mine = (self.journal.counts, self.left_out)
        gathered: list[Any] | None = [mine]
        if get_world_size() > 1:
            gathered = [None] * get_world_size() if get_rank() == 0 else None
            dist.gather_object(mine, gathered)
        self.counts, self.left_out = dict(self.known), []
        for counts, left_out in gathered or []:
            self.counts.update(counts)
            self.left_out += left_out
        self.counts = dict(sorted(self.counts.items()))
        self.left_out = sorted(one for one in self.left_out if one[0] not in self.counts)

    def _score(self) -> dict:
        shared: list[Any] = [None]
        if get_rank() == 0:
            if not self.counts:
                index, why = self.left_out[0]
                raise NothingLeft(f"None of {self.images} images can be scored; the first: {self.file(index)}: {why}")
            shared = [self.evaluator.metrics[0].score(list(self.counts.values()))]
        if get_world_size() > 1:
            dist.broadcast_object_list(shared)
        return shared[0]
