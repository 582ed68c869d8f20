/* SPDX-License-Identifier: MIT
 * Shared by the fuzz targets: takes the input apart. Each target is run by
 * libFuzzer (scripts/fuzz), or by replay.c on the inputs that are kept. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The entry points that libFuzzer calls. A target may leave the first one out.
 */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of the input, which continues with zeros after its end. */
struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

static inline unsigned fuzz_u16(struct fuzz_input *input)
{
	unsigned low = fuzz_byte(input);

	return low | (unsigned)fuzz_byte(input) << 8;
}

/* Takes up to SIZE bytes; *ret_size is how many there were. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t size,
					size_t *ret_size)
{
	const uint8_t *data = input->data;

	if (size > input->size)
		size = input->size;
	input->data += size;
	input->size -= size;
	*ret_size = size;
	return data;
}

/* Takes a string of at most SIZE - 1 bytes, after a byte with its length. */
static inline void fuzz_string(struct fuzz_input *input, char *text,
			       size_t size)
{
	size_t length = fuzz_byte(input);
	const uint8_t *data =
	    fuzz_bytes(input, length < size ? length : size - 1, &length);

	if (length > 0)
		memcpy(text, data, length);
	text[length] = '\0';
}
