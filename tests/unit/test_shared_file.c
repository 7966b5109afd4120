/* A file that processes share: which files are refused, who has the lock, and which file the path
 * names. */
#include "client/shared_file.h"
#include "helper.h"
#include "shared_files.h"

static struct bcda__shared_file file;
static struct bcda_error err;

static void open_test(void)
{
    make_folder();
    bcda__err_clear(&err);
    ck_assert_int_eq(bcda__shared_file_init(&file, "the test file", "", path), 0);
}

static void close_test(void)
{
    bcda__shared_file_free(&file);
    remove_folder();
}

static int lock_file(enum bcda__shared_lock lock)
{
    return bcda__shared_file_lock(&file, lock, 1, &err);
}

/* Checks that the file is refused for this cause, by one line that names it, and is closed. */
static void check_refused(const char *cause)
{
    ck_assert_int_eq(lock_file(BCDA__SHARED_READ), BCDA_ERR_IO);
    ck_assert_int_eq(err.code, BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, cause) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    ck_assert_int_eq(strncmp(err.text, "the test file ", 14), 0);
    ck_assert_int_eq(file.fd, -1);
}

/* ---- files that are refused ---- */

START_TEST(created_for_the_owner)
{
    struct stat st;

    umask(_i ? 077 : 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_READ), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(descriptors_of(path), 1);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(permission_of_others)
{
    static const mode_t modes[] = {0644, 0640, 0620, 0610, 0604, 0602, 0601, 0660, 0666, 0777};

    put_file(path, "", 0);
    ck_assert_int_eq(chmod(path, modes[_i]), 0);
    check_refused("run chmod 600");
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
}
END_TEST

START_TEST(symbolic_link)
{
    if (_i) /* else the link leads nowhere, and no file is created there */
        put_file(other_path, "", 0);
    ck_assert_int_eq(symlink(other_path, path), 0);
    check_refused("it is a symbolic link");
    ck_assert_int_eq(access(other_path, F_OK), _i ? 0 : -1);
}
END_TEST

START_TEST(directory)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    check_refused("cannot be opened: Is a directory");
}
END_TEST

/* Opening a FIFO that no process reads must not wait. */
START_TEST(fifo)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    check_refused("it is not a regular file");
}
END_TEST

START_TEST(other_owner)
{
    put_file(path, "", 0);
    calls_of.other_owner = 1;
    check_refused("it belongs to another user");
}
END_TEST

START_TEST(missing_directory)
{
    bcda__shared_file_free(&file);
    snprintf(path, sizeof path, "%s/missing/file", folder);
    ck_assert_int_eq(bcda__shared_file_init(&file, "the test file", "", path), 0);
    check_refused("cannot be opened: No such file or directory");
}
END_TEST

/* A file with other content, such as a key, is kept. One that is empty, that begins as such a file,
 * that is a part of its beginning, or that was being wiped, is used. */
START_TEST(other_content)
{
    static const struct {
        const char *content;
        size_t len;
        int is_used;
    } rows[] = {
        {"", 0, 1},        {"b", 1, 1},       {"begi", 4, 1},
        {"begin", 5, 1},   {"begin 1", 7, 1}, {"\0\0\0\0\0\0", 6, 1},
        {"\0egin", 5, 1},  {"B", 1, 0},       {"begon", 5, 0},
        {"begun 1", 7, 0}, {" begin", 6, 0},  {"-----BEGIN KEY", 14, 0},
        {"be\0", 3, 0},
    };
    char content[32];

    bcda__shared_file_free(&file);
    ck_assert_int_eq(bcda__shared_file_init(&file, "the test file", "begin", path), 0);
    put_file(path, rows[_i].content, rows[_i].len);
    if (rows[_i].is_used)
        ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    else
        check_refused("it has other content, which is kept");
    ck_assert_int_eq(get_file(path, content, sizeof content), (int)rows[_i].len);
    ck_assert_int_eq(memcmp(content, rows[_i].content, rows[_i].len), 0);
    ck_assert_int_eq(is_free(path), !rows[_i].is_used);
}
END_TEST

/* The user root may open everything, so the test gives up root. AddressSanitizer cannot look for
 * leaks in a process that changed its user, so this is a child that ends at once. */
static void check_refused_as_user(void)
{
    pid_t pid;

    if (__real_geteuid() == 0) {
        if (access(path, F_OK) == 0)
            ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert_int_eq(chown(folder, 65534, 65534), 0);
    }
    pid = fork();
    if (pid == 0) {
        if (__real_geteuid() == 0 && setresuid(65534, 65534, 65534))
            _exit(2);
        _exit(lock_file(BCDA__SHARED_READ) != BCDA_ERR_IO ||
              !strstr(err.text, "cannot be opened: Permission denied"));
    }
    finish_child(pid);
}

START_TEST(read_only_file)
{
    put_file(path, "", 0);
    ck_assert_int_eq(chmod(path, _i ? 0400 : 0), 0);
    check_refused_as_user();
}
END_TEST

START_TEST(read_only_directory)
{
    ck_assert_int_eq(chmod(folder, _i ? 0500 : 0), 0);
    check_refused_as_user();
    ck_assert_int_eq(chmod(folder, 0700), 0);
}
END_TEST

START_TEST(no_locks)
{
    calls_of.lock_errno = ENOLCK;
    check_refused("cannot be locked: No locks available");
}
END_TEST

/* A path that is as long as the error text is cut there, and the cause is not. */
START_TEST(long_path)
{
    char name[4000];

    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    bcda__shared_file_free(&file);
    ck_assert_int_eq(bcda__shared_file_init(&file, "the test file", "", name), 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_READ), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, "... cannot be opened: File name too long") != NULL, "%s",
                  err.text);
}
END_TEST

START_TEST(not_created)
{
    ck_assert_int_eq(bcda__shared_file_lock(&file, BCDA__SHARED_WRITE, 0, &err),
                     BCDA__SHARED_MISSING);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(file.fd, -1);
}
END_TEST

/* A relative path names the same file after the application has changed its directory. */
START_TEST(relative_path)
{
    bcda__shared_file_free(&file);
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(bcda__shared_file_init(&file, "the test file", "", "file"), 0);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_READ), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* ---- the lock ---- */

START_TEST(shared_and_exclusive)
{
    static const struct {
        int outside;
        enum bcda__shared_lock lock;
        int result;
    } rows[] = {
        {LOCK_SH, BCDA__SHARED_READ, BCDA__SHARED_LOCKED},
        {LOCK_SH, BCDA__SHARED_WRITE, BCDA__SHARED_BUSY},
        {LOCK_EX, BCDA__SHARED_READ, BCDA__SHARED_BUSY},
        {LOCK_EX, BCDA__SHARED_WRITE, BCDA__SHARED_BUSY},
    };
    int fd;

    put_file(path, "", 0);
    fd = lock_from_outside(path, rows[_i].outside);
    ck_assert_int_eq(lock_file(rows[_i].lock), rows[_i].result);
    ck_assert_int_eq(file.fd >= 0, rows[_i].result == BCDA__SHARED_LOCKED);
    close(fd);
    ck_assert_int_eq(lock_file(rows[_i].lock), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(is_free(path), 0);
    bcda__shared_file_unlock(&file);
    ck_assert_int_ge(file.fd, 0);
    ck_assert_int_eq(is_free(path), 1);
}
END_TEST

/* A child has a descriptor of the same open file. Unlocking by the parent frees it nevertheless. */
START_TEST(child_keeps_nothing)
{
    int go[2];
    pid_t pid;

    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    pid = fork();
    if (pid == 0) { /* a program that does not know of the file */
        char c;

        close(go[1]);
        _exit(read(go[0], &c, 1) != 0);
    }
    close(go[0]);
    if (_i)
        bcda__shared_file_close(&file);
    else
        bcda__shared_file_unlock(&file);
    ck_assert_int_eq(is_free(path), 1);
    close(go[1]);
    finish_child(pid);
}
END_TEST

START_TEST(child_frees_nothing)
{
    pid_t pid;

    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    pid = fork();
    if (pid == 0) {
        bcda__shared_file_abandon(&file);
        if (descriptors_of(path) != 0 || lock_file(BCDA__SHARED_READ) != BCDA__SHARED_BUSY)
            _exit(1);
        bcda__shared_file_free(&file);
        _exit(0);
    }
    finish_child(pid);
    ck_assert_int_eq(is_free(path), 0);
}
END_TEST

/* ---- the file that the path names ---- */

static int replacements, replacements_max;

static void replace_file(void)
{
    if (replacements++ < replacements_max) {
        put_file(other_path, "new", 3);
        ck_assert_int_eq(rename(other_path, path), 0);
    }
}

static void delete_file(void)
{
    if (replacements++ < replacements_max)
        ck_assert_int_eq(unlink(path), 0);
}

/* The file is replaced, or deleted, between opening and locking. */
START_TEST(replaced_before_locked)
{
    static const int times[] = {1, 2, 7};
    char content[8];

    put_file(path, "old", 3);
    replacements_max = times[_i / 2];
    calls_of.hook = _i % 2 ? delete_file : replace_file;
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(calls_of.locks, times[_i / 2] + 1);
    ck_assert_int_eq(bcda__shared_file_is_named(&file), 1);
    ck_assert_int_eq(descriptors_of(path), 1);
    ck_assert_int_eq(get_file(path, content, sizeof content), _i % 2 ? 0 : 3);
}
END_TEST

START_TEST(replaced_without_end)
{
    put_file(path, "old", 3);
    replacements_max = 1000;
    calls_of.hook = replace_file;
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_BUSY);
    ck_assert_int_lt(calls_of.locks, 100);
    ck_assert_int_eq(file.fd, -1);
}
END_TEST

/* A file that stays open is left if the path names another one. */
START_TEST(replaced_while_open)
{
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    bcda__shared_file_unlock(&file);
    replacements_max = 1;
    if (_i)
        delete_file();
    else
        replace_file();
    ck_assert_int_eq(bcda__shared_file_is_named(&file), 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(bcda__shared_file_is_named(&file), 1);
    ck_assert_int_eq(is_free(path), 0);
}
END_TEST

/* The new file is checked as the first one. */
START_TEST(replaced_by_symbolic_link)
{
    put_file(other_path, "", 0);
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(rename(path, other_path), 0);
    ck_assert_int_eq(symlink(other_path, path), 0); /* leads to the open file */
    check_refused("it is a symbolic link");
}
END_TEST

/* ---- content ---- */

START_TEST(written_and_read)
{
    char content[16];
    size_t len;

    calls_of.small_steps = _i;
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(bcda__shared_file_write(&file, "0123456789", 10, &err), 0);
    ck_assert_int_eq(bcda__shared_file_read(&file, content, sizeof content, &len, &err), 0);
    ck_assert_uint_eq(len, 10);
    ck_assert_int_eq(memcmp(content, "0123456789", 10), 0);
    ck_assert_int_eq(bcda__shared_file_read(&file, content, 4, &len, &err), 0);
    ck_assert_uint_eq(len, 4);
    ck_assert_int_eq(bcda__shared_file_cut(&file, 3, &err), 0);
    ck_assert_int_eq(bcda__shared_file_read(&file, content, sizeof content, &len, &err), 0);
    ck_assert_uint_eq(len, 3);
}
END_TEST

START_TEST(disk_full)
{
    calls_of.write_errno = ENOSPC;
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    ck_assert_int_eq(bcda__shared_file_write(&file, "0123456789", 10, &err), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, "cannot be written: No space left on device") != NULL, "%s",
                  err.text);
}
END_TEST

START_TEST(wiped_with_zeros)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 10000};
    static char content[10000];
    ssize_t i;

    memset(content, 'x', sizeof content);
    put_file(path, content, sizes[_i / 2]);
    ck_assert_int_eq(lock_file(BCDA__SHARED_WRITE), BCDA__SHARED_LOCKED);
    calls_of.small_steps = _i % 2;
    bcda__shared_file_wipe(&file);
    ck_assert_int_eq(calls_of.cut_len, (ssize_t)sizes[_i / 2]);
    for (i = 0; i < calls_of.cut_len; i++)
        ck_assert_int_eq(calls_of.cut[i], 0);
    ck_assert_int_eq(size_of(path), 0);
}
END_TEST

SUITE("shared_file")
{
    suite_case("refused");
    suite_checked(open_test, close_test);
    suite_loop(created_for_the_owner, 0, 2);
    suite_loop(permission_of_others, 0, 10);
    suite_loop(symbolic_link, 0, 2);
    suite_test(directory, fifo, other_owner, missing_directory, no_locks, long_path, not_created,
               relative_path);
    suite_loop(other_content, 0, 13);
    suite_loop(read_only_file, 0, 2);
    suite_loop(read_only_directory, 0, 2);

    suite_case("lock");
    suite_checked(open_test, close_test);
    suite_loop(shared_and_exclusive, 0, 4);
    suite_loop(child_keeps_nothing, 0, 2);
    suite_test(child_frees_nothing);

    suite_case("named");
    suite_checked(open_test, close_test);
    suite_loop(replaced_before_locked, 0, 6);
    suite_test(replaced_without_end, replaced_by_symbolic_link);
    suite_loop(replaced_while_open, 0, 2);

    suite_case("content");
    suite_checked(open_test, close_test);
    suite_loop(written_and_read, 0, 2);
    suite_test(disk_full);
    suite_loop(wiped_with_zeros, 0, 12);
}
