/* SPDX-License-Identifier: MIT */
#include "client/soundtest.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "audio/samples.h"
#include "base/io.h"
#include "base/thread.h"

/* The defaults of a server. */
static const struct wav_format format = {WAV_PCM, 16, 2, 44100};

enum {
	NOTE_FRAMES = 44100 * 7 / 10,
	HEADER_SIZE = 44,
	SEND_LIMIT_S = 3,
};

struct soundtest {
	int fd; /* listens */
	pthread_t thread;
	size_t size;
	uint8_t page[HEADER_SIZE + 2 * NOTE_FRAMES * 4];
};

/* A note that rings out. */
static void put_note(uint8_t *to, double hz)
{
	const size_t sample_size = format.bits / 8;

	for (size_t i = 0; i < NOTE_FRAMES; i++) {
		const double t = (double)i / format.rate;
		const double value = 0.4 * exp(-4 * t) * sin(2 * M_PI * hz * t);

		for (unsigned c = 0; c < format.channels;
		     c++, to += sample_size)
			samples_put(&format, to, value);
	}
}

static void make_page(struct soundtest *test)
{
	const size_t note_size = NOTE_FRAMES * wav_frame_size(&format);
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const size_t n = wav_encode(header, &format, 2 * note_size, NULL);

	memcpy(test->page, header, n);
	put_note(test->page + n, 659.26);
	put_note(test->page + n + note_size, 523.25);
	test->size = n + 2 * note_size;
}

static void *serve(void *userdata)
{
	/* Anybody on this machine can connect, and then not read. */
	const struct timeval limit = {.tv_sec = SEND_LIMIT_S};
	const struct soundtest *test = userdata;

	for (;;) {
		_cleanup_close_ int fd =
		    accept4(test->fd, NULL, NULL, SOCK_CLOEXEC);

		/* Shut down: soundtest_free(). */
		if (fd < 0 && errno == EINVAL)
			return NULL;
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
				 sizeof(limit));
		if (fd >= 0)
			(void)write_all(fd, test->page, test->size);
	}
}

/* Listens on a port of loopback that the kernel chooses. */
static int listen_somewhere(struct net_endpoint *ret)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	*ret = (struct net_endpoint){.host = "127.0.0.1"};
	snprintf(ret->port, sizeof(ret->port), "%u", ntohs(address.sin_port));
	return TAKE_FD(fd);
}

int soundtest_start(struct soundtest **ret, struct client_server *server)
{
	struct soundtest *test = malloc(sizeof(*test));
	int r;

	if (!test)
		return -ENOMEM;
	make_page(test);
	server->name = "test";
	r = test->fd = listen_somewhere(&server->endpoint);
	if (r >= 0)
		r = thread_start(&test->thread, "test", serve, test);
	if (r < 0) {
		fd_close(test->fd);
		free(test);
		return r;
	}
	*ret = test;
	return 0;
}

struct soundtest *soundtest_free(struct soundtest *test)
{
	if (!test)
		return NULL;
	shutdown(test->fd, SHUT_RDWR);
	pthread_join(test->thread, NULL);
	fd_close(test->fd);
	free(test);
	return NULL;
}
