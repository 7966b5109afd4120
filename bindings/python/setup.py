"""Wheels that contain the library: with BCDA_WHEEL_LIBRARY=/path/to/libbcda.so.0 in the environment the
wheel has that file in it and is for this platform; without it, it is for any, and the library comes
from the system."""
import os
import shutil
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

CARRIED = os.environ.get("BCDA_WHEEL_LIBRARY")
NAME = "libbcda.0.dylib" if sys.platform == "darwin" else "libbcda.so.0"


class PlatformDistribution(Distribution):
    """A wheel with the library is for one platform: it is installed into platlib (Root-Is-Purelib:
    false)."""

    def has_ext_modules(self):
        return bool(CARRIED)


class Build(build_py):
    def run(self):
        super().run()
        folder = os.path.join(self.build_lib, "bcda", "_lib")
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier wheel
        if CARRIED:
            os.makedirs(folder)
            shutil.copy(CARRIED, os.path.join(folder, NAME))  # the file behind a link


commands = {"build_py": Build}
try:
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # before setuptools 70
        from wheel.bdist_wheel import bdist_wheel

    class Wheel(bdist_wheel):
        """For any Python 3: ctypes loads the library, which does not depend on Python."""

        def get_tag(self):
            _, _, platform = super().get_tag()
            return "py3", "none", platform

    commands["bdist_wheel"] = Wheel
except ImportError:
    pass

setup(cmdclass=commands, distclass=PlatformDistribution)
