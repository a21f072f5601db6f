#!/usr/bin/env python
"""Segment a picture with your own words: `python demo.py photo.jpg --classes "horse; grass; sky"`.

Without arguments: the embedded tiny world's model on a scene it draws. Writes image | overlay | legend as a PNG.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

FAILED = 1
TINY = "configs/cfg_tinyworld.py"
REAL = "configs/base_config.py"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help="picture files; none: a drawn scene of the tiny world")
    add("--classes", metavar="WORDS", help='"horse; grass; sky", or a file with one class a line, synonyms between ";"')
    add("--out", default="demo_out", metavar="DIR", help="folder of the PNGs (default: %(default)s)")
    add("--config", help=f"model and resize (default: {REAL}, without images {TINY})")
    add(
        "--method",
        metavar="NAME",
        help="a name of configs/method, such as naclip, or my/own.py (default: the config's)",
    )
    add(
        "--clip", metavar="NAME", help="ViT-L-14; ViT-H-14,TAG; ViT-B-16,FILE; local-dir:FOLDER (default: the config's)"
    )
    add(
        "--clip-weights",
        metavar="TAG|FILE",
        help="pretrained tag or weights file (default: by --clip, or the config's)",
    )
    add(
        "--vfm",
        metavar="NAME",
        help="dino, dino-s16, sam-b, my/own.py; NAME,MODEL; NAME,FILE; none (default: the config's)",
    )
    add("--vfm-model", metavar="NAME", help="timm name, hf-hub:REPOSITORY or local-dir:FOLDER")
    add("--vfm-weights", metavar="FILE", help="weights file of the VFM")
    add("--seed", type=int, default=21, help="which scene is drawn without images (default: %(default)s)")
    add("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    if args.images and not args.classes and args.config is None:
        parser.error('say what to look for: --classes "horse; grass; sky"')
    return args


def main(argv: list[str] | None = None) -> int:
    """Segment every picture, and return the exit code: 0, or 1 where any failed."""
    args = parse(argv)
    try:
        return run(args)
    except Exception as error:
        if args.debug:
            raise
        from proxyclip.reporting import message

        print(f"error: {message(error)}", file=sys.stderr)
        return FAILED


def run(args: argparse.Namespace) -> int:
    """Build the model once, then write one PNG a picture; a picture that cannot be read does not stop the rest."""
    from proxyclip.pictures import read_rgb

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    images = [(Path(name).stem, Path(name)) for name in args.images]
    if not images:
        images = [(f"tinyworld_{args.seed}", draw_scene(out, args.seed))]
        print("No image given: the embedded tiny world, a drawn toy, segments one of its scenes.")
    failed = 0
    model, scale = build(args.config or (REAL if args.images else TINY), args)
    for name, path in images:
        try:
            rgb = read_rgb(path)
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        labels, names = segment(model, rgb, scale), [words[0] for words in model.vocabulary.classes]
        path = out / f"{name}_seg.png"
        print(f"{path}: {write(path, rgb, labels, names)}")
    return FAILED if failed else 0


def draw_scene(folder: Path, seed: int) -> Path:
    """A scene of the tiny world as a PNG file."""
    from PIL import Image

    from proxyclip.tinyworld import scenes

    path = folder / f"tinyworld_{seed}.png"
    Image.fromarray(scenes.scene(seed, 0).image).save(path)
    return path


def build(config: str | Path, args: argparse.Namespace) -> tuple[Any, tuple[int, int]]:
    """The segmentor of a config with the command line's words and weights, and the resize scale of its pipeline."""
    import torch
    from mmseg.registry import MODELS

    from proxyclip import choices, configs, overrides, reporting

    reporting.quiet()
    clip = args.clip and ",".join(filter(None, (args.clip, args.clip_weights)))
    cfg = configs.merged(configs.Options(str(config), method=args.method, vfm=args.vfm, clip=clip))
    overrides.put(cfg, **weights(args, cfg.model))
    configs.check_model(cfg, args.method)
    configs.register()
    options = choices.buildable({k: v for k, v in cfg.model.items() if k != "data_preprocessor"})
    with tempfile.TemporaryDirectory() as folder:
        if args.classes is not None:
            options |= dict(name_path=vocabulary_file(args.classes, Path(folder)), prob_thd=0.0)
        model = MODELS.build(options)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scale = next(step["scale"] for step in cfg.test_pipeline if step["type"] == "Resize")
    return model.to(device), tuple(scale)


def weights(args: argparse.Namespace, options: Any) -> dict[str, Any]:
    """Model options that --clip-weights, --vfm-model and --vfm-weights say; weights do not outlive another model."""
    from proxyclip.vfm import resolve

    changed: dict[str, Any] = {}
    if args.clip_weights is not None and args.clip is None:
        changed["clip_type"] = args.clip_weights
    given = {k: v for k, v in dict(model=args.vfm_model, checkpoint=args.vfm_weights).items() if v is not None}
    if given:
        old = options.get("vfm_model") or "dino"
        family = old if isinstance(old, str) else {k: v for k, v in old.items() if k == "type" or args.vfm}
        changed |= dict(vfm_model={**resolve(family), **given}, checkpoint=None)
    return changed


def vocabulary_file(words: str, folder: Path) -> str:
    """Path of a vocabulary file: the one `words` names, or a new one with a class for each word between ';'."""
    if Path(words).is_file():
        return words
    path = folder / "classes.txt"
    path.write_text("\n".join(words.split(";")) + "\n", encoding="utf-8")
    return str(path)


def segment(model: Any, rgb: Any, scale: tuple[int, int]) -> Any:
    """Labels (H, W) int64 of an RGB picture (H, W, 3) uint8, resized and windowed as in an evaluation."""
    import mmcv
    import numpy as np
    import torch
    from mmseg.structures import SegDataSample

    resized = mmcv.imrescale(np.ascontiguousarray(rgb[..., ::-1]), scale)
    inputs = torch.from_numpy(resized.transpose(2, 0, 1).copy())
    sample = SegDataSample(metainfo=dict(ori_shape=rgb.shape[:2]))
    return model.test_step(dict(inputs=[inputs], data_samples=[sample]))[0].pred_sem_seg.data[0].cpu().numpy()


def write(path: Path, rgb: Any, labels: Any, names: list[str]) -> str:
    """Save image | overlay | legend, and return the classes with their shares in words, largest first."""
    from PIL import Image

    from proxyclip import pictures

    palette = pictures.class_palette(None, len(names))
    found = [(i, f"{names[i]} {share:.1%}") for i, share in pictures.shares(labels, len(names))]
    panels = {"image": rgb, "overlay": pictures.paint(rgb, labels, palette)}
    Image.fromarray(pictures.beside(panels, [(text, palette[i]) for i, text in found])).save(path)
    return ", ".join(text for _, text in found)


if __name__ == "__main__":
    sys.exit(main())
