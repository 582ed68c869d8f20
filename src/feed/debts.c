/* SPDX-License-Identifier: MIT */
#include "feed/debts.h"

static void forgive(struct debt *debt)
{
	transport_free(debt->transport);
	*debt = (struct debt){0};
}

void debts_add(struct debts *debts, struct debt debt)
{
	struct debt *list = debts->list;

	if (list[0].transport && list[1].transport) {
		forgive(&list[0]);
		list[0] = list[1];
	}
	list[list[0].transport != NULL] = debt;
}

static void pay(struct debt *debt, const struct receipt *receipt)
{
	struct receipt whole = *receipt;
	char line[RECEIPT_SIZE_MAX];
	size_t size;
	ssize_t n;

	whole.arrived_frames = debt->arrived_frames;
	size = receipt_format(line, &whole);
	n = transport_send(debt->transport, line, size, TRANSPORT_NO_MORE);
	/* A server that knows no receipts has closed: that does no harm. */
	if (n > 0)
		(void)transport_shutdown(debt->transport);
	forgive(debt);
}

void debts_pay(struct debts *debts, uint64_t number,
	       const struct receipt *receipt)
{
	struct debt *list = debts->list;

	for (size_t i = 0; i < DEBTS_MAX; i++) {
		if (!list[i].transport || list[i].number != number)
			continue;
		pay(&list[i], receipt);
		if (i == 0) {
			list[0] = list[1];
			list[1] = (struct debt){0};
		}
		return;
	}
}

void debts_clear(struct debts *debts)
{
	for (size_t i = 0; i < DEBTS_MAX; i++)
		forgive(&debts->list[i]);
}
