"""Segment pictures with your own words: `python demo.py photo.jpg --classes "horse; grass; sky"`.

For every picture it writes, into the folder of --out: NAME_seg.png (image, overlay, legend), NAME_overlay.png,
NAME_mask.png (the labels), NAME.json (COCO). Without pictures it draws a scene of the embedded tiny world, which needs
no download. `python demo.py --web` opens a page in the browser instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyclip.cli import EXIT_FAILED, run_cli
from proxyclip.cli.demo_outputs import (
    build_area_table,
    make_unique_names,
    print_remarks,
    save_demo_outputs,
    write_areas_csv,
)
from proxyclip.data.class_lists.limits import MAX_CLASS_LIST_BYTES
from proxyclip.data.class_lists.shared_texts import find_shared_texts, refuse_shared_texts
from proxyclip.data.class_lists.text import is_class_file, parse_background_text, parse_class_text
from proxyclip.data.files.image_search import ImageSearch, search_images
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import TINYWORLD_CONFIG, declare_debug
from proxyclip.utils.arguments import build_parser, declare_option, read_options
from proxyclip.utils.file_limits import check_file_size
from proxyclip.utils.paths import find_existing_path, path_exists
from proxyclip.utils.probability import check_probability, parse_probability

if TYPE_CHECKING:
    from proxyclip.apis import Segmenter

DEFAULT_CLASSES_FILE = "configs/cls_coco_stuff.txt"
MAX_AREA_TABLES = 3  # up to so many images a table of areas each, then a line each


def parse_point(text: str) -> tuple[int, int]:
    """Parse `120,80`, a column and a row; an `argparse` type."""
    try:
        x, y = (int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected column,row in pixels, such as 120,80, but got {text!r}") from None
    return x, y


def parse_threshold(text: str) -> float:
    """Parse `0.3` and `0,3`; an `argparse` type."""
    try:
        return float(text)  # another number than a probability is refused with the classes
    except ValueError:
        pass
    try:
        number = parse_probability(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if number is None:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, but got {text!r}")
    return number


def _model_option(metavar: str | None, help: str, **settings: Any) -> Any:
    return declare_option(None, group="model", metavar=metavar, help=help, **settings)


@dataclass(frozen=True)
class DemoOptions:
    """Options of the demo: the command line of demo.py."""

    images: tuple[str, ...] = declare_option(
        (),
        flags=("images",),
        nargs="*",
        metavar="IMAGE",
        help="files, folders, or patterns in quotes ('photos/**/*.jpg')",
    )
    out: str = declare_option("demo_out", metavar="DIR", help="folder of the results (default: %(default)s)")
    attention: tuple[int, int] | None = declare_option(
        None, type=parse_point, metavar="X,Y", help="draw the proxy attention of the patch at this pixel too"
    )
    stretch: bool = declare_option(
        False, help="spread the values of pictures of more than 8 bits over the range (12 bits in a 16-bit file)"
    )
    max_megapixels: float | None = declare_option(
        None, type=float, metavar="N", help="read pictures of up to so many megapixels (default: 179)"
    )
    tiny: bool = declare_option(False, help="use the embedded tiny world, a toy that needs no download")
    seed: int = declare_option(21, help="which scene is drawn without pictures (default: %(default)s)")
    debug: bool = declare_debug()

    classes: str | None = declare_option(
        None,
        group="words",
        metavar="WORDS|FILE",
        help='"horse; grass, lawn; sky": ";" between classes, "," between synonyms (without any ";" commas separate '
        "classes); or FILE.txt or ./FILE with one class a line, synonyms between ';'",
    )
    background: str | None = declare_option(
        None,
        group="words",
        metavar="WORDS|NUMBER",
        help='"wall, ceiling": these words are class 0, background; 0.3: what no class reaches this probability for is '
        "class 0, other (default: every pixel gets a class)",
    )
    threshold: float = declare_option(
        0.0, type=parse_threshold, group="words", metavar="P", help="beside words: less probable pixels are background"
    )

    method: str | None = _model_option(
        "NAME", "a name of configs/method, such as naclip, or my/own.py (default: proxy)"
    )
    clip: str | None = _model_option(
        "NAME", "ViT-L-14; ViT-H-14,TAG; ViT-B-16,FILE; local-dir:FOLDER (default: ViT-B/16)"
    )
    vfm: str | None = _model_option("NAME", "dino, dino-s16, sam-b, my/own.py; NAME,FILE; NAME,local-dir:FOLDER; none")
    beta: float | None = _model_option(None, "proxy attention: how much of the mean similarity is subtracted (1.2)")
    gamma: float | None = _model_option(None, "proxy attention: how sharp it is (3.0)")
    refine: tuple[str, ...] = declare_option(
        (),
        group="model",
        metavar="STEP",
        help="pamr (sharper edges), regions (no specks: small regions and holes go; "
        "regions:min_region=400:min_hole=50), area (drops whole classes with a small share of the foreground; needs a "
        "background class)",
    )
    config: str | None = _model_option("FILE", "a config whose model, resize and windows are used")
    checkpoint: str | None = _model_option(
        "FILE", "with the --config of a model that train.py has trained: its weights"
    )
    device: str = declare_option("auto", group="model", help="cuda, cuda:1, cpu (default: a GPU if there is one)")
    precision: str | None = _model_option(
        None, "of the networks (default: the config's, auto)", choices=("auto", "fp32", "fp16", "bf16")
    )
    offline: bool = declare_option(
        False, group="model", help="use what is on this machine, fetch nothing (HF_HUB_OFFLINE=1)"
    )

    web: bool = declare_option(
        False, group="web page", help="open a page where pictures, words and numbers can be changed"
    )
    port: int = declare_option(7860, group="web page", help="of the page (default: %(default)s)")
    host: str = declare_option(
        "127.0.0.1",
        group="web page",
        help="address of the page (default: %(default)s, this machine only); another one lets others use it by the "
        "link that is printed",
    )
    no_token: bool = declare_option(
        False, group="web page", help="with another --host: let everybody use the page, without the token of the link"
    )

    @property
    def uses_tinyworld(self) -> bool:
        """Use of the tiny world's model: on request, or because there is no image either."""
        return self.tiny or (not self.images and self.config is None and self.clip is None)


def parse_demo_options(argv: Sequence[str] | None = None, prog: str = "demo.py") -> DemoOptions:
    """Parse the command line; nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = build_parser(DemoOptions, prog=prog, description=__doc__, formatter_class=form, allow_abbrev=True)
    options = read_options(DemoOptions, parser.parse_args(argv))
    if options.web and options.images:
        parser.error(f"--web takes no pictures: drop {options.images[0]} on the page")
    if options.checkpoint and not options.config:
        parser.error("--checkpoint goes with --config, the config that was trained")
    return options


def main(argv: Sequence[str] | None = None, prog: str = "demo.py") -> int:
    """Segment every image, or serve the page, and return the exit code: 0, or 1 where an image failed."""
    options = parse_demo_options(argv, prog)
    if options.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read by Hugging Face's library when it is imported
    images = ImageSearch()
    return run_cli(
        lambda: serve_demo(options) if options.web else min(run_demo(options, images), EXIT_FAILED),
        check=lambda: check_demo_options(options, images),
        debug=options.debug,
        interrupted="interrupted: what was written stays",
        errors={Exception: EXIT_FAILED},
        describe=format_demo_error,
    )


def check_demo_options(options: DemoOptions, images: ImageSearch) -> None:
    """Check names and find the images into `images`, before the libraries are loaded.

    Raises:
        FileNotFoundError, ValueError: a name that does not exist, an address, or no image at all.
    """
    check_names(options)
    check_class_options(options)
    search = search_images(options.images)
    missing = [file for file in search.files if not path_exists(file)]
    if missing and len(missing) == len(search.files):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(f"There is no picture {missing[0]}{more}")
    images.files, images.notes = search.files, search.notes


def check_class_options(options: DemoOptions) -> None:
    """Check classes, background and threshold as far as their text tells.

    Raises:
        FileNotFoundError, ValueError: no such file, names that are one text, or a number that is no probability.
    """
    check_probability(options.threshold)
    if options.background is not None:
        parse_background_text(options.background)
    if options.classes is not None and is_class_file(options.classes):
        file = find_existing_path(options.classes, "file of classes")
        check_file_size(file, MAX_CLASS_LIST_BYTES, "a class list")
    elif options.classes is not None:
        classes = parse_class_text(options.classes).classes
        if options.clip is None and options.config is None:  # another CLIP may tell "Sky" from "sky"
            refuse_shared_texts(find_shared_texts(classes), [names[0] for names in classes])


def run_demo(options: DemoOptions, images: ImageSearch) -> int:
    """Segment every image, and return the number of those that failed."""
    from proxyclip.apis.images import ImageWarning
    from proxyclip.engine.evaluation.console import make_console, print_notes, silence_libraries

    silence_libraries()
    warnings.simplefilter("ignore", ImageWarning)  # what it says is printed with the picture's result
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    files = images.files if options.images else [draw_demo_scene(out, options.seed)]
    print_notes(images.notes)
    if options.uses_tinyworld:
        print("The embedded tiny world, a toy that knows drawn scenes only: no download, and no word on photographs.")
    segmenter = build_demo_segmenter(options)
    failures = 0
    rows = []
    for file, name in zip(files, make_unique_names(files), strict=True):
        try:
            segmentation = replace(segmenter(file), name=name)
            paths = save_demo_outputs(segmentation, segmenter, options)
        except (OSError, ValueError) as error:
            print(f"error: {error}" if file.name in str(error) else f"error: {file}: {error}", file=sys.stderr)
            failures += 1
            continue
        rows.append((str(file), segmentation.areas))
        print_remarks(segmentation, file)
        if len(files) <= MAX_AREA_TABLES:
            print(file)
            make_console().print(build_area_table(segmentation))
            print(*paths, sep="\n", flush=True)
        else:
            shares = ", ".join(f"{class_name} {share:.1f} %" for class_name, share in segmentation.areas.items())
            print(f"{file}: {shares}", flush=True)
    if len(rows) > 1:
        table = write_areas_csv(rows, segmenter.classes, out / "areas.csv")
        print(f"{table}: {len(rows)} pictures, results beside it")
    return failures


def draw_demo_scene(folder: Path, seed: int) -> Path:
    """Draw a scene of the tiny world as a PNG file."""
    from PIL import Image

    from proxyclip.tinyworld.scenes import draw_seeded_scene

    path = folder / f"tinyworld_{seed}.png"
    Image.fromarray(draw_seeded_scene(seed, 0).image).save(path)
    return path


def build_demo_segmenter(options: DemoOptions) -> Segmenter:
    """Build the model with its classes; missing weights are downloaded."""
    config = options.config or (TINYWORLD_CONFIG if options.uses_tinyworld else None)
    classes = options.classes
    if classes is None and config is None:
        classes = DEFAULT_CLASSES_FILE
        print(f"No --classes: looking for what {classes} lists. Name your own: --classes 'horse; grass; sky'")
    from proxyclip.apis import Segmenter
    from proxyclip.apis.classes import describe_classes, parse_class_query

    names = None if classes is None else locate_classes(classes)
    shared = ("clip", "vfm", "method", "device", "threshold")
    settings: dict[str, Any] = {name: getattr(options, name) for name in shared}
    optional = {"config": config, "precision": options.precision, "checkpoint": options.checkpoint}
    settings |= {name: value for name, value in optional.items() if value}
    settings |= {"stretch": options.stretch, "max_megapixels": options.max_megapixels}
    if options.refine:
        settings["refine"] = list(options.refine)
    if names is not None:
        reads_lower_case = options.clip is None and options.config is None
        query = parse_class_query(names, options.background, options.threshold, lower=reads_lower_case)
        print(describe_classes(query) + (f" (of the file {names})" if isinstance(names, Path) else ""), flush=True)
    segmenter = Segmenter(names, background=options.background, **settings)
    parameters = {"beta": options.beta, "gamma": options.gamma}
    changes = {name: value for name, value in parameters.items() if value is not None}
    return segmenter.tune(**changes) if changes else segmenter


def locate_classes(text: str) -> str | Path:
    """Return the file that `--classes` names, or its text."""
    if is_class_file(text):
        return find_existing_path(text, "file of classes")
    if path_exists(text) and Path(text).is_file():
        print(f"--classes {text}: a class of this name, not the file; for that say ./{text}")
    return text


def format_demo_error(error: BaseException) -> str:
    """Format an error as one message; where weights are missing, with what runs without them."""
    from proxyclip.engine.errors import format_error
    from proxyclip.models.weights import WeightsError

    text = format_error(error)
    if isinstance(error, WeightsError):
        text += "\n  without weights: python demo.py --tiny, a drawn toy that shows what this does"
    return text


def serve_demo(options: DemoOptions) -> None:
    """Serve the page until Ctrl-C."""
    from proxyclip.apis.web import serve_page
    from proxyclip.apis.web.settings import WebSettings
    from proxyclip.engine.evaluation.console import silence_libraries

    silence_libraries()
    names = [item.name for item in fields(WebSettings) if hasattr(options, item.name)]
    serve_page(WebSettings(**{name: getattr(options, name) for name in names}))
