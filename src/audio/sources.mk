# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/audio/cardstate.c src/audio/cardstate.h \
	src/audio/chime.c src/audio/chime.h \
	src/audio/converter.c src/audio/converter.h \
	src/audio/filesource.c src/audio/filesource.h \
	src/audio/gain.c src/audio/gain.h \
	src/audio/microphone.c src/audio/microphone.h \
	src/audio/pcm.c src/audio/pcm.h \
	src/audio/recorder.c src/audio/recorder.h \
	src/audio/resample.c src/audio/resample.h \
	src/audio/retimer.c src/audio/retimer.h \
	src/audio/samples.c src/audio/samples.h \
	src/audio/source.c src/audio/source.h \
	src/audio/trend.c src/audio/trend.h \
	src/audio/wav.c src/audio/wav.h \
	src/audio/wavfile.c src/audio/wavfile.h \
	src/audio/wavreader.c src/audio/wavreader.h
