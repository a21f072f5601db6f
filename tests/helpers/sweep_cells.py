"""Cells of a sweep that tests show."""

import json
from pathlib import Path

from proxyclip.engine.sweep.cells import Cell


def make_cells(states: list[str], folder: Path) -> list[Cell]:
    """Make cells in these states; running ones have done 25 of 100 images, at 5 images a second."""
    cells = []
    for number, state in enumerate(states, start=1):
        cell = Cell("configs/cfg_some.py", number=number, names=(f"m{number}", "dino", "ViT"), state=state)
        cell.progress = folder / f"{number}.json"
        if state == "running":
            cell.progress.write_text(json.dumps({"done": 25, "total": 100, "images_per_second": 5.0}))
        if state in ("done", "kept"):
            cell.run = {"metrics": {"mIoU": 40 + number / 100}, "dataset": {"images": 100}, "images_per_second": 5.0}
            cell.seconds = 86.0
        cells.append(cell)
    return cells


def make_varied_cells(folder: Path) -> list[Cell]:
    """Make cells with long names, of which no two rows may look the same, and one CLIP."""
    cells = make_cells(["done", "kept", "failed", "done"], folder)
    for number, cell in enumerate(cells):
        cell.config = f"configs/trained/maskclip_plus/annofree/coco_stuff164k_deeplabv2_r10{number}.py"
        cell.names = (f"method_{number % 2}", "vit_base_patch8_224.dino", "ViT-B/16 openai")
        if cell.run is not None:
            cell.run |= {"identity": f"{number}123456789ab", "partial": number == 1}
    return cells
