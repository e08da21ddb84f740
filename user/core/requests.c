// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "core/names.h"
#include "core/requests.h"
#include "core/syscalls.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* include/linux/blk_types.h: enum req_op */
static const struct {
	uint32_t op;
	const char *name;
} ops[] = {
	{0, "read"},         {1, "write"},        {2, "flush"},   {3, "discard"},
	{5, "secure_erase"}, {9, "write_zeroes"}, {34, "driver"}, {35, "driver"},
};

const char *requests__op(uint32_t aux)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (ops[i].op == (aux & REQUEST_OP))
			return ops[i].name;
	}
	return "other";
}

uint64_t requests__ops(const char *name, size_t len)
{
	uint64_t found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (strlen(ops[i].name) == len && !strncmp(ops[i].name, name, len))
			found |= UINT64_C(1) << ops[i].op;
	}
	return found;
}

const char *requests__flags(struct session *s, uint32_t aux)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} flags[] = {
		{REQUEST_SYNC, "sync"}, {REQUEST_META, "meta"},           {REQUEST_AHEAD, "ahead"},
		{REQUEST_FUA, "fua"},   {REQUEST_WRITEBACK, "writeback"},
	};
	char text[40] = "";
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (aux & flags[i].bit)
			str__append(text, sizeof(text), &len, "%s%s", len ? "," : "",
				    flags[i].name);
	}
	return arena__printf(&s->arena, "%s", text);
}

const char *requests__device(struct session *s, uint32_t dev, const struct device *now)
{
	struct name_key key = {.id = dev, .kind = NAME_DEVICE};
	struct name name;

	if (!bpf_map_lookup_elem(object__map_fd(&s->object, "names"), &key, &name)) {
		name.text[sizeof(name.text) - 1] = '\0';
		if (name.text[0])
			return arena__printf(&s->arena, "%s", name.text);
	}
	if (*now->name)
		return arena__printf(&s->arena, "%s", now->name);
	return arena__printf(&s->arena, "%u:%u", DEVICE_MAJOR(dev), DEVICE_MINOR(dev));
}

/* include/linux/blk_types.h: blk_status_t; the kernel's own table is blk_errors[] in blk-core.c */
static int requests__errno(uint32_t error)
{
	static const int errnos[] = {
		[1] = EOPNOTSUPP, [2] = ETIMEDOUT,  [3] = ENOSPC,        [4] = ENOLINK,
		[5] = EREMOTEIO,  [6] = EBADE,      [7] = ENODATA,       [8] = EILSEQ,
		[9] = ENOMEM,     [10] = EIO,       [11] = EREMCHG,      [12] = EAGAIN,
		[13] = EBUSY,     [14] = EREMOTEIO, [15] = ETOOMANYREFS, [16] = EOVERFLOW,
		[17] = ENODEV,    [18] = ETIME,     [19] = EINVAL,
	};

	if ((int32_t)error < 0)
		return -(int32_t)error;
	return error < ARRAY_SIZE(errnos) && errnos[error] ? errnos[error] : EIO;
}

const char *requests__error(uint32_t error)
{
	return syscalls__error(requests__errno(error)) ?: "?";
}
