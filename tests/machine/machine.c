/* A machine whose wall clock jumps and whose disk fails, for the one process that this is loaded
 * into (LD_PRELOAD). ASSAY_MACHINE names a file of two numbers of 64 bits, which may change at any
 * moment: how many seconds the wall clock is off; and how many writes and syncs to files under
 * ASSAY_DISK are still good before one fails as a broken disk has it (0: none fails). The clock that
 * only counts (CLOCK_MONOTONIC) goes on as it did, as on a real machine. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* A wait by the wall clock is cut into such pieces, so that it notices a jump. */
#define PIECE 20000000LL

struct machine {
	_Atomic int64_t clock_off;
	_Atomic int64_t good_writes;
};

static struct machine still;
static struct machine *machine = &still;
static const char *disk;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("ASSAY_MACHINE");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *found = mmap(NULL, sizeof *machine, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (found != MAP_FAILED)
		machine = found;
	close(file);
	disk = getenv("ASSAY_DISK");
}

/* ---- the clock ---- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	long failed = syscall(SYS_clock_gettime, clock, now);
	if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += machine->clock_off;
	return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &time);
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	if (now)
		*now = time.tv_sec;
	return time.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

static int64_t nanoseconds(const struct timespec *time)
{
	return time->tv_sec * SECOND + time->tv_nsec;
}

/* Who waits until a moment of the wall clock waits a day longer where that is set back by a day, and
 * no longer where it is set forward: so has the kernel it. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
		  const struct timespec *restrict until)
{
	static int (*_Atomic wait)(cnd_t *, mtx_t *, const struct timespec *);
	if (!wait)
		wait = dlsym(RTLD_NEXT, "cnd_timedwait");
	for (;;) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		int64_t left = nanoseconds(until) - nanoseconds(&now);
		if (left <= 0)
			return thrd_timedout;
		syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
		int64_t end = nanoseconds(&now) + (left < PIECE ? left : PIECE);
		struct timespec piece = {.tv_sec = end / SECOND, .tv_nsec = end % SECOND};
		int ended = wait(condition, mutex, &piece);
		if (ended != thrd_timedout)
			return ended;
	}
}

/* ---- the disk ---- */

static int is_on_disk(int file)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length <= 0 || !disk)
		return 0;
	path[length] = 0;
	return strncmp(path, disk, strlen(disk)) == 0;
}

/* Whether it is this one's turn to fail. */
static int fails(int file)
{
	if (machine->good_writes <= 0 || !is_on_disk(file))
		return 0;
	return atomic_fetch_sub(&machine->good_writes, 1) == 1;
}

/* What is written before the disk breaks stays in the file. */
ssize_t write(int file, const void *bytes, size_t length)
{
	if (!fails(file))
		return syscall(SYS_write, file, bytes, length);
	(void)!syscall(SYS_write, file, bytes, length / 2);
	errno = EIO;
	return -1;
}

int fsync(int file)
{
	if (!fails(file))
		return (int)syscall(SYS_fsync, file);
	errno = EIO;
	return -1;
}
