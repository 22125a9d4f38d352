/* Lets the n-th call of a kind below a folder fail, once or from then on: LD_PRELOAD=failing.so.
 *
 * FAULTS_BELOW   the folder; calls for other files are left alone
 * FAULTS_STATE   a file of sizeof(struct state) bytes that all processes map: they count together
 *
 * The state says which kind fails, at which call, how (errno), and whether from then on for good. It also counts the
 * calls of every kind, so that one run with `kind` -1 tells how many there are, and holds what failed first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* As in KINDS of io_errors.py. */
enum kind { WRITE, CREATE, OPEN, RENAME, MKDIR, FSYNC, LINK, UNLINK, MMAP, TRUNCATE, CHMOD, FLOCK, KINDS };

struct state {
  int kind, nth, error, forever; /* what is to fail; written before the run */
  int fired;                     /* how many calls failed */
  int counts[16];                /* calls so far, by kind */
  char program[16];              /* who made the first call that failed */
  char path[4096];               /* and for which file */
};

static struct state *state;
static char below[PATH_MAX];
static size_t below_length;

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("FAULTS_BELOW"), *file = getenv("FAULTS_STATE");
  if (!folder || !file || !realpath(folder, below)) return;
  below_length = strlen(below);
  int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int fd = next(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *(*map)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
  void *found = map(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (found != MAP_FAILED) state = found;
}

/* Whether this call fails; errno says how. */
static int fails_path(enum kind kind, const char *path) {
  if (strncmp(path, below, below_length) || (path[below_length] != '/' && path[below_length])) return 0;
  int nth = __atomic_add_fetch(&state->counts[kind], 1, __ATOMIC_SEQ_CST);
  if (state->kind != (int)kind || nth < state->nth || (nth > state->nth && !state->forever)) return 0;
  if (__atomic_add_fetch(&state->fired, 1, __ATOMIC_SEQ_CST) == 1) {
    snprintf(state->program, sizeof state->program, "%s", program_invocation_short_name);
    snprintf(state->path, sizeof state->path, "%s", path);
  }
  errno = state->error;
  return 1;
}

static int fails_fd(enum kind kind, int fd) {
  char link[64], path[PATH_MAX];
  int before = errno;
  if (!state || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length <= 0) return 0;
  path[length] = 0;
  return fails_path(kind, path);
}

/* `path` as seen from the folder `at`; good enough for the paths that are asked for, which have no `..` in them. */
static int fails_at(enum kind kind, int at, const char *path) {
  char folder[PATH_MAX], whole[2 * PATH_MAX], link[64];
  int before = errno;
  if (!state || !path) return 0;
  if (path[0] == '/') return fails_path(kind, path);
  if (at == AT_FDCWD) {
    if (!getcwd(folder, sizeof folder)) folder[0] = 0;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = 0;
  }
  errno = before;
  snprintf(whole, sizeof whole, "%s/%s", folder, path);
  return fails_path(kind, whole);
}

#define NEXT(type, name, ...)                          \
  static type (*next)(__VA_ARGS__);                    \
  if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define ON_FD(type, name, kind, parameters, arguments, ...) \
  type name parameters {                                    \
    NEXT(type, name, __VA_ARGS__);                          \
    return fails_fd(kind, fd) ? -1 : next arguments;        \
  }

ON_FD(ssize_t, write, WRITE, (int fd, const void *data, size_t size), (fd, data, size), int, const void *, size_t)
ON_FD(ssize_t, pwrite, WRITE, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), int,
      const void *, size_t, off_t)
ON_FD(ssize_t, pwrite64, WRITE, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), int,
      const void *, size_t, off64_t)
ON_FD(ssize_t, writev, WRITE, (int fd, const struct iovec *parts, int count), (fd, parts, count), int,
      const struct iovec *, int)
ON_FD(ssize_t, sendfile, WRITE, (int fd, int from, off_t *at, size_t size), (fd, from, at, size), int, int, off_t *,
      size_t)
ON_FD(ssize_t, sendfile64, WRITE, (int fd, int from, off64_t *at, size_t size), (fd, from, at, size), int, int,
      off64_t *, size_t)
ON_FD(int, fsync, FSYNC, (int fd), (fd), int)
ON_FD(int, fdatasync, FSYNC, (int fd), (fd), int)
ON_FD(int, ftruncate, TRUNCATE, (int fd, off_t size), (fd, size), int, off_t)
ON_FD(int, ftruncate64, TRUNCATE, (int fd, off64_t size), (fd, size), int, off64_t)
ON_FD(int, fchmod, CHMOD, (int fd, mode_t mode), (fd, mode), int, mode_t)
ON_FD(int, flock, FLOCK, (int fd, int how), (fd, how), int, int)

#define ON_PATH(name, kind, parameters, arguments, ...)                \
  int name parameters {                                                \
    NEXT(int, name, __VA_ARGS__);                                      \
    return fails_at(kind, AT_FDCWD, path) ? -1 : next arguments;       \
  }

ON_PATH(mkdir, MKDIR, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
ON_PATH(unlink, UNLINK, (const char *path), (path), const char *)
ON_PATH(rmdir, UNLINK, (const char *path), (path), const char *)
ON_PATH(truncate, TRUNCATE, (const char *path, off_t size), (path, size), const char *, off_t)
ON_PATH(truncate64, TRUNCATE, (const char *path, off64_t size), (path, size), const char *, off64_t)
ON_PATH(chmod, CHMOD, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
ON_PATH(symlink, LINK, (const char *to, const char *path), (to, path), const char *, const char *)
ON_PATH(link, LINK, (const char *from, const char *path), (from, path), const char *, const char *)
ON_PATH(rename, RENAME, (const char *from, const char *path), (from, path), const char *, const char *)

int mkdirat(int at, const char *path, mode_t mode) {
  NEXT(int, mkdirat, int, const char *, mode_t);
  return fails_at(MKDIR, at, path) ? -1 : next(at, path, mode);
}

int unlinkat(int at, const char *path, int flags) {
  NEXT(int, unlinkat, int, const char *, int);
  return fails_at(UNLINK, at, path) ? -1 : next(at, path, flags);
}

int linkat(int at, const char *from, int to, const char *path, int flags) {
  NEXT(int, linkat, int, const char *, int, const char *, int);
  return fails_at(LINK, to, path) ? -1 : next(at, from, to, path, flags);
}

int renameat(int at, const char *from, int to, const char *path) {
  NEXT(int, renameat, int, const char *, int, const char *);
  return fails_at(RENAME, to, path) ? -1 : next(at, from, to, path);
}

int fchmodat(int at, const char *path, mode_t mode, int flags) {
  NEXT(int, fchmodat, int, const char *, mode_t, int);
  return fails_at(CHMOD, at, path) ? -1 : next(at, path, mode, flags);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at) {
  NEXT(void *, mmap, void *, size_t, int, int, int, off_t);
  return fails_fd(MMAP, fd) ? MAP_FAILED : next(where, size, protection, flags, fd, at);
}

void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t at) {
  NEXT(void *, mmap64, void *, size_t, int, int, int, off64_t);
  return fails_fd(MMAP, fd) ? MAP_FAILED : next(where, size, protection, flags, fd, at);
}

static enum kind opens(int flags) { return flags & (O_WRONLY | O_RDWR | O_CREAT) ? CREATE : OPEN; }

#define MODE(flags)                                     \
  mode_t mode = 0;                                      \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {              \
    va_list more;                                       \
    va_start(more, flags);                              \
    mode = va_arg(more, mode_t);                        \
    va_end(more);                                       \
  }

#define OPENS(name)                                                                   \
  int name(const char *path, int flags, ...) {                                        \
    NEXT(int, name, const char *, int, ...);                                          \
    MODE(flags)                                                                       \
    return fails_at(opens(flags), AT_FDCWD, path) ? -1 : next(path, flags, mode);     \
  }

#define OPENS_AT(name)                                                                \
  int name(int at, const char *path, int flags, ...) {                                \
    NEXT(int, name, int, const char *, int, ...);                                     \
    MODE(flags)                                                                       \
    return fails_at(opens(flags), at, path) ? -1 : next(at, path, flags, mode);       \
  }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

#define FOPENS(name)                                                                             \
  FILE *name(const char *path, const char *mode) {                                               \
    NEXT(FILE *, name, const char *, const char *);                                              \
    return fails_at(mode[0] == 'r' ? OPEN : CREATE, AT_FDCWD, path) ? NULL : next(path, mode);   \
  }

FOPENS(fopen)
FOPENS(fopen64)
