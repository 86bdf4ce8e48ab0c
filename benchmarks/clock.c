/* Adds the seconds in the file CLOCK_FILE to the wall clock that Python reads; monotonic clocks stay.

   cc -shared -fPIC -o clock.so clock.c -ldl; LD_PRELOAD=clock.so CLOCK_FILE=... python

   Ray's own code computes deadlines for waits of the kernel from this clock, so it keeps the true one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    char text[32] = {0};
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    long n = read(file, text, sizeof text - 1);
    close(file);
    return n > 0 ? atol(text) : 0;
}

static int is_python(void *address) {
    Dl_info caller;
    if (!dladdr(address, &caller) || !caller.dli_fname) return 0;
    const char *name = strrchr(caller.dli_fname, '/');
    name = name ? name + 1 : caller.dli_fname;
    return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && is_python(__builtin_return_address(0)))
        now->tv_sec += offset();
    return (int)failed;
}
