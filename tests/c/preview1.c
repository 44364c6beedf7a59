/* Every function of WASI preview 1, called as a C program sees it: what it does, its errors, and what it does not allow.
   `/data` is a folder to write in, with `given.txt` ("from outside") and `link`, which leads out of it; `/ro` is read only,
   with `only.txt`. Each line of output is something that is not as it should be; the exit code is the number of lines. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

static int wrong;

#define CHECK(what, expected)                                                                                      \
    do {                                                                                                           \
        long long got_ = (long long)(what), expected_ = (long long)(expected);                                     \
        if (got_ != expected_) {                                                                                   \
            wrong++;                                                                                               \
            printf("line %d: %s is %lld, not %lld\n", __LINE__, #what, got_, expected_);                           \
        }                                                                                                          \
    } while (0)
#define OK(what) CHECK(what, __WASI_ERRNO_SUCCESS)
/* Denied: which of the codes for that is the host's choice. */
#define DENIED(what)                                                                                               \
    do {                                                                                                           \
        __wasi_errno_t got_ = (what);                                                                              \
        if (got_ != __WASI_ERRNO_PERM && got_ != __WASI_ERRNO_NOTCAPABLE && got_ != __WASI_ERRNO_ACCES &&          \
            got_ != __WASI_ERRNO_ROFS) {                                                                           \
            wrong++;                                                                                               \
            printf("line %d: %s is %d, which is no denial\n", __LINE__, #what, got_);                              \
        }                                                                                                          \
    } while (0)
#define ALL_RIGHTS ((__wasi_rights_t)0x1fffffff)
#define CREATE __WASI_OFLAGS_CREAT
#define NONE 999 /* a descriptor that is not open */

static __wasi_fd_t preopen(const char *name) {
    for (__wasi_fd_t fd = 3;; fd++) {
        __wasi_prestat_t prestat;
        char own[64] = {0};
        if (__wasi_fd_prestat_get(fd, &prestat) != 0) return NONE;
        if (prestat.u.dir.pr_name_len < sizeof own &&
            __wasi_fd_prestat_dir_name(fd, (uint8_t *)own, prestat.u.dir.pr_name_len) == 0 && !strcmp(own, name))
            return fd;
    }
}

static __wasi_errno_t open_at(__wasi_fd_t dir, const char *path, __wasi_oflags_t flags, __wasi_fdflags_t fdflags,
                              __wasi_rights_t rights, __wasi_fd_t *fd) {
    return __wasi_path_open(dir, 0, path, flags, rights, ALL_RIGHTS, fdflags, fd);
}

static __wasi_size_t put(__wasi_fd_t fd, const char *text) {
    __wasi_ciovec_t vector = {(const uint8_t *)text, strlen(text)};
    __wasi_size_t written = NONE;
    OK(__wasi_fd_write(fd, &vector, 1, &written));
    return written;
}

static __wasi_errno_t stat_at(__wasi_fd_t dir, const char *path, __wasi_filestat_t *stat) {
    return __wasi_path_filestat_get(dir, 0, path, stat);
}

static void files(__wasi_fd_t data) {
    __wasi_fd_t fd, other;
    __wasi_size_t n;
    __wasi_filesize_t at;
    __wasi_filestat_t stat;
    char buffer[64];
    __wasi_iovec_t in = {(uint8_t *)buffer, sizeof buffer};
    __wasi_ciovec_t two[2] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"cd", 2}}, none = {(const uint8_t *)"", 0};
    const __wasi_rights_t rw = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL |
                               __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE |
                               __WASI_RIGHTS_FD_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_SYNC | __WASI_RIGHTS_FD_DATASYNC |
                               __WASI_RIGHTS_FD_ADVISE | __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS;

    CHECK(open_at(data, "file", 0, 0, rw, &fd), __WASI_ERRNO_NOENT);
    OK(open_at(data, "file", CREATE | __WASI_OFLAGS_EXCL, 0, rw, &fd));
    CHECK(open_at(data, "file", CREATE | __WASI_OFLAGS_EXCL, 0, rw, &other), __WASI_ERRNO_EXIST);
    CHECK(open_at(data, "file", __WASI_OFLAGS_DIRECTORY, 0, __WASI_RIGHTS_FD_READ, &other), __WASI_ERRNO_NOTDIR);
    CHECK(open_at(data, "file/x", 0, 0, __WASI_RIGHTS_FD_READ, &other), __WASI_ERRNO_NOTDIR);
    CHECK(open_at(fd, "x", 0, 0, __WASI_RIGHTS_FD_READ, &other), __WASI_ERRNO_NOTDIR);
    CHECK(open_at(NONE, "file", 0, 0, __WASI_RIGHTS_FD_READ, &other), __WASI_ERRNO_BADF);
    CHECK(open_at(data, "", 0, 0, __WASI_RIGHTS_FD_READ, &other), __WASI_ERRNO_NOENT);
    CHECK(put(fd, "0123456789"), 10);
    OK(__wasi_fd_tell(fd, &at));
    CHECK(at, 10);
    OK(__wasi_fd_seek(fd, -4, __WASI_WHENCE_END, &at));
    CHECK(at, 6);
    OK(__wasi_fd_read(fd, &in, 1, &n));
    CHECK(n == 4 && !memcmp(buffer, "6789", 4), 1);
    OK(__wasi_fd_read(fd, &in, 1, &n));
    CHECK(n, 0);
    OK(__wasi_fd_seek(fd, 2, __WASI_WHENCE_SET, &at));
    OK(__wasi_fd_seek(fd, 3, __WASI_WHENCE_CUR, &at));
    CHECK(at, 5);
    CHECK(__wasi_fd_seek(fd, -6, __WASI_WHENCE_CUR, &at), __WASI_ERRNO_INVAL);
    CHECK(__wasi_fd_seek(fd, -1, __WASI_WHENCE_SET, &at), __WASI_ERRNO_INVAL);
    CHECK(__wasi_fd_seek(fd, 0, 9, &at), __WASI_ERRNO_INVAL);
    CHECK(__wasi_fd_seek(data, 0, __WASI_WHENCE_SET, &at), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_tell(NONE, &at), __WASI_ERRNO_BADF);
    OK(__wasi_fd_tell(fd, &at));
    CHECK(at, 5);
    /* At a place: the position stays. Vectors: at least the first is written, and what is said to be, is. */
    OK(__wasi_fd_pwrite(fd, two, 2, 1, &n));
    CHECK(n >= 2 && n <= 4, 1);
    OK(__wasi_fd_pread(fd, &in, 1, 0, &n));
    CHECK(n == 10 && !memcmp(buffer, "0ab", 3), 1);
    OK(__wasi_fd_tell(fd, &at));
    CHECK(at, 5);
    OK(__wasi_fd_write(fd, &none, 1, &n));
    CHECK(n, 0);
    OK(__wasi_fd_write(fd, two, 0, &n));
    CHECK(n, 0);
    OK(__wasi_fd_read(fd, &in, 0, &n));
    CHECK(n, 0);
    CHECK(__wasi_fd_pread(NONE, &in, 1, 0, &n), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_pwrite(NONE, two, 1, 0, &n), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_read(NONE, &in, 1, &n), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_write(NONE, two, 1, &n), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_read(data, &in, 1, &n), __WASI_ERRNO_BADF);

    OK(__wasi_fd_filestat_set_size(fd, 3));
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(stat.size, 3);
    CHECK(stat.filetype, __WASI_FILETYPE_REGULAR_FILE);
    CHECK(stat.nlink, 1);
    OK(__wasi_fd_filestat_set_size(fd, 20));
    OK(__wasi_fd_pread(fd, &in, 1, 3, &n));
    CHECK(n == 17 && buffer[0] == 0 && buffer[16] == 0, 1);
    CHECK(__wasi_fd_filestat_get(NONE, &stat), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_filestat_set_size(NONE, 1), __WASI_ERRNO_BADF);
    OK(__wasi_fd_filestat_set_times(fd, 1000000000, 2000000000, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
    OK(stat_at(data, "file", &stat));
    CHECK(stat.atim, 1000000000);
    CHECK(stat.mtim, 2000000000);
    OK(__wasi_path_filestat_set_times(data, 0, "file", 0, 3000000000, __WASI_FSTFLAGS_MTIM));
    OK(stat_at(data, "file", &stat));
    CHECK(stat.atim, 1000000000);
    CHECK(stat.mtim, 3000000000);
    OK(__wasi_path_filestat_set_times(data, 0, "file", 0, 0, __WASI_FSTFLAGS_MTIM_NOW));
    OK(stat_at(data, "file", &stat));
    CHECK(stat.mtim > 1600000000000000000, 1);
    CHECK(__wasi_path_filestat_set_times(data, 0, "file", 0, 0, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), __WASI_ERRNO_INVAL);
    CHECK(__wasi_path_filestat_set_times(data, 0, "missing", 0, 0, __WASI_FSTFLAGS_MTIM), __WASI_ERRNO_NOENT);
    CHECK(__wasi_fd_filestat_set_times(NONE, 0, 0, __WASI_FSTFLAGS_MTIM), __WASI_ERRNO_BADF);
    OK(__wasi_fd_sync(fd));
    OK(__wasi_fd_datasync(fd));
    CHECK(__wasi_fd_sync(NONE), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_datasync(NONE), __WASI_ERRNO_BADF);
    OK(__wasi_fd_advise(fd, 0, 0, __WASI_ADVICE_SEQUENTIAL));
    CHECK(__wasi_fd_advise(fd, 0, 0, 99), __WASI_ERRNO_INVAL);
    CHECK(__wasi_fd_advise(NONE, 0, 0, 0), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_allocate(NONE, 0, 1), __WASI_ERRNO_BADF);

    /* Flags and rights of a descriptor. */
    __wasi_fdstat_t fdstat;
    OK(__wasi_fd_fdstat_get(fd, &fdstat));
    CHECK(fdstat.fs_filetype, __WASI_FILETYPE_REGULAR_FILE);
    CHECK(fdstat.fs_flags, 0);
    OK(__wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_APPEND));
    OK(__wasi_fd_fdstat_get(fd, &fdstat));
    CHECK(fdstat.fs_flags, __WASI_FDFLAGS_APPEND);
    OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at));
    CHECK(put(fd, "end"), 3);
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(stat.size, 23);
    CHECK(__wasi_fd_fdstat_get(NONE, &fdstat), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_fdstat_set_flags(NONE, 0), __WASI_ERRNO_BADF);
    OK(__wasi_fd_close(fd));
    CHECK(__wasi_fd_close(fd), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_read(fd, &in, 1, &n), __WASI_ERRNO_BADF);
    OK(open_at(data, "file", 0, 0, __WASI_RIGHTS_FD_READ, &fd));
    CHECK(__wasi_fd_write(fd, two, 1, &n) != 0, 1);
    OK(__wasi_fd_close(fd));
    OK(open_at(data, "file", __WASI_OFLAGS_TRUNC, 0, rw, &fd));
    OK(__wasi_fd_filestat_get(fd, &stat));
    CHECK(stat.size, 0);

    /* Renumbering closes what was there. */
    OK(open_at(data, "given.txt", 0, 0, __WASI_RIGHTS_FD_READ, &other));
    OK(__wasi_fd_renumber(other, fd));
    CHECK(__wasi_fd_close(other), __WASI_ERRNO_BADF);
    OK(__wasi_fd_read(fd, &in, 1, &n));
    CHECK(n == 12 && !memcmp(buffer, "from outside", 12), 1);
    CHECK(__wasi_fd_renumber(NONE, fd), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_renumber(fd, NONE), __WASI_ERRNO_BADF);
    OK(__wasi_fd_renumber(fd, fd));
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_unlink_file(data, "file"));
    CHECK(__wasi_path_unlink_file(data, "file"), __WASI_ERRNO_NOENT);
}

static void folders(__wasi_fd_t data) {
    __wasi_fd_t fd, sub;
    __wasi_size_t n;
    __wasi_filestat_t stat;
    char buffer[4096], name[32];
    OK(__wasi_path_create_directory(data, "sub"));
    CHECK(__wasi_path_create_directory(data, "sub"), __WASI_ERRNO_EXIST);
    CHECK(__wasi_path_create_directory(data, "missing/sub"), __WASI_ERRNO_NOENT);
    CHECK(__wasi_path_create_directory(NONE, "x"), __WASI_ERRNO_BADF);
    CHECK(__wasi_path_unlink_file(data, "sub") != 0, 1);
    OK(open_at(data, "sub", __WASI_OFLAGS_DIRECTORY, 0, __WASI_RIGHTS_FD_READDIR, &sub));
    CHECK(open_at(data, "sub", CREATE | __WASI_OFLAGS_DIRECTORY, 0, 0, &fd) != 0, 1);
    CHECK(open_at(data, "sub", 0, 0, __WASI_RIGHTS_FD_WRITE, &fd), __WASI_ERRNO_ISDIR);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "entry-%02d", i);
        OK(open_at(sub, name, CREATE, 0, __WASI_RIGHTS_FD_WRITE, &fd));
        OK(__wasi_fd_close(fd));
    }
    /* A small buffer, again and again from the cookie of the last whole entry: each entry once. */
    unsigned seen = 0, dots = 0;
    __wasi_dircookie_t cookie = 0;
    for (int round = 0; round < 200; round++) {
        OK(__wasi_fd_readdir(sub, (uint8_t *)buffer, 100, cookie, &n));
        __wasi_size_t at = 0;
        while (at + sizeof(__wasi_dirent_t) <= n) {
            __wasi_dirent_t entry;
            memcpy(&entry, buffer + at, sizeof entry);
            if (at + sizeof entry + entry.d_namlen > n) break;
            char *text = buffer + at + sizeof entry;
            if (entry.d_namlen == 8 && !memcmp(text, "entry-", 6)) {
                unsigned bit = 1u << (10 * (text[6] - '0') + text[7] - '0');
                CHECK(seen & bit, 0);
                CHECK(entry.d_type, __WASI_FILETYPE_REGULAR_FILE);
                seen |= bit;
            } else {
                CHECK(text[0] == '.' && entry.d_namlen <= 2, 1);
                dots++;
            }
            cookie = entry.d_next;
            at += sizeof entry + entry.d_namlen;
        }
        if (n < 100) break;
    }
    CHECK(seen, (1u << 20) - 1);
    CHECK(dots, 2);
    CHECK(__wasi_fd_readdir(NONE, (uint8_t *)buffer, 100, 0, &n), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_readdir(1, (uint8_t *)buffer, 100, 0, &n) != 0, 1);
    CHECK(__wasi_path_remove_directory(data, "sub"), __WASI_ERRNO_NOTEMPTY);
    CHECK(__wasi_path_remove_directory(data, "given.txt"), __WASI_ERRNO_NOTDIR);
    CHECK(__wasi_path_remove_directory(data, "missing"), __WASI_ERRNO_NOENT);

    /* Renames and links. */
    OK(__wasi_path_rename(sub, "entry-00", data, "moved"));
    CHECK(stat_at(sub, "entry-00", &stat), __WASI_ERRNO_NOENT);
    OK(stat_at(data, "moved", &stat));
    CHECK(__wasi_path_rename(data, "missing", data, "x"), __WASI_ERRNO_NOENT);
    CHECK(__wasi_path_rename(data, "moved", data, "sub") != 0, 1);
    CHECK(__wasi_path_rename(data, "sub", data, "sub/inner"), __WASI_ERRNO_INVAL);
    OK(__wasi_path_link(data, 0, "moved", data, "hard"));
    OK(stat_at(data, "hard", &stat));
    CHECK(stat.nlink, 2);
    CHECK(__wasi_path_link(data, 0, "moved", data, "hard"), __WASI_ERRNO_EXIST);
    CHECK(__wasi_path_link(data, 0, "missing", data, "x"), __WASI_ERRNO_NOENT);
    OK(__wasi_path_symlink("moved", data, "soft"));
    CHECK(__wasi_path_symlink("moved", data, "soft"), __WASI_ERRNO_EXIST);
    OK(__wasi_path_readlink(data, "soft", (uint8_t *)buffer, sizeof buffer, &n));
    CHECK(n == 5 && !memcmp(buffer, "moved", 5), 1);
    OK(__wasi_path_readlink(data, "soft", (uint8_t *)buffer, 3, &n));
    CHECK(n == 3 && !memcmp(buffer, "mov", 3), 1);
    CHECK(__wasi_path_readlink(data, "moved", (uint8_t *)buffer, sizeof buffer, &n), __WASI_ERRNO_INVAL);
    CHECK(__wasi_path_readlink(data, "missing", (uint8_t *)buffer, sizeof buffer, &n), __WASI_ERRNO_NOENT);
    OK(stat_at(data, "soft", &stat));
    CHECK(stat.filetype, __WASI_FILETYPE_SYMBOLIC_LINK);
    OK(__wasi_path_filestat_get(data, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "soft", &stat));
    CHECK(stat.filetype, __WASI_FILETYPE_REGULAR_FILE);
    CHECK(open_at(data, "soft", 0, 0, __WASI_RIGHTS_FD_READ, &fd), __WASI_ERRNO_LOOP);
    OK(__wasi_path_open(data, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "soft", 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd));
    OK(__wasi_fd_close(fd));
    OK(__wasi_path_symlink("circle", data, "circle"));
    CHECK(__wasi_path_open(data, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "circle", 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd), __WASI_ERRNO_LOOP);
    DENIED(__wasi_path_symlink("/etc/passwd", data, "absolute"));
    const char *gone[] = {"moved", "hard", "soft", "circle"};
    for (int i = 0; i < 4; i++) OK(__wasi_path_unlink_file(data, gone[i]));
    for (int i = 1; i < 20; i++) {
        snprintf(name, sizeof name, "sub/entry-%02d", i);
        OK(__wasi_path_unlink_file(data, name));
    }
    OK(__wasi_fd_close(sub));
    OK(__wasi_path_remove_directory(data, "sub"));
}

static void denied(__wasi_fd_t data, __wasi_fd_t ro) {
    __wasi_fd_t fd;
    __wasi_filestat_t stat;
    __wasi_size_t n;
    uint8_t buffer[64];
    const char *outside[] = {"..", "../secret.txt", "link/../../secret.txt", "/", "/etc/passwd", "./../secret.txt"};
    for (unsigned i = 0; i < sizeof outside / sizeof *outside; i++) {
        const char *path = outside[i];
        const __wasi_lookupflags_t follow = __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
        CHECK(__wasi_path_open(data, follow, path, 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd) != 0, 1);
        CHECK(__wasi_path_open(data, follow, path, CREATE, __WASI_RIGHTS_FD_WRITE, 0, 0, &fd) != 0, 1);
        CHECK(__wasi_path_filestat_get(data, follow, path, &stat) != 0, 1);
        CHECK(__wasi_path_filestat_set_times(data, follow, path, 0, 0, __WASI_FSTFLAGS_MTIM) != 0, 1);
        CHECK(__wasi_path_create_directory(data, path) != 0, 1);
        CHECK(__wasi_path_remove_directory(data, path) != 0, 1);
        CHECK(__wasi_path_unlink_file(data, path) != 0, 1);
        CHECK(__wasi_path_rename(data, "given.txt", data, path) != 0, 1);
        CHECK(__wasi_path_rename(data, path, data, "here") != 0, 1);
        CHECK(__wasi_path_link(data, 0, path, data, "here") != 0, 1);
        CHECK(__wasi_path_link(data, 0, "given.txt", data, path) != 0, 1);
        CHECK(__wasi_path_symlink("given.txt", data, path) != 0, 1);
        CHECK(__wasi_path_readlink(data, path, buffer, sizeof buffer, &n) != 0, 1);
    }
    DENIED(open_at(data, "../secret.txt", 0, 0, __WASI_RIGHTS_FD_READ, &fd));
    DENIED(__wasi_path_open(data, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "link", 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd));
    /* What is read only can be read, and no more. */
    OK(open_at(ro, "only.txt", 0, 0, __WASI_RIGHTS_FD_READ, &fd));
    DENIED(__wasi_fd_filestat_set_times(fd, 0, 0, __WASI_FSTFLAGS_MTIM));
    CHECK(__wasi_fd_filestat_set_size(fd, 0) != 0, 1);
    OK(__wasi_fd_close(fd));
    DENIED(open_at(ro, "only.txt", 0, 0, __WASI_RIGHTS_FD_WRITE, &fd));
    DENIED(open_at(ro, "only.txt", __WASI_OFLAGS_TRUNC, 0, __WASI_RIGHTS_FD_READ, &fd));
    DENIED(open_at(ro, "new", CREATE, 0, __WASI_RIGHTS_FD_READ, &fd));
    DENIED(__wasi_path_create_directory(ro, "new"));
    DENIED(__wasi_path_unlink_file(ro, "only.txt"));
    DENIED(__wasi_path_rename(ro, "only.txt", ro, "new"));
    DENIED(__wasi_path_rename(ro, "only.txt", data, "new"));
    DENIED(__wasi_path_rename(data, "given.txt", ro, "new"));
    DENIED(__wasi_path_link(ro, 0, "only.txt", ro, "new"));
    DENIED(__wasi_path_link(ro, 0, "only.txt", data, "new"));
    DENIED(__wasi_path_symlink("only.txt", ro, "new"));
    DENIED(__wasi_path_filestat_set_times(ro, 0, "only.txt", 0, 0, __WASI_FSTFLAGS_MTIM));
}

static void the_rest(int argc, char **argv) {
    __wasi_size_t count, size;
    __wasi_timestamp_t time, later;
    uint8_t random[2][1000];
    OK(__wasi_args_sizes_get(&count, &size));
    CHECK(count, argc);
    CHECK(argc == 3 && !strcmp(argv[1], "one") && !strcmp(argv[2], ""), 1);
    OK(__wasi_environ_sizes_get(&count, &size));
    CHECK(count, 1);
    CHECK(size, sizeof "COLOUR=green");
    CHECK(strcmp(getenv("COLOUR"), "green"), 0);
    OK(__wasi_clock_res_get(__WASI_CLOCKID_MONOTONIC, &time));
    CHECK(time > 0 && time <= 1000000000, 1);
    OK(__wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &time));
    OK(__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &time));
    CHECK(time > 1600000000000000000, 1);
    CHECK(__wasi_clock_time_get(99, 1, &time) != 0, 1);
    CHECK(__wasi_clock_res_get(99, &time) != 0, 1);
    OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &time));
    OK(__wasi_sched_yield());

    __wasi_subscription_t wait = {.userdata = 7, .u = {.tag = __WASI_EVENTTYPE_CLOCK,
        .u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 20000000}}};
    __wasi_event_t event[2];
    OK(__wasi_poll_oneoff(&wait, event, 1, &count));
    CHECK(count == 1 && event[0].userdata == 7 && event[0].error == 0 && event[0].type == __WASI_EVENTTYPE_CLOCK, 1);
    OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &later));
    CHECK(later - time >= 20000000, 1);
    wait.u.u.clock.timeout = later;
    wait.u.u.clock.flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    OK(__wasi_poll_oneoff(&wait, event, 1, &count));
    CHECK(count, 1);
    CHECK(__wasi_poll_oneoff(&wait, event, 0, &count), __WASI_ERRNO_INVAL);
    /* Output can be written to: it is there before an hour has passed. */
    __wasi_subscription_t both[2] = {
        {.userdata = 1, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 3600000000000}}},
        {.userdata = 2, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u.fd_write = {.file_descriptor = 1}}}};
    OK(__wasi_poll_oneoff(both, event, 2, &count));
    CHECK(count == 1 && event[0].userdata == 2, 1);

    OK(__wasi_random_get(random[0], sizeof random[0]));
    OK(__wasi_random_get(random[1], sizeof random[1]));
    CHECK(memcmp(random[0], random[1], sizeof random[0]) != 0, 1);
    OK(__wasi_random_get(random[0], 0));

    /* There are no sockets, and files are none. */
    __wasi_fd_t fd;
    CHECK(__wasi_sock_accept(NONE, 0, &fd) != 0, 1);
    CHECK(__wasi_sock_shutdown(NONE, __WASI_SDFLAGS_RD) != 0, 1);
    CHECK(__wasi_sock_shutdown(1, __WASI_SDFLAGS_RD) != 0, 1);
    __wasi_fdstat_t stat;
    OK(__wasi_fd_fdstat_get(0, &stat));
    CHECK(stat.fs_rights_base & __WASI_RIGHTS_FD_WRITE, 0);
    OK(__wasi_fd_fdstat_get(1, &stat));
    CHECK(stat.fs_rights_base & __WASI_RIGHTS_FD_READ, 0);
    __wasi_prestat_t prestat;
    CHECK(__wasi_fd_prestat_get(NONE, &prestat), __WASI_ERRNO_BADF);
    CHECK(__wasi_fd_prestat_get(1, &prestat) != 0, 1);
    CHECK(__wasi_fd_prestat_dir_name(preopen("/data"), random[0], 2), __WASI_ERRNO_NAMETOOLONG);
}

int main(int argc, char **argv) {
    __wasi_fd_t data = preopen("/data"), ro = preopen("/ro");
    CHECK(data != NONE && ro != NONE, 1);
    files(data);
    folders(data);
    denied(data, ro);
    the_rest(argc, argv);
    fflush(stdout);
    exit(wrong);
}
