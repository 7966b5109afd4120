#!/usr/bin/env python3
"""The declarations that the bindings read are what the headers say (bindings/generate)."""
import os
import subprocess
import sys

from house import ROOT

sys.exit(subprocess.run([sys.executable, os.path.join(ROOT, "bindings", "generate"),
                         "--check"], check=False).returncode)
