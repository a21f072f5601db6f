"""Check a data set: `check.py --config configs/cfg_voc21.py --data-root DIR`.

The command is proxyclip/cli/check.py; this starts it from any folder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package need not be installed

from proxyclip.cli.check import main

if __name__ == "__main__":
    sys.exit(main())
