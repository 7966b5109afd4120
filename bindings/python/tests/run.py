#!/usr/bin/env python3
"""run.py SANDBOX LIBRARY [NAME...]: runs the tests of this folder and prints TAP.

SANDBOX is the program bcda-sandbox, LIBRARY the shared library. NAME is a file (test_export) or one
test in it (test_export.Era.test_x).
"""
import os
import sys
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Tap(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0
        self.begun = 0.0

    def startTest(self, test):
        self.begun = time.monotonic()
        super().startTest(test)

    def tell(self, good, test, more="", trace=""):
        self.number += 1
        took = time.monotonic() - self.begun
        if took > 1 and not more:
            more = f" ({took:.1f} s)"
        print(f"{'ok' if good else 'not ok'} {self.number} - {test.id()}{more}", flush=True)
        for line in trace.splitlines():
            print("# " + line, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(False, test, trace="".join(traceback.format_exception(*err)))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(False, test, trace="".join(traceback.format_exception(*err)))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(True, test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.tell(False, subtest, trace="".join(traceback.format_exception(*err)))


def main():
    sandbox, library, *names = sys.argv[1:]
    os.environ["BCDA_SANDBOX_PROGRAM"] = os.path.abspath(sandbox)
    os.environ["BCDA_LIBRARY"] = os.path.abspath(library)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path.insert(0, HERE)
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(HERE)
    result = Tap()
    suite.run(result)
    print(f"1..{result.number}", flush=True)
    return 0 if result.wasSuccessful() and result.number else 1


if __name__ == "__main__":
    sys.exit(main())
