"""Resumable test loop: saves the counts of each image and can leave images out."""

import sys
from typing import Any

import torch
from mmengine.dist import gather_object, get_rank, get_world_size
from mmengine.runner import TestLoop, autocast

from proxyclip.engine.evaluation.loader import EMPTY_DATASET_MESSAGE, BatchLoader, DataLoaderDied
from proxyclip.engine.evaluation.metrics import PairCounts, SegMetric
from proxyclip.engine.evaluation.resume import Journal
from proxyclip.utils.distributed import broadcast_from_rank_zero


class NoScoredImages(ValueError):
    """Evaluation of which all images were left out."""


class ResumableLoop(TestLoop):
    """MMEngine's TestLoop with a journal of counts.

    Batches are cut from the data set in its order, whatever the number of processes, so neither that number nor an
    interruption changes what shares a forward. Processes take turns; no image is padded in.

    After `run` (in process 0): `counts` of every image by its index, and `left_out`, (index, reason) of the others.
    """

    journal: Journal  # set before `run`; without it nothing is saved
    skip_bad = False
    explains_unused = True  # print why counts of an earlier run are not used
    command = "the same command"  # that goes on after an interruption

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_size = self.dataloader.batch_size or 1
        self.images = len(self.dataloader.dataset)
        if not self.images:
            raise ValueError(EMPTY_DATASET_MESSAGE)
        self.saved_counts: dict[int, PairCounts] = {}  # of earlier evaluations; in process 0 alone
        self.resumed_images = 0  # number of images counted by them
        self.counts: dict[int, PairCounts] = {}
        self.left_out: list[tuple[int, str]] = []

    def find_obstacle(self) -> str | None:
        """Return the reason why this evaluation cannot be saved and resumed, or None."""
        metrics = self.evaluator.metrics
        if len(metrics) != 1 or not isinstance(metrics[0], SegMetric) or metrics[0].format_only:
            return "its test_evaluator is not one SegMetric that scores"
        if not hasattr(self.dataloader.dataset, "get_data_info"):
            return f"{type(self.dataloader.dataset).__name__} does not say the files of its images"
        if type(self.dataloader.sampler).__name__ != "DefaultSampler":
            return f"its sampler is a {type(self.dataloader.sampler).__name__}"
        return None

    def run(self) -> dict:
        """Evaluate the images that the journal lacks, and return the metrics of all."""
        if self.find_obstacle() is not None or not hasattr(self, "journal"):
            return super().run()
        batches = self._remaining_batches()
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        self.runner.model.eval()
        self._samples = BatchLoader(self.dataloader, batches, self.skip_bad)
        try:
            for batch_idx, (indices, batch, unreadable) in enumerate(self._samples):
                self._leave_out([(sample.index, sample.reason) for sample in unreadable])
                if batch is not None:
                    self._run_batch(batch_idx, indices, batch)
        except BaseException as error:
            self._save_after_failure(error)
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

    def _remaining_batches(self) -> list[list[int]]:
        """List the image indices of the batches that this process has to count."""
        if get_rank() == 0:
            self.saved_counts = self.journal.load()
            asks = self.explains_unused and not self.saved_counts
            if asks and (reason := self.journal.explain_unused()) is not None:
                print(reason, flush=True)
        counted = broadcast_from_rank_zero(lambda: set(self.saved_counts))
        self.resumed_images = len(counted)
        starts = range(0, self.images, self.batch_size)
        batches = [list(range(start, min(start + self.batch_size, self.images))) for start in starts]
        return [batch for batch in batches if not counted.issuperset(batch)][get_rank() :: get_world_size()]

    @torch.no_grad()
    def _run_batch(self, batch_idx: int, indices: list[int], batch: Any) -> None:
        self.runner.call_hook("before_test_iter", batch_idx=batch_idx, data_batch=batch)
        with autocast(enabled=self.fp16):
            outputs = self.runner.model.test_step(batch)
        metric = self.evaluator.metrics[0]
        counts = {}
        for index, sample in zip(indices, outputs, strict=True):
            try:
                self.evaluator.process(data_samples=[sample], data_batch=batch)
            except ValueError as error:  # labels that do not belong to the image
                if not self.skip_bad:
                    self._samples.failed_on_data = True
                    raise
                self._leave_out([(index, str(error))])
            else:
                counts[index] = metric.results.pop()
        self.journal.add(counts)
        self.runner.call_hook("after_test_iter", batch_idx=batch_idx, data_batch=batch, outputs=outputs)

    def _leave_out(self, images: list[tuple[int, str]]) -> None:
        for index, reason in images:
            file = self.image_file(index)
            text = reason.removeprefix(f"{file}: ")  # most reasons name it
            print(f"left out: {file}: {text}", file=sys.stderr, flush=True)
        self.left_out += images

    def image_file(self, index: int) -> str:
        """Return the path of the image file of a sample."""
        return str(self.dataloader.dataset.get_data_info(index).get("img_path", f"image {index}"))

    def _save_after_failure(self, error: BaseException) -> None:
        """Save after a failure or an interruption, and print the number of scored images."""
        try:
            saved = self.journal.save()
        except RuntimeError:  # torch's signal handler reports a dead loader process just now; it does so once
            saved = self.journal.save()
        if not saved or get_rank() != 0:
            return
        count = len(self.saved_counts.keys() | self.journal.counts.keys())
        owner = " by process 0" if get_world_size() > 1 else ""
        message = f"{count} of {self.images} images are scored{owner} and saved; {self.command} goes on after them"
        if self._samples.failed_on_data and isinstance(error, Exception) and not isinstance(error, DataLoaderDied):
            message += ", with --skip-bad past files that cannot be read"
        print(message, file=sys.stderr, flush=True)

    def _merge(self) -> None:
        """Merge the counts of all processes in process 0."""
        gathered = gather_object((self.journal.counts, self.left_out)) or []
        counts = self.saved_counts.copy()
        for own_counts, _ in gathered:
            counts |= own_counts
        self.counts = dict(sorted(counts.items()))
        left_out = [image for _, images in gathered for image in images]
        self.left_out = sorted(image for image in left_out if image[0] not in self.counts)

    def _score(self) -> dict:
        """Compute the metrics in process 0 and return them in all."""

        def score() -> dict:
            if not self.counts:
                index, reason = self.left_out[0]
                file = self.image_file(index)
                raise NoScoredImages(f"None of {self.images} images can be scored; the first: {file}: {reason}")
            return self.evaluator.metrics[0].score(list(self.counts.values()))

        return broadcast_from_rank_zero(score)
