/* SPDX-License-Identifier: MIT
 * The state of a card that the test stands in for: its control interface is
 * asked, and no PCM is ever opened. */
#include "audio/cardstate.h"

#include <alsa/asoundlib.h>

#include "card.h"
#include "test.h"

/* The kernel's answers, and what it was asked for. */
static struct {
	int index, open_result, info_result;
	unsigned available;
	char card[64], control[64];
	unsigned device, subdevice, open_controls;
	snd_pcm_stream_t stream;
} kernel;

int __wrap_snd_card_get_index(const char *name);
int __wrap_snd_card_get_index(const char *name)
{
	snprintf(kernel.card, sizeof(kernel.card), "%s", name);
	return kernel.index;
}

int __wrap_snd_ctl_open(snd_ctl_t **ret, const char *name, int mode);
int __wrap_snd_ctl_open(snd_ctl_t **ret, const char *name, int mode)
{
	snprintf(kernel.control, sizeof(kernel.control), "%s", name);
	if (kernel.open_result < 0)
		return kernel.open_result;
	kernel.open_controls++;
	*ret = (snd_ctl_t *)&kernel;
	return 0;
}

int __wrap_snd_ctl_close(snd_ctl_t *control);
int __wrap_snd_ctl_close(snd_ctl_t *control)
{
	kernel.open_controls--;
	return 0;
}

/* The answer that alsa-lib has no function to make: the offset is the
 * kernel's, struct snd_pcm_info in sound/asound.h. */
enum { AVAILABLE_OFFSET = 4 * 4 + 64 + 80 + 32 + 4 + 4 + 4 };

int __wrap_snd_ctl_pcm_info(snd_ctl_t *control, snd_pcm_info_t *info);
int __wrap_snd_ctl_pcm_info(snd_ctl_t *control, snd_pcm_info_t *info)
{
	kernel.device = snd_pcm_info_get_device(info);
	kernel.subdevice = snd_pcm_info_get_subdevice(info);
	kernel.stream = snd_pcm_info_get_stream(info);
	memcpy((char *)info + AVAILABLE_OFFSET, &kernel.available,
	       sizeof(kernel.available));
	ck_assert_uint_eq(snd_pcm_info_get_subdevices_avail(info),
			  kernel.available);
	return kernel.info_result;
}

int __wrap_snd_pcm_open(snd_pcm_t **ret, const char *name,
			snd_pcm_stream_t stream, int mode);
int __wrap_snd_pcm_open(snd_pcm_t **ret, const char *name,
			snd_pcm_stream_t stream, int mode)
{
	ck_abort_msg("'%s' was opened", name);
	return -EIO;
}

static void setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.index = 3;
	kernel.available = 1;
	card_setup(1);
	card_configure("pcm.bare { type hw card Device device 2 }\n"
		       "pcm_slave.named { pcm bare rate 48000 }\n"
		       "pcm.conv { type rate slave named }\n"
		       "pcm.soft { type softvol slave.pcm conv "
		       "control.name x }\n"
		       "pcm.both { type asym playback.pcm soft "
		       "capture.pcm null }\n"
		       "pcm.a { type plug slave.pcm b }\n"
		       "pcm.b { type plug slave.pcm a }\n"
		       "pcm.shared { type plug slave.pcm { type dmix "
		       "ipc_key 1 slave.pcm bare } }\n"
		       "pcm.broken { type plug slave.pcm nobody }\n"
		       "pcm.empty { type plug }\n");
}

static void teardown(void)
{
	ck_assert_uint_eq(kernel.open_controls, 0);
	card_teardown();
}

FIXTURE(setup, teardown);

static enum cardstate look(const char *device)
{
	return cardstate_look(device, PCM_PLAYBACK);
}

/* --- which card it is --- */

static const struct {
	const char *device, *card;
	unsigned number, subdevice;
} found[] = {
    {"hw:CARD=Device", "Device", 0, 0},
    {"hw:1", "1", 0, 0},
    {"hw:1,2", "1", 2, 0},
    {"hw:CARD=Device,DEV=3,SUBDEV=5", "Device", 3, 5},
    {"plughw:CARD=Device,DEV=1", "Device", 1, 0},
    {"plug:'hw:Device,4'", "Device", 4, 0},
    {"bare", "Device", 2, 0},
    {"plug:bare", "Device", 2, 0},
    {"conv", "Device", 2, 0},
    {"soft", "Device", 2, 0},
    {"both", "Device", 2, 0},
};

TEST_LOOP(plugins_that_have_a_card_for_themselves_are_that_card, 0,
	  ARRAY_SIZE(found))
{
	ck_assert_int_eq(look(found[_i].device), CARDSTATE_READY);
	ck_assert_str_eq(kernel.card, found[_i].card);
	ck_assert_str_eq(kernel.control, "hw:3");
	ck_assert_uint_eq(kernel.device, found[_i].number);
	ck_assert_uint_eq(kernel.subdevice, found[_i].subdevice);
	ck_assert_int_eq(kernel.stream, SND_PCM_STREAM_PLAYBACK);
}

TEST(capture_has_a_card_of_its_own)
{
	card_configure("pcm.pair { type asym playback.pcm null "
		       "capture.pcm \"hw:Microphone\" }\n");
	ck_assert_int_eq(look("pair"), CARDSTATE_UNKNOWN);
	ck_assert_int_eq(cardstate_look("pair", PCM_CAPTURE), CARDSTATE_READY);
	ck_assert_str_eq(kernel.card, "Microphone");
	ck_assert_int_eq(kernel.stream, SND_PCM_STREAM_CAPTURE);
}

/* (default is what the machine's cards make of it.) */
static const char *const untold[] = {"null", "card", "plug:card", "shared",
				     "a"};

TEST_LOOP(what_only_opening_would_tell_is_unknown, 0, ARRAY_SIZE(untold))
{
	ck_assert_int_eq(look(untold[_i]), CARDSTATE_UNKNOWN);
	ck_assert_str_eq(kernel.card, "");
}

static const char *const undefined[] = {"nobody", "nobody:CARD=1", "broken",
					"empty", "hw:FOO=1"};

TEST_LOOP(what_nothing_defines_is_missing, 0, ARRAY_SIZE(undefined))
{
	ck_assert_int_eq(look(undefined[_i]), CARDSTATE_MISSING);
	ck_assert_str_eq(kernel.card, "");
}

/* --- what the kernel says --- */

TEST(card_that_others_have_open_is_busy)
{
	kernel.available = 0;
	ck_assert_int_eq(look("plughw:Device"), CARDSTATE_BUSY);
	kernel.available = 7;
	ck_assert_int_eq(look("plughw:Device"), CARDSTATE_READY);
}

TEST(card_that_is_not_there_is_missing)
{
	kernel.index = -ENODEV;
	ck_assert_int_eq(look("plughw:Device"), CARDSTATE_MISSING);
	ck_assert_str_eq(kernel.control, "");
}

static const struct {
	int error;
	enum cardstate state;
} errors[] = {
    {-ENODEV, CARDSTATE_MISSING}, {-ENOENT, CARDSTATE_MISSING},
    {-ENXIO, CARDSTATE_MISSING},  {-EACCES, CARDSTATE_UNKNOWN},
    {-ENOMEM, CARDSTATE_UNKNOWN},
};

TEST_LOOP(card_that_goes_while_it_is_asked_is_missing, 0, ARRAY_SIZE(errors))
{
	kernel.open_result = errors[_i].error;
	ck_assert_int_eq(look("hw:0"), errors[_i].state);
	kernel.open_result = 0;
	kernel.info_result = errors[_i].error;
	ck_assert_int_eq(look("hw:0"), errors[_i].state);
}
