"""Runs programs as another user, for servers that refuse to run as root."""
import os
import pwd
import sys


def as_account(name):
    """Returns the words to put before a command, so that it runs as this user. Where no user but root can enter
    the root folder, as in some chroots, no program of another user can load its libraries: the test is skipped (77); in
    CI, it fails."""
    if not os.stat("/").st_mode & 0o001:
        print(f"skipped: only root can enter the folder /, so no program can run as the user {name}")
        sys.exit(1 if os.environ.get("CI") else 77)
    account = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
