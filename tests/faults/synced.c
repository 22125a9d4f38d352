/* Keeps a copy of what a power loss would leave below a folder: LD_PRELOAD=synced.so.
 *
 * FAULTS_BELOW   the folder; calls for other files are left alone
 * FAULTS_SYNCED  a folder beside it for the copies
 *
 * After each fsync of a file, its content is copied to FAULTS_SYNCED/<key>, and after each fsync of a folder its names
 * are written to FAULTS_SYNCED/<key>: a line `<kind> <key> <name>` for each, where the kind is f, d or l. A key stands
 * for one file or folder: its inode and the time of its birth, since the number of a removed one is used again.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEY = 64 };

/* Write the key of a file, or of a descriptor where the name is empty. Returns what kind of file it is, 0 for none. */
int key_at(int folder, const char *name, char *key) {
  struct statx found;
  if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_INO | STATX_BTIME | STATX_TYPE, &found)) return 0;
  snprintf(key, KEY, "%llx-%llx-%x", (unsigned long long)found.stx_ino, (unsigned long long)found.stx_btime.tv_sec,
           found.stx_btime.tv_nsec);
  return S_ISREG(found.stx_mode) ? 'f' : S_ISDIR(found.stx_mode) ? 'd' : S_ISLNK(found.stx_mode) ? 'l' : 0;
}

/* Write the names of a folder. It is opened anew: the place in the descriptor belongs to the program. */
static void copy_names(int fd, FILE *out) {
  int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = again < 0 ? NULL : fdopendir(again);
  if (!folder) return;
  char key[KEY];
  for (struct dirent *entry; (entry = readdir(folder));) {
    int kind = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") ? key_at(fd, entry->d_name, key) : 0;
    if (kind) fprintf(out, "%c %s %s\n", kind, key, entry->d_name);
  }
  closedir(folder);
}

/* Write the content of a file. Not opened anew: closing it would take away the locks that SQLite has. */
static void copy_content(int fd, FILE *out) {
  static __thread char block[1 << 16];
  ssize_t got;
  for (off_t at = 0; (got = pread(fd, block, sizeof block, at)) > 0; at += got) fwrite(block, 1, got, out);
}

/* Keep what is on the disk of a file or folder now. It is called for what is there at the start, too. */
void keep_synced(int fd, const char *into) {
  char key[KEY], partial[PATH_MAX], final[PATH_MAX];
  int kind = key_at(fd, "", key);
  snprintf(partial, sizeof partial, "%s/%s.%ld.partial", into, key, (long)syscall(SYS_gettid));
  snprintf(final, sizeof final, "%s/%s", into, key);
  FILE *out = kind ? fopen(partial, "we") : NULL;
  if (!out) return;
  if (kind == 'd') copy_names(fd, out);
  else copy_content(fd, out);
  if (!fclose(out)) rename(partial, final);
}

static int after(int fd, int result) {
  const char *folder = getenv("FAULTS_BELOW"), *into = getenv("FAULTS_SYNCED");
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = folder && into && !result ? readlink(link, path, sizeof path - 1) : -1;
  size_t below = folder ? strlen(folder) : 0;
  if (length > 0 && !strncmp(path, folder, below) && (path[below] == '/' || (size_t)length == below))
    keep_synced(fd, into);
  return result;
}

int fsync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
  return after(fd, next(fd));
}

int fdatasync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fdatasync");
  return after(fd, next(fd));
}
