/* SPDX-License-Identifier: MIT
 * A bad network between two TUN devices: what comes out of one goes into the
 * other late, in order, or not at all. One direction knows nothing of the
 * other. Prints "ready" when the devices exist and "name value" lines at the
 * end, which is the end of its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	PACKET_SIZE_MAX = 1600,
	QUEUE_MAX = 8192, /* packets on their way, each direction */
};

#define MS_NS INT64_C(1000000)
#define NEVER INT64_MAX

struct network {
	double loss;		 /* 0 to 1, each packet by itself */
	double delay_ms;	 /* one way */
	double jitter_ms;	 /* added to that or taken from it, at most */
	double kbit;		 /* a second; 0: unlimited */
	double queue_ms;	 /* that wait for the bandwidth; more is lost */
	double bad_every_ms;	 /* mean time between two bad spells; 0: none */
	double bad_ms, bad_loss; /* how long one lasts, and what it loses */
	double hold_every_ms;	 /* mean time between two holds; 0: none */
	double hold_ms;		 /* how long one holds everything up, at most */
};

struct packet {
	int64_t due_ns;
	size_t size;
	uint8_t bytes[PACKET_SIZE_MAX];
};

/* A time that comes again and again, and lasts. */
struct spell {
	int64_t from_ns, to_ns;
};

struct direction {
	const struct network *network;
	int from, to;
	uint64_t random;
	struct spell bad, hold;
	int64_t busy_until_ns;	/* the bandwidth is taken until then */
	int64_t last_due_ns;	/* order is kept */
	struct packet *packets; /* a ring of QUEUE_MAX */
	size_t first, count;
	uint64_t passed, lost;
};

static void die(const char *what)
{
	fprintf(stderr, "bench-emulator: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 * MS_NS + ts.tv_nsec;
}

/* xorshift64*, by Vigna (2016): the same packets are lost in each run with the
 * same seed. 0 to 1. */
static double draw(struct direction *d)
{
	d->random ^= d->random >> 12;
	d->random ^= d->random << 25;
	d->random ^= d->random >> 27;
	return (double)((d->random * UINT64_C(0x2545F4914F6CDD1D)) >> 11) *
	       0x1p-53;
}

static int64_t ns_of(double ms)
{
	return (int64_t)(ms * (double)MS_NS);
}

/* The time to the next of events that are EVERY_MS apart in the mean. */
static int64_t draw_pause(struct direction *d, double every_ms)
{
	return ns_of(-log(1 - draw(d)) * every_ms);
}

/* Whether NOW is in a spell; moves on to the next one when it is over. */
static bool in_spell(struct direction *d, struct spell *spell, double every_ms,
		     double ms, int64_t now)
{
	if (every_ms <= 0)
		return false;
	while (now >= spell->to_ns) {
		spell->from_ns = (spell->to_ns ? spell->to_ns : now) +
				 draw_pause(d, every_ms);
		spell->to_ns = spell->from_ns + ns_of(ms * (0.5 + draw(d) / 2));
	}
	return now >= spell->from_ns;
}

static bool is_lost(struct direction *d, int64_t now)
{
	const struct network *n = d->network;
	double loss = n->loss;

	if (in_spell(d, &d->bad, n->bad_every_ms, n->bad_ms, now))
		loss = n->bad_loss;
	return draw(d) < loss || d->count == QUEUE_MAX;
}

/* When a packet of SIZE bytes has passed the bandwidth; NEVER: the queue is
 * full. */
static int64_t pass_bandwidth(struct direction *d, size_t size, int64_t now)
{
	const struct network *n = d->network;

	if (n->kbit <= 0)
		return now;
	if (d->busy_until_ns < now)
		d->busy_until_ns = now;
	if (d->busy_until_ns - now > ns_of(n->queue_ms))
		return NEVER;
	d->busy_until_ns += ns_of((double)size * 8 / n->kbit);
	return d->busy_until_ns;
}

static int64_t due_of(struct direction *d, size_t size, int64_t now)
{
	const struct network *n = d->network;
	int64_t due = pass_bandwidth(d, size, now);

	if (due == NEVER)
		return NEVER;
	due += ns_of(n->delay_ms + (2 * draw(d) - 1) * n->jitter_ms);
	if (in_spell(d, &d->hold, n->hold_every_ms, n->hold_ms, now) &&
	    due < d->hold.to_ns)
		due = d->hold.to_ns;
	if (due < d->last_due_ns)
		due = d->last_due_ns;
	d->last_due_ns = due;
	return due;
}

static void take_in(struct direction *d)
{
	struct packet *packet = &d->packets[(d->first + d->count) % QUEUE_MAX];
	uint8_t scratch[PACKET_SIZE_MAX];
	int64_t now = now_ns();
	ssize_t n = read(d->from, scratch, sizeof(scratch));

	if (n <= 0)
		return;
	if (is_lost(d, now)) {
		d->lost++;
		return;
	}
	packet->due_ns = due_of(d, (size_t)n, now);
	if (packet->due_ns == NEVER) {
		d->lost++;
		return;
	}
	memcpy(packet->bytes, scratch, (size_t)n);
	packet->size = (size_t)n;
	d->count++;
}

/* Hands over what is due; returns when the next packet is. */
static int64_t hand_over(struct direction *d)
{
	while (d->count > 0) {
		struct packet *packet = &d->packets[d->first];

		if (packet->due_ns > now_ns())
			return packet->due_ns;
		if (write(d->to, packet->bytes, packet->size) < 0 &&
		    errno != EIO && errno != ENOBUFS)
			die("write");
		d->first = (d->first + 1) % QUEUE_MAX;
		d->count--;
		d->passed++;
	}
	return NEVER;
}

static int open_tun(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		die(name);
	return fd;
}

static void init(struct direction *d, const struct network *network, int from,
		 int to, uint64_t seed)
{
	*d = (struct direction){
	    .network = network,
	    .from = from,
	    .to = to,
	    .random = seed * 2 + 1,
	    .packets = calloc(QUEUE_MAX, sizeof(struct packet)),
	};
	if (!d->packets)
		die("memory");
	for (int i = 0; i < 16; i++) /* small seeds begin alike */
		draw(d);
}

static void run(struct direction ways[2])
{
	for (;;) {
		struct pollfd fds[] = {
		    {.fd = ways[0].from, .events = POLLIN},
		    {.fd = ways[1].from, .events = POLLIN},
		    {.fd = STDIN_FILENO, .events = POLLIN},
		};
		int64_t next = hand_over(&ways[0]), other = hand_over(&ways[1]);
		struct timespec wait = {.tv_sec = 1};
		int64_t left;

		if (other < next)
			next = other;
		left = next == NEVER ? NEVER : next - now_ns();
		if (left < 1000 * MS_NS)
			wait = (struct timespec){.tv_nsec =
						     left > 0 ? (long)left : 0};
		if (ppoll(fds, 3, &wait, NULL) < 0 && errno != EINTR)
			die("ppoll");
		if (fds[2].revents)
			return;
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				take_in(&ways[i]);
	}
}

static const char *const usage =
    "bench-emulator DEVICE DEVICE SEED [NAME=VALUE]...\n"
    "names: loss delay jitter kbit queue bad_every bad bad_loss hold_every "
    "hold\n(percent, ms and kbit/s)\n";

/* NAME=VALUE into NETWORK. */
static bool set(struct network *network, const char *text)
{
	const struct {
		const char *name;
		double *value, unit;
	} settings[] = {
	    {"loss", &network->loss, 0.01},
	    {"delay", &network->delay_ms, 1},
	    {"jitter", &network->jitter_ms, 1},
	    {"kbit", &network->kbit, 1},
	    {"queue", &network->queue_ms, 1},
	    {"bad_every", &network->bad_every_ms, 1},
	    {"bad", &network->bad_ms, 1},
	    {"bad_loss", &network->bad_loss, 0.01},
	    {"hold_every", &network->hold_every_ms, 1},
	    {"hold", &network->hold_ms, 1},
	};
	const char *value = strchr(text, '=');

	for (size_t i = 0; value && i < sizeof(settings) / sizeof(*settings);
	     i++) {
		if (strlen(settings[i].name) == (size_t)(value - text) &&
		    strncmp(settings[i].name, text, (size_t)(value - text)) ==
			0) {
			*settings[i].value = atof(value + 1) * settings[i].unit;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct network network = {.queue_ms = 200};
	struct direction ways[2];
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	int a, b;

	for (int i = 4; i < argc; i++)
		if (!set(&network, argv[i]))
			argc = 0;
	if (argc < 4) {
		fputs(usage, stderr);
		return 2;
	}
	a = open_tun(argv[1]);
	b = open_tun(argv[2]);
	init(&ways[0], &network, a, b, seed);
	init(&ways[1], &network, b, a, seed + 1);
	puts("ready");
	fflush(stdout);
	run(ways);
	for (int i = 0; i < 2; i++)
		printf("passed%d %llu\nlost%d %llu\n", i,
		       (unsigned long long)ways[i].passed, i,
		       (unsigned long long)ways[i].lost);
	return 0;
}
