#!/usr/bin/env python
"""Segment pictures with your own words: `python demo.py photo.jpg --classes "horse; grass; sky"`.

For every picture it writes, into the folder of --out: NAME_seg.png (image, overlay, legend), NAME_overlay.png,
NAME_mask.png (the labels), NAME.json (COCO). Without pictures it draws a scene of the embedded tiny world, which needs
no download. `python demo.py --web` opens a page in the browser instead.
"""

from __future__ import annotations

import argparse
import sys

FAILED, INTERRUPTED = 1, 130


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help="files, folders, or patterns in quotes ('photos/**/*.jpg')")
    add("--out", default="demo_out", metavar="DIR", help="folder of the results (default: %(default)s)")
    add("--attention", type=point, metavar="X,Y", help="draw the proxy attention of the patch at this pixel too")
    add("--tiny", action="store_true", help="use the embedded tiny world, a toy that needs no download")
    add("--seed", type=int, default=21, help="which scene is drawn without pictures (default: %(default)s)")
    add("--debug", action="store_true", help="show the traceback of an error")

    add = parser.add_argument_group("words").add_argument
    add(
        "--classes",
        metavar="WORDS|FILE",
        help='"horse; grass, lawn; sky": ";" between classes, "," between synonyms (without any ";" commas separate '
        "classes); or a file with one class a line, synonyms between ';'",
    )
    add(
        "--background",
        metavar="WORDS|NUMBER",
        help='"wall, ceiling": these words are class 0, background; 0.3: what no class reaches this probability for is '
        "class 0, other (default: every pixel gets a class)",
    )
    add("--threshold", type=float, default=0.0, metavar="P", help="beside words: less probable pixels are background")

    add = parser.add_argument_group("model").add_argument
    add("--method", metavar="NAME", help="a name of configs/method, such as naclip, or my/own.py (default: proxy)")
    add("--clip", metavar="NAME", help="ViT-L-14; ViT-H-14,TAG; ViT-B-16,FILE; local-dir:FOLDER (default: ViT-B/16)")
    add("--vfm", metavar="NAME", help="dino, dino-s16, sam-b, my/own.py; NAME,FILE; NAME,local-dir:FOLDER; none")
    add("--beta", type=float, help="proxy attention: how much of the mean similarity is subtracted (1.2)")
    add("--gamma", type=float, help="proxy attention: how sharp it is (3.0)")
    add("--refine", nargs="+", default=[], metavar="STEP", help="pamr (sharper edges), area (no specks)")
    add("--config", metavar="FILE", help="a config whose model, resize and windows are used")
    add("--checkpoint", metavar="FILE", help="with the --config of a model that train.py has trained: its weights")
    add("--device", default="auto", help="cuda, cuda:1, cpu (default: a GPU if there is one)")
    add("--precision", choices=("auto", "fp32", "fp16", "bf16"), help="of the networks (default: the config's, auto)")
    add("--offline", action="store_true", help="use what is on this machine, fetch nothing (HF_HUB_OFFLINE=1)")

    add = parser.add_argument_group("web page").add_argument
    add("--web", action="store_true", help="open a page where pictures, words and numbers can be changed")
    add("--port", type=int, default=7860, help="of the page (default: %(default)s)")
    add("--host", default="127.0.0.1", help="address of the page (default: %(default)s, this machine only)")
    args = parser.parse_args(argv)
    if args.web and args.images:
        parser.error(f"--web takes no pictures: drop {args.images[0]} on the page")
    if args.checkpoint and not args.config:
        parser.error("--checkpoint goes with --config, the config that was trained")
    return args


def point(text: str) -> tuple[int, int]:
    """`120,80` -> (120, 80)."""
    try:
        x, y = (int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected column,row in pixels, such as 120,80, but got {text!r}") from None
    return x, y


def main(argv: list[str] | None = None) -> int:
    """Segment every picture, and return the exit code: 0, or 1 where any failed."""
    args = parse(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        print("interrupted: what was written stays", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if args.debug:
            raise
        from proxyclip import demonstration

        print(f"error: {demonstration.message(error)}", file=sys.stderr)
        return FAILED


def run(args: argparse.Namespace) -> int:
    """Segment pictures, or serve the page."""
    from proxyclip import demonstration

    if args.offline:
        demonstration.offline()
    said = {k: v for k, v in vars(args).items() if k in demonstration.Wish.__dataclass_fields__}
    wish = demonstration.Wish(**said | dict(images=tuple(args.images), refine=tuple(args.refine)))
    if args.web:
        return demonstration.serve(wish, args.host, args.port)
    return FAILED if demonstration.run(wish) else 0


if __name__ == "__main__":
    sys.exit(main())
