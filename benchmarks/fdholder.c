/* Measure s6-fdholderd through libs6: a descriptor is stored, retrieved and deleted over one connection.
 *
 * fdholder PATH COUNT
 *
 * Writes COUNT lines "store NS" and COUNT lines "retrieve NS" to standard output: the nanoseconds of each
 * call, the close of a retrieved descriptor included. The name that it stores under has the process id in
 * it, so that what others hold is left alone. Needs the packages libs6-dev and skalibs-dev.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <s6/fdholder.h>
#include <skalibs/tai.h>

#define PATIENCE_S 30

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void measure(s6_fdholder_t *holder, int fd, const char *name)
{
	long long started;
	tain deadline, limit;
	int found;

	tain_now_g();
	tain_addsec_g(&deadline, PATIENCE_S);
	tain_add_g(&limit, &tain_infinite_relative);

	started = now_ns();
	if (!s6_fdholder_store_g(holder, fd, name, &limit, &deadline))
		fail("store");
	printf("store %lld\n", now_ns() - started);

	started = now_ns();
	found = s6_fdholder_retrieve_g(holder, name, &deadline);
	if (found < 0)
		fail("retrieve");
	close(found);
	printf("retrieve %lld\n", now_ns() - started);

	if (!s6_fdholder_delete_g(holder, name, &deadline))
		fail("delete");
}

int main(int argc, char **argv)
{
	s6_fdholder_t holder = S6_FDHOLDER_ZERO;
	char name[64];
	tain deadline;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: fdholder PATH COUNT\n");
		return 2;
	}
	snprintf(name, sizeof name, "bench-%ld", (long)getpid());
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		fail("socket");
	tain_now_set_stopwatch_g();
	tain_addsec_g(&deadline, PATIENCE_S);
	if (!s6_fdholder_start_g(&holder, argv[1], &deadline))
		fail(argv[1]);
	for (int left = atoi(argv[2]); left > 0; left--)
		measure(&holder, fd, name);
	s6_fdholder_end(&holder);
	return 0;
}
