// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "core/statements.h"

#include <string.h>

#include <bpf/bpf.h>

#include "base/str.h"
#include "core/fingerprint.h"
#include "core/names.h"

#define PARTS_SHOWN 3
#define SHARE_MIN   0.5 /* per cent: less is left out */

static const struct database {
	const char *key;
	enum sql_dialect dialect;
} dbs[NR_DBS] = {
#define X(id, name, dialect) [id] = {name, dialect},
	DWELL_QUERY_DBS(X)
#undef X
};

static const char *const waits_by_class[NR_WAITS] = {
#define X(class, key) [class] = key,
	DWELL_QUERY_WAITS(X)
#undef X
};

const char *statements__db(uint32_t aux)
{
	uint32_t db = aux & QUERY_DB;

	return db < NR_DBS ? dbs[db].key : NULL;
}

/* The normal form of the statement in @text, or with @literals the statement. */
static void statements__form(char *form, size_t size, uint32_t aux, const struct query_text *text,
			     bool literals)
{
	enum sql_dialect dialect = dbs[aux & QUERY_DB].dialect;

	if (dialect == SQL_NONE)
		fingerprint__command(form, size, text->text, text->len, literals);
	else if (literals)
		snprintf(form, size, "%s%s", text->text, text->truncated ? "…" : "");
	else
		fingerprint__sql(dialect, form, size, text->text, text->truncated);
}

const char *statements__normal(struct session *s, uint64_t fingerprint, uint32_t aux,
			       const char **sample)
{
	const char *unrun = aux & QUERY_UNRUN ? "(not executed) " : "", *normal;
	char form[QUERY_TEXT + 64];
	struct query_text text;

	if ((aux & QUERY_NO_TEXT) ||
	    bpf_map_lookup_elem(object__map_fd(&s->object, "query_texts"), &fingerprint, &text)) {
		normal = arena__printf(&s->arena, "%s(a text that could not be read)", unrun);
		if (sample)
			*sample = normal;
		return normal;
	}
	text.text[QUERY_TEXT] = '\0';
	statements__form(form, sizeof(form), aux, &text, false);
	normal = arena__printf(&s->arena, "%s%s", unrun, *form ? form : "(empty)");
	if (!sample)
		return normal;
	statements__form(form, sizeof(form), aux, &text, true);
	*sample = arena__printf(&s->arena, "%s%s", unrun, form);
	return normal;
}

static const char *state_name(unsigned int i)
{
	return names__state((enum dwell_state)i);
}

static const char *wait_name(unsigned int i)
{
	return waits_by_class[i] ?: "?";
}

/* The longest few of @n parts, which begin with number @first. */
static const char *longest(struct session *s, const uint64_t *parts, unsigned int first,
			   unsigned int n, uint64_t total_ns, const char *(*name)(unsigned int))
{
	uint64_t left[NR_STATES > NR_WAITS ? NR_STATES : NR_WAITS];
	char text[96] = "";
	size_t len = 0;

	memcpy(left, parts, n * sizeof(*parts));
	for (int shown = 0; shown < PARTS_SHOWN; shown++) {
		unsigned int most = first;
		double share;

		for (unsigned int i = first; i < n; i++) {
			if (left[i] > left[most])
				most = i;
		}
		share = 100.0 * (double)left[most] / (double)(total_ns ?: 1);
		if (share < SHARE_MIN)
			break;
		str__append(text, sizeof(text), &len, "%s%s %.0f%%", shown ? ", " : "", name(most),
			    share);
		left[most] = 0;
	}
	return arena__printf(&s->arena, "%s", text);
}

const char *statements__states(struct session *s, const uint64_t states[NR_STATES],
			       uint64_t total_ns)
{
	return longest(s, states, STATE_NONE + 1, NR_STATES, total_ns, state_name);
}

const char *statements__waits(struct session *s, const uint64_t waits[NR_WAITS], uint64_t total_ns)
{
	return longest(s, waits, 0, NR_WAITS, total_ns, wait_name);
}

struct table_list statements__wait_list(struct session *s, const uint64_t waits[NR_WAITS])
{
	struct table_count *items = arena__array(&s->arena, NR_WAITS, sizeof(*items));
	struct table_list list = {items, 0};

	for (unsigned int i = 0; items && i < NR_WAITS; i++) {
		if (waits[i])
			items[list.n++] = (struct table_count){wait_name(i), waits[i]};
	}
	return list;
}

/* Twice as much again, from the arena: what was there before stays until the report is out. */
static void *grow(struct session *s, const void *items, size_t n, size_t max, size_t size)
{
	void *grown = arena__array(&s->arena, max, size);

	if (grown && n)
		memcpy(grown, items, n * size);
	return grown;
}

enum dwell_exit statements__take(struct session *s, const char *map, size_t key_size,
				 size_t value_size, bool (*wanted)(const void *key, uint32_t bank),
				 struct statements_map *out)
{
	uint32_t bank = s->config.banks > 1 ? s->reported & 1 : 0;
	int fd = object__map_fd(&s->object, map);
	char key[64], *prev = NULL;
	size_t max = 0;

	*out = (struct statements_map){0};
	while (!bpf_map_get_next_key(fd, prev, key)) {
		prev = key;
		if (wanted && !wanted(key, bank))
			continue;
		if (out->n == max) {
			max = max ? max * 2 : 64;
			out->keys = grow(s, out->keys, out->n, max, key_size);
			out->values = grow(s, out->values, out->n, max, value_size);
		}
		if (!out->keys || !out->values)
			return err__fail("no memory for the report");
		memcpy((char *)out->keys + out->n * key_size, key, key_size);
		if (!bpf_map_lookup_elem(fd, key, (char *)out->values + out->n * value_size))
			out->n++;
	}
	for (size_t i = 0; wanted && s->config.banks > 1 && i < out->n; i++)
		bpf_map_delete_elem(fd, (char *)out->keys + i * key_size);
	return EXIT_OK;
}
