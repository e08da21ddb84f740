// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "base/str.h"

void json__init(struct json *j, FILE *out)
{
	*j = (struct json){.out = out};
}

void json__end(struct json *j)
{
	assert(j->depth == 0 && j->level[0].nonempty);
	j->level[0].nonempty = false;
	putc('\n', j->out);
}

/* What goes before any value: the comma, unless a key has seen to it. */
static void value(struct json *j)
{
	assert(j->level[j->depth].object == j->level[j->depth].keyed);
	assert(j->depth > 0 || !j->level[0].nonempty);
	if (!j->level[j->depth].object && j->level[j->depth].nonempty)
		putc(',', j->out);
	j->level[j->depth].nonempty = true;
	j->level[j->depth].keyed = false;
}

static void begin(struct json *j, bool object)
{
	value(j);
	assert(j->depth < JSON_DEPTH);
	j->depth++;
	j->level[j->depth].object = object;
	j->level[j->depth].nonempty = false;
	j->level[j->depth].keyed = false;
	putc(object ? '{' : '[', j->out);
}

static void end(struct json *j, bool object)
{
	assert(j->depth > 0 && j->level[j->depth].object == object && !j->level[j->depth].keyed);
	j->depth--;
	putc(object ? '}' : ']', j->out);
}

void json__object_begin(struct json *j)
{
	begin(j, true);
}

void json__object_end(struct json *j)
{
	end(j, true);
}

void json__array_begin(struct json *j)
{
	begin(j, false);
}

void json__array_end(struct json *j)
{
	end(j, false);
}

/* Controls are escaped up to U+009F: JSON often ends up on a terminal. */
static void escaped(FILE *out, uint32_t c)
{
	switch (c) {
	case '"':
	case '\\':
		fprintf(out, "\\%c", (int)c);
		break;
	case '\n':
		fputs("\\n", out);
		break;
	case '\t':
		fputs("\\t", out);
		break;
	default:
		fprintf(out, "\\u%04x", (unsigned int)c);
	}
}

static void string(FILE *out, const char *s)
{
	putc('"', out);
	while (*s) {
		uint32_t c;
		size_t len = str__decode(s, &c);

		if (len == 0) {
			fputs("\xef\xbf\xbd", out); /* U+FFFD */
			len = 1;
		} else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == '"' || c == '\\') {
			escaped(out, c);
		} else {
			fwrite(s, 1, len, out);
		}
		s += len;
	}
	putc('"', out);
}

void json__key(struct json *j, const char *key)
{
	assert(j->level[j->depth].object && !j->level[j->depth].keyed);
	if (j->level[j->depth].nonempty)
		putc(',', j->out);
	string(j->out, key);
	putc(':', j->out);
	j->level[j->depth].keyed = true;
}

void json__str(struct json *j, const char *s)
{
	if (!s) {
		json__null(j);
		return;
	}
	value(j);
	string(j->out, s);
}

void json__u64(struct json *j, uint64_t v)
{
	value(j);
	fprintf(j->out, "%" PRIu64, v);
}

void json__i64(struct json *j, int64_t v)
{
	value(j);
	fprintf(j->out, "%" PRId64, v);
}

void json__double(struct json *j, double v, int digits)
{
	if (!isfinite(v)) {
		json__null(j);
		return;
	}
	value(j);
	fprintf(j->out, "%.*f", digits, v);
}

void json__bool(struct json *j, bool v)
{
	value(j);
	fputs(v ? "true" : "false", j->out);
}

void json__null(struct json *j)
{
	value(j);
	fputs("null", j->out);
}

void json__kv_str(struct json *j, const char *key, const char *s)
{
	json__key(j, key);
	json__str(j, s);
}

void json__kv_u64(struct json *j, const char *key, uint64_t v)
{
	json__key(j, key);
	json__u64(j, v);
}

void json__kv_double(struct json *j, const char *key, double v, int digits)
{
	json__key(j, key);
	json__double(j, v, digits);
}
