"""Imported first: lets a script of this folder import the repository it stands in, which is not installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
