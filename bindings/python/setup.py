"""Builds wheels. If the environment has BCDA_WHEEL_LIBRARY=/path/to/libbcda.so.0, the wheel contains that
library and is for this platform only. Otherwise the wheel is for any platform, and the package loads the
library of the system."""
import os
import shutil
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

CARRIED = os.environ.get("BCDA_WHEEL_LIBRARY")
NAME = "libbcda.0.dylib" if sys.platform == "darwin" else "libbcda.so.0"


class PlatformDistribution(Distribution):
    """Marks a wheel that contains the library as one for a single platform, so that pip installs it
    into platlib (Root-Is-Purelib: false)."""

    def has_ext_modules(self):
        return bool(CARRIED)


class Build(build_py):
    def run(self):
        super().run()
        folder = os.path.join(self.build_lib, "bcda", "_lib")
        shutil.rmtree(folder, ignore_errors=True)  # the copy that an earlier build left
        if CARRIED:
            os.makedirs(folder)
            shutil.copy(CARRIED, os.path.join(folder, NAME))  # copies the file itself if CARRIED is a symbolic link


commands = {"build_py": Build}
try:
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # before setuptools 70
        from wheel.bdist_wheel import bdist_wheel

    class Wheel(bdist_wheel):
        """Tags the wheel for any Python 3: the library is loaded with ctypes and does not depend on the
version of Python."""

        def get_tag(self):
            _, _, platform = super().get_tag()
            return "py3", "none", platform

    commands["bdist_wheel"] = Wheel
except ImportError:
    pass

setup(cmdclass=commands, distclass=PlatformDistribution)
