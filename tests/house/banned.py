#!/usr/bin/env python3
"""Checks that lib/ makes none of these calls: they are unsafe, print text that the application did not
request, or change the process of the application."""
import os
import re

from house import ROOT, code, files, finish, problem, read

ANYWHERE = """
sprintf vsprintf strcpy strcat strncpy strncat stpcpy strtok strtok_r gets sscanf fscanf scanf
atoi atol atoll atof strtod strtof strtold strtol strtoll strtoul strtoull strtoimax strtoumax
gmtime localtime ctime asctime gmtime_r localtime_r mktime strftime strerror strsignal
getenv secure_getenv setenv putenv unsetenv
alloca tmpnam mktemp tempnam rand srand random drand48
exit _exit _Exit quick_exit abort atexit on_exit raise
printf vprintf fprintf vfprintf dprintf vdprintf puts putchar putc fputs fputc perror
setlocale uselocale newlocale signal sigaction sigaltstack siginterrupt setitimer alarm
chdir fchdir umask chroot setrlimit prctl
sleep usleep nanosleep clock_nanosleep system popen fork vfork execl execv execve execvp
thrd_create dlopen syslog openlog pthread_atfork
curl_global_init_mem curl_global_sslset curl_easy_perform curl_mprintf curl_easy_escape
gcry_md_hash_buffer gcry_malloc_secure gcry_calloc_secure gcry_strerror gcry_xmalloc gcry_xcalloc
yajl_tree_parse yajl_tree_get yajl_gen_double
""".split()
THREADS = re.compile(r"(?<![\w.>])(pthread_create)\s*\(")
THREADS_HOME = {os.path.join("client", "workers.c")}
SPAWNS = re.compile(r"(?<![\w.>])(kill|posix_spawnp?|waitpid)\s*\(")
SPAWNS_HOME = {os.path.join("client", "command.c")}
PROCESS = re.compile(r"(?<![\w.>])(getpid)\s*\(")
PROCESS_HOME = {os.path.join("base", "process.c")}
MEMORY = "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf getline".split()
MEMORY_HOME = {os.path.join("base", "mem.c")}
NAMED = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(ANYWHERE))
ALLOCATES = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(MEMORY))
# A function used as a value, such as a pointer to malloc().
AS_VALUE = re.compile(r"[=(,]\s*&?(%s)\s*[,;)]" % "|".join(MEMORY))
SIDE_EFFECT = re.compile(r"\bassert\s*\((?:[^;]*?)(\+\+|--|(?<![=!<>])=(?!=))[^;]*;")
STREAM = re.compile(r"\b(stdout|stderr)\b")
CONSTRUCTOR = re.compile(r"__attribute__\s*\(\(\s*(constructor|destructor)")
VERBOSE = re.compile(r"\byajl_get_error\s*\([^,]*,\s*[^0\s]")

lib = os.path.join(ROOT, "lib")
count = 0
for path in files("lib", ".c", ".h"):
    count += 1
    name = os.path.relpath(path, lib)
    text = code(read(path))
    for pattern, why in ((NAMED, "is banned"), (ALLOCATES, "belongs to base/mem.c"),
                         (AS_VALUE, "belongs to base/mem.c"),
                         (THREADS, "belongs to client/workers.c"),
                         (PROCESS, "belongs to base/process.c"),
                         (SPAWNS, "belongs to client/command.c"),
                         (SIDE_EFFECT, "in assert(): a side effect"),
                         (STREAM, "is the host's"), (CONSTRUCTOR, "runs outside our calls"),
                         (VERBOSE, "yajl_get_error() would quote the document")):
        if pattern in (ALLOCATES, AS_VALUE) and name in MEMORY_HOME:
            continue
        if pattern is THREADS and name in THREADS_HOME:
            continue
        if pattern is SPAWNS and name in SPAWNS_HOME:
            continue
        if pattern is PROCESS and name in PROCESS_HOME:
            continue
        for match in pattern.finditer(text):
            what = match.group(1) if match.groups() else ""
            problem(path, text.count("\n", 0, match.start(0)) + 1, f"{what} {why}".strip())
if count < 10:
    problem(lib, 0, f"only {count} files found")
finish("banned calls")
