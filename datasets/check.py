"""Check a whole data set before it is scored: `python datasets/check.py --config configs/cfg_voc21.py --data-root DIR`.

The program is proxyclip/check.py, which eval.py uses too; this starts it from any folder.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        sys.exit(subprocess.run([sys.executable, "-m", "proxyclip.check", *sys.argv[1:]], env=environment).returncode)
    except KeyboardInterrupt:
        sys.exit(130)
