"""Options of eval.py, train.py and eval_all.py."""

import argparse
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxyclip.utils.arguments import declare_option, parse_count, to_command

TINYWORLD_CONFIG = "configs/cfg_tinyworld.py"
DEFAULT_TRAIN_CONFIG = "configs/trained/maskclip_plus/tinyworld_segformer.py"

_LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
_SCORINGS = ("correct", "published")
# titles of groups of arguments
_PARALLEL = "side by side"
_PUBLISHED = "published results"
_SLURM = "batch system"

# fields that several commands have
declare_work_dir = partial(
    declare_option,
    "work_dirs",
    flags=("--work-dir", "--workdir"),
    help="for results.xlsx, records and logs (default: %(default)s)",
)
declare_data_root = partial(
    declare_option, None, metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)"
)
declare_cfg_options = partial(declare_option, (), action="extend", metavar="KEY=VALUE", help="override the config")
declare_device = partial(
    declare_option, "auto", choices=("auto", "cpu", "cuda"), help="auto takes CUDA where there is one"
)
declare_workers = partial(declare_option, None, metavar="N", help="processes that load images (default: the config's)")
declare_debug = partial(declare_option, False, help="show the traceback of an error")


@dataclass(frozen=True)
class EvalOptions:
    """Options of one evaluation: the command line of eval.py."""

    config: str = declare_option(TINYWORLD_CONFIG, help="config file (default: %(default)s)")
    method: str | None = declare_option(
        None, metavar="NAME", help="another method: a name of configs/method, such as naclip, or my/own.py"
    )
    vfm: str | None = declare_option(
        None, metavar="NAME", help="another VFM: dino, dino-s16, sam-b, clip, my/own.py; NAME,MODEL; NAME,FILE; none"
    )
    clip: str | None = declare_option(
        None, metavar="NAME", help="another CLIP: ViT-L-14, ViT-H-14,TAG, ViT-B-16,FILE, local-dir:FOLDER"
    )
    checkpoint: str | None = declare_option(
        None, metavar="FILE", help="the weights of a trained model, as train.py wrote them"
    )
    work_dir: str = declare_work_dir()
    data_root: str | None = declare_data_root()
    cfg_options: tuple[str, ...] = declare_cfg_options()
    limit: int | None = declare_option(
        None, metavar="N", help="evaluate the first N images only; the result is marked as partial"
    )
    show_dir: str | None = declare_option(
        None, metavar="DIR", help="write pictures there: image, ground truth and prediction side by side"
    )
    scoring: str = declare_option(
        "correct",
        choices=_SCORINGS,
        help="published: the ignore handling of the published ADE20K-847 and Context-459 configs, for comparison",
    )
    check: bool = declare_option(True, flags=("--no-check",), help="evaluate even if the data look wrong")
    skip_bad: bool = declare_option(False, help="leave out images that cannot be read; the record names them")
    fresh: bool = declare_option(False, help="start anew instead of going on after an interrupted run")
    save_every: int = declare_option(50, metavar="N", help="save counts every N images (default: %(default)s)")
    gallery: int = declare_option(6, metavar="N", help="keep N best, worst and failed images (default: %(default)s)")
    launcher: str = declare_option("none", choices=_LAUNCHERS, help="see dist_test.sh")
    device: str = declare_device()
    workers: int | None = declare_workers()
    debug: bool = declare_debug()


@dataclass(frozen=True)
class TrainOptions:
    """Options of one training run: the command line of train.py."""

    config: str = declare_option(
        DEFAULT_TRAIN_CONFIG,
        flags=("config",),
        nargs="?",
        metavar="CONFIG",
        help=f"config file (default: {DEFAULT_TRAIN_CONFIG})",
    )
    work_dir: str = declare_work_dir(help="for checkpoints, results, logs (default: %(default)s)")
    data_root: str | None = declare_data_root()
    cfg_options: tuple[str, ...] = declare_cfg_options()
    load_from: str | None = declare_option(
        None, metavar="FILE", help="start from these weights; with --resume: go on after this checkpoint"
    )
    resume: bool = declare_option(
        False, exclusive="start", help="go on after the last checkpoint; from the beginning if there is none"
    )
    fresh: bool = declare_option(
        False, exclusive="start", help="start anew, and delete the checkpoints of an earlier training"
    )
    amp: bool = declare_option(False, help="mixed precision: float16 on CUDA, bfloat16 on a CPU")
    seed: int | None = declare_option(None, metavar="N", help="of all random numbers (default: the config's, or 0)")
    check: bool = declare_option(True, flags=("--no-check",), help="train even if the data look wrong")
    evaluate: bool = declare_option(True, flags=("--no-eval",), help="do not evaluate the last checkpoint")
    launcher: str = declare_option("none", choices=_LAUNCHERS, help="see dist_train.sh")
    device: str = declare_device()
    workers: int | None = declare_workers()
    debug: bool = declare_debug()

    def evaluation(self, checkpoint: Path | str | None = None) -> EvalOptions:
        """Return the options of the evaluation of a checkpoint of this training."""
        shared = ("config", "work_dir", "data_root", "cfg_options", "check", "device", "workers", "launcher", "debug")
        path = None if checkpoint is None else str(checkpoint)
        return EvalOptions(checkpoint=path, **{name: getattr(self, name) for name in shared})

    def command(self, checkpoint: Path | str) -> str:
        """Format the command line of that evaluation."""
        names = ("config", "checkpoint", "work_dir", "data_root", "cfg_options")
        return shlex.join(["python", "eval.py", *to_command(self.evaluation(checkpoint), names)])


def parse_gpus(text: str) -> int | tuple[str, ...]:
    """Parse `--gpus`: a number of processes, or a comma-separated list of GPU names."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if "," in text and names and len(set(names)) == len(names):
        return names
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"expected different GPUs such as 0,1,2,3 (one GPU: '0,'), or a number of processes a cell, but got {text!r}"
    )


@dataclass(frozen=True)
class SweepOptions:
    """Options of a sweep: the command line of eval_all.py."""

    configs: tuple[str, ...] = declare_option(
        (), metavar="CONFIG", help="config files, or folders of cfg_*.py (default: see above; the rest as in eval.py)"
    )
    protocol: tuple[str, ...] = declare_option(
        (),
        metavar="NAME",
        help="all data sets of published protocols: proxyclip, sclip, naclip, ..., folders of configs/ that run their "
        "method",
    )
    methods: tuple[str | None, ...] = declare_option(
        (None,), metavar="NAME", help="as --method; or all (default: the config's)"
    )
    vfms: tuple[str | None, ...] = declare_option((None,), metavar="NAME", help="as --vfm (default: the config's)")
    clips: tuple[str | None, ...] = declare_option((None,), metavar="NAME", help="as --clip (default: the config's)")
    work_dir: str = declare_work_dir()
    data_root: str | None = declare_data_root()
    cfg_options: tuple[str, ...] = declare_cfg_options(help="override every config")
    limit: int | None = declare_option(None, metavar="N", help="evaluate the first N images of each only")
    scoring: str = declare_option("correct", choices=_SCORINGS, help="as in eval.py")
    check: bool = declare_option(True, flags=("--no-check",), help="evaluate even if the data look wrong")
    skip_bad: bool = declare_option(False, help="leave out images that cannot be read; the record names them")
    device: str = declare_device()
    workers: int | None = declare_workers()
    dry_run: bool = declare_option(False, help="say what would run, and run nothing")
    force: bool = declare_option(False, help="run also what has a record")
    markdown: bool = declare_option(False, help="print the table in Markdown")
    gpus: int | tuple[str, ...] | None = declare_option(
        None,
        group=_PARALLEL,
        type=parse_gpus,
        metavar="LIST|N",
        help="0,1,2,3: these GPUs, by the names CUDA_VISIBLE_DEVICES takes, a job on each (one GPU: '0,'); "
        "a number: processes a cell, through dist_test.sh (default: one, without it)",
    )
    gpus_per_job: int = declare_option(
        1, group=_PARALLEL, type=parse_count, metavar="N", help="GPUs of the list that share a cell (default: 1)"
    )
    jobs: int = declare_option(
        1, group=_PARALLEL, type=parse_count, metavar="N", help="cells at once that share the CPU's cores (default: 1)"
    )
    compare: bool = declare_option(
        False, group=_PUBLISHED, help="show published results beside; with --dry-run: of what has a record"
    )
    strict: float | None = declare_option(
        None, group=_PUBLISHED, metavar="POINTS", help="fail unless published results are met within POINTS of mIoU"
    )
    slurm: str | None = declare_option(
        None,
        group=_SLURM,
        metavar="FILE",
        help="write a Slurm array script, a cell a task, instead of running (see also GPUs)",
    )
    slurm_options: tuple[str, ...] = declare_option(
        (), group=_SLURM, metavar="NAME=VALUE", help="of sbatch: partition=gpu time=4:00:00"
    )
    slurm_limit: int | None = declare_option(
        None, group=_SLURM, type=parse_count, metavar="N", help="tasks of the array that run at once (default: all)"
    )

    @property
    def gpu_names(self) -> tuple[str, ...]:
        """GPUs that the jobs share out; empty without a list of them."""
        return self.gpus if isinstance(self.gpus, tuple) else ()

    @property
    def processes_per_cell(self) -> int | None:
        """Processes of a cell, started by dist_test.sh; None for one process without it."""
        if isinstance(self.gpus, tuple):
            return self.gpus_per_job if self.gpus_per_job > 1 else None
        return self.gpus

    def evaluation(
        self, config: str, method: str | None = None, vfm: str | None = None, clip: str | None = None
    ) -> EvalOptions:
        """Return the options of the evaluation of one cell."""
        shared = (
            "work_dir", "data_root", "cfg_options", "limit", "scoring", "check", "skip_bad", "device", "workers"
        )  # fmt: skip
        values = {name: getattr(self, name) for name in shared}
        return EvalOptions(config, method, vfm, clip, **values)
