"""Runs programs as another user, for servers that refuse to run as root."""
import os
import pwd


def as_account(name):
    """Returns the words to put before a command, so that it runs as this user."""
    account = pwd.getpwnam(name)
    words = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    if not os.stat("/").st_mode & 0o001:
        # Only root can enter the folders of this system, as in some chroots. The user must be able to load libraries.
        words += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return words
