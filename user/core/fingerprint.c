// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "base/str.h"
#include "core/fingerprint.h"
#include "query.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* ---- tokens -------------------------------------------------------------------------------- */

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_NAME,    /* "…": kept as it is */
	TOKEN_LITERAL, /* number, string, parameter */
	TOKEN_SIGN,    /* + or - */
	TOKEN_OPERATOR,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_DOT,
	TOKEN_CAST, /* :: */
	TOKEN_SEMICOLON,
};

struct token {
	enum token_kind kind;
	const char *text;
	size_t len;
	bool open; /* ended by the end of the text, inside a string or comment */
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

static bool is_word_start(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (c & 0x80);
}

/* What differs between databases. */
struct dialect {
	const char *operators;
	const char *names;      /* quotes of names */
	const char *strings;    /* quotes of strings… */
	bool escapes;           /* …in which a backslash takes the next character's meaning */
	const char *parameters; /* what begins a named or numbered one */
	bool hash_comments, dash_needs_blank, nested_comments;
	bool dollar_quotes;
	bool variables;       /* @a, @@a */
	bool brackets;        /* [name] */
	const char *prefixes; /* of strings: E'…' */
};

static const struct dialect dialects[] = {
	[SQL_POSTGRESQL] = {.operators = "+-*/<>=~!@#%^&|`:",
			    .names = "\"",
			    .strings = "'",
			    .parameters = "",
			    .nested_comments = true,
			    .dollar_quotes = true,
			    .prefixes = "eEnNbBxX"},
	[SQL_MYSQL] = {.operators = "+-*/<>=~!%^&|:",
		       .names = "`",
		       .strings = "'\"",
		       .escapes = true,
		       .parameters = "",
		       .hash_comments = true,
		       .dash_needs_blank = true,
		       .variables = true,
		       .prefixes = "nNbBxX"},
	[SQL_SQLITE] = {.operators = "+-*/<>=~!%^&|",
			.names = "\"`",
			.strings = "'",
			.parameters = "?:@$",
			.brackets = true,
			.prefixes = "xX"},
};

static const char *skip_block(const struct dialect *d, const char *s)
{
	int depth = 1;

	for (s += 2; *s && depth; s++) {
		if (d->nested_comments && s[0] == '/' && s[1] == '*') {
			depth++;
			s++;
		} else if (s[0] == '*' && s[1] == '/') {
			depth--;
			s++;
		}
	}
	return s;
}

static bool is_line_comment(const struct dialect *d, const char *s)
{
	if (*s == '#')
		return d->hash_comments;
	return s[0] == '-' && s[1] == '-' &&
	       (!d->dash_needs_blank || !s[2] || isspace((unsigned char)s[2]));
}

static const char *skip_blank(const struct dialect *d, const char *s)
{
	for (;;) {
		if (isspace((unsigned char)*s))
			s++;
		else if (is_line_comment(d, s))
			s += strcspn(s, "\n");
		else if (s[0] == '/' && s[1] == '*')
			s = skip_block(d, s);
		else
			return s;
	}
}

/* Behind the string that begins at @s with its quote; doubled quotes belong to it. */
static const char *skip_quoted(const char *s, bool escapes)
{
	char quote = *s++;

	while (*s) {
		if (escapes && *s == '\\' && s[1])
			s += 2;
		else if (*s != quote)
			s++;
		else if (s[1] == quote)
			s += 2;
		else
			return s + 1;
	}
	return s;
}

/* $1, or $tag$ … $tag$; NULL if it is neither. */
static const char *skip_dollar(const char *s)
{
	const char *end = s + 1;
	size_t tag;

	if (isdigit((unsigned char)*end)) {
		while (isdigit((unsigned char)*end))
			end++;
		return end;
	}
	while (*end && *end != '$' && is_word(*end))
		end++;
	if (*end != '$')
		return NULL;
	tag = (size_t)(end + 1 - s);
	for (end++; *end; end++) {
		if (!strncmp(end, s, tag))
			return end + tag;
	}
	return end;
}

static const char *skip_number(const char *s)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		for (s += 2; isxdigit((unsigned char)*s) || *s == '_';)
			s++;
		return s;
	}
	while (isdigit((unsigned char)*s) || *s == '_')
		s++;
	if (*s == '.') {
		for (s++; isdigit((unsigned char)*s) || *s == '_';)
			s++;
	}
	if ((*s == 'e' || *s == 'E') &&
	    (isdigit((unsigned char)s[1]) ||
	     ((s[1] == '+' || s[1] == '-') && isdigit((unsigned char)s[2])))) {
		for (s += 2; isdigit((unsigned char)*s);)
			s++;
	}
	while (is_word(*s))
		s++;
	return s;
}

/* E'…', N'…', B'…', X'…', U&'…': the quote's offset behind the prefix, 0 if it is no string. */
static size_t string_prefix(const struct dialect *d, const char *s)
{
	if (strchr(d->prefixes, s[0]) && s[1] == '\'')
		return 1;
	return d->dollar_quotes && (s[0] == 'u' || s[0] == 'U') && s[1] == '&' && s[2] == '\'' ? 2
											       : 0;
}

static enum token_kind punctuation(char c)
{
	switch (c) {
	case '(':
	case '[':
		return TOKEN_OPEN;
	case ')':
	case ']':
		return TOKEN_CLOSE;
	case ',':
		return TOKEN_COMMA;
	case '.':
		return TOKEN_DOT;
	case ';':
		return TOKEN_SEMICOLON;
	default:
		return TOKEN_OPERATOR;
	}
}

static const char *skip_operator(const struct dialect *d, const char *s)
{
	const char *end = s;

	while (*end && strchr(d->operators, *end)) {
		if (end > s && (is_line_comment(d, end) || (end[0] == '/' && end[1] == '*')))
			break;
		/* ">=-1": the sign is the number's */
		if (end > s && (*end == '-' || *end == '+') &&
		    (strchr("<>=*/%,", end[-1]) || d->dash_needs_blank))
			break;
		end++;
	}
	return end > s ? end : s + 1;
}

/* ?12, :name, @name, $name; a sole ? is an operator's look-alike: see scan_operator(). */
static const char *skip_parameter(const struct dialect *d, const char *s)
{
	const char *end = s + 1;

	if (!strchr(d->parameters, *s) || !is_word(*end))
		return NULL;
	while (is_word(*end))
		end++;
	return end;
}

static const char *scan_literal(const struct dialect *d, const char *s)
{
	const char *parameter;
	size_t prefix;

	if (strchr(d->strings, *s))
		return skip_quoted(s, d->escapes);
	prefix = string_prefix(d, s);
	if (prefix)
		return skip_quoted(s + prefix, d->escapes || tolower((unsigned char)*s) == 'e');
	parameter = skip_parameter(d, s);
	if (parameter)
		return parameter;
	if (isdigit((unsigned char)*s) || (*s == '.' && isdigit((unsigned char)s[1])))
		return skip_number(s);
	return d->dollar_quotes && *s == '$' ? skip_dollar(s) : NULL;
}

static const char *scan_operator(const struct dialect *d, struct token *t, const char *s)
{
	const char *end;

	t->kind = punctuation(*s);
	if (t->kind != TOKEN_OPERATOR)
		return s + 1;
	end = skip_operator(d, s);
	if (end - s == 1 && (*s == '-' || *s == '+'))
		t->kind = TOKEN_SIGN;
	if (end - s == 1 && *s == '?')
		t->kind = TOKEN_LITERAL;
	if (end - s == 2 && !strncmp(s, "::", 2))
		t->kind = TOKEN_CAST;
	return end;
}

/* "name", `name`, [name]: behind it, or NULL if none begins here. */
static const char *scan_name(const struct dialect *d, const char *s)
{
	if (strchr(d->names, *s))
		return skip_quoted(s, false);
	if (!d->brackets || *s != '[')
		return NULL;
	s += strcspn(s, "]");
	return *s ? s + 1 : s;
}

/* An unquoted word, a variable's: behind it, or NULL. */
static const char *scan_word(const struct dialect *d, const char *s)
{
	size_t sigil = d->variables ? strspn(s, "@") : 0;

	if (!is_word_start(s[sigil]) && !(d->variables && s[sigil] == '$'))
		return NULL;
	for (s += sigil; is_word(*s);)
		s++;
	return s;
}

/* Takes the next token at *@at, and moves that behind it. */
static struct token next_token(const struct dialect *d, const char **at)
{
	const char *s = skip_blank(d, *at), *end;
	struct token t = {.text = s};

	if (!*s) {
		*at = s;
		return t;
	}
	end = scan_literal(d, s);
	t.kind = TOKEN_LITERAL;
	if (!end) {
		end = scan_word(d, s);
		t.kind = TOKEN_WORD;
	}
	if (!end) {
		end = scan_name(d, s);
		t.kind = TOKEN_NAME;
	}
	if (!end)
		end = scan_operator(d, &t, s);
	t.len = (size_t)(end - s);
	t.open = !*end;
	*at = end;
	return t;
}

static bool word_in(const struct token *t, const char *const *list)
{
	for (; t->kind == TOKEN_WORD && *list; list++) {
		if (strlen(*list) == t->len && !strncasecmp(t->text, *list, t->len))
			return true;
	}
	return false;
}

/* ---- the normal form ----------------------------------------------------------------------- */

/* Words of the language, no functions: a blank goes before a parenthesis; a sign may follow. */
static const char *const keywords[] = {
	"all",      "and",     "any",      "as",        "asc",    "between",   "by",     "case",
	"do",       "desc",    "else",     "end",       "except", "exists",    "filter", "from",
	"having",   "ilike",   "in",       "inner",     "insert", "intersect", "into",   "is",
	"join",     "lateral", "like",     "limit",     "not",    "offset",    "on",     "only",
	"or",       "order",   "over",     "returning", "select", "set",       "some",   "table",
	"then",     "union",   "update",   "using",     "values", "when",      "where",  "with",
	"distinct", "delete",  "conflict", NULL,
};

static const char *const constants[] = {"null", "true", "false", NULL};
static const char *const keeps_constant[] = {"is", "not", "or", "default", NULL};

struct output {
	char *dst;
	size_t size, len;
	bool full;
	struct token before; /* the last token written */
	struct token verb;   /* the first one of the statement */
	unsigned int page;   /* "LIMIT ?" was written last: 1 behind LIMIT, 2 behind its number */
	size_t row;          /* where the last "(?+)" begins, + 1; 0: it was not the last */
	bool row_comma;      /* a comma came behind it, and is not written yet */
	bool rows;           /* "IN (" was written last: rows may follow */
};

static void emit(struct output *o, const char *text, size_t len, bool lower)
{
	if (o->full || o->len + len + sizeof("…") > o->size) {
		o->full = true;
		return;
	}
	for (size_t i = 0; i < len; i++)
		o->dst[o->len++] = lower ? (char)tolower((unsigned char)text[i]) : text[i];
}

static bool wants_blank(const struct output *o, const struct token *t)
{
	const struct token *b = &o->before;

	if (!o->len)
		return false;
	switch (t->kind) {
	case TOKEN_CLOSE:
	case TOKEN_COMMA:
	case TOKEN_DOT:
	case TOKEN_CAST:
	case TOKEN_SEMICOLON:
		return false;
	case TOKEN_OPEN:
		if (b->kind == TOKEN_WORD && *t->text == '(')
			return word_in(b, keywords);
		return b->kind == TOKEN_OPERATOR || b->kind == TOKEN_SIGN ||
		       b->kind == TOKEN_COMMA || b->kind == TOKEN_CLOSE;
	default:
		return b->kind != TOKEN_OPEN && b->kind != TOKEN_DOT && b->kind != TOKEN_CAST;
	}
}

static void put(struct output *o, const struct token *t)
{
	static const char *const in[] = {"in", NULL};

	if (wants_blank(o, t))
		emit(o, " ", 1, false);
	if (t->kind == TOKEN_LITERAL)
		emit(o, "?", 1, false);
	else
		emit(o, t->text, t->len, t->kind == TOKEN_WORD);
	o->rows = t->kind == TOKEN_OPEN && word_in(&o->before, in);
	o->before = *t;
	o->row = 0;
}

/* A sign that belongs to the number behind it, rather than being between two values. */
static bool is_unary(const struct token *before)
{
	switch (before->kind) {
	case TOKEN_WORD:
		return word_in(before, keywords);
	case TOKEN_NAME:
	case TOKEN_LITERAL:
	case TOKEN_CLOSE:
		return false;
	default:
		return true;
	}
}

/* The next token, with constants and signed numbers as the literals that they are. */
static struct token next_value(const struct dialect *d, const char **at, const struct token *before)
{
	struct token t = next_token(d, at), number;
	const char *ahead = *at;

	if (word_in(&t, constants) && !word_in(before, keeps_constant))
		t.kind = TOKEN_LITERAL;
	if (t.kind != TOKEN_SIGN || !is_unary(before))
		return t;
	number = next_token(d, &ahead);
	if (number.kind != TOKEN_LITERAL)
		return t;
	*at = ahead;
	return number;
}

/* "(1, 2, NULL)": behind it, or NULL if there is anything but literals in it. */
static const char *skip_row(const struct dialect *d, const char *at)
{
	static const struct token open = {.kind = TOKEN_OPEN}, comma = {.kind = TOKEN_COMMA};
	struct token t = next_value(d, &at, &open);

	while (t.kind == TOKEN_LITERAL) {
		t = next_token(d, &at);
		while (t.kind == TOKEN_CAST) {
			t = next_token(d, &at);
			if (t.kind != TOKEN_WORD)
				return NULL;
			t = next_token(d, &at);
		}
		if (t.kind == TOKEN_CLOSE)
			return at;
		if (t.kind != TOKEN_COMMA)
			return NULL;
		t = next_value(d, &at, &comma);
	}
	return NULL;
}

static bool begins_list(const struct output *o)
{
	static const char *const lists[] = {"in", "values", "value", "array", NULL};

	return o->rows || word_in(&o->before, lists);
}

static void put_row(struct output *o, const struct token *t)
{
	bool again = o->row && o->row_comma;
	size_t row;

	if (again) { /* the row before stands for this one too */
		o->row_comma = false;
		return;
	}
	put(o, t);
	row = o->len;
	emit(o, "?+", 2, false);
	emit(o, *t->text == '[' ? "]" : ")", 1, false);
	o->before = (struct token){.kind = TOKEN_CLOSE};
	o->row = row;
}

/* Takes an opening parenthesis as a whole row, if it is one. */
static bool take_row(const struct dialect *d, struct output *o, const struct token *t,
		     const char **at)
{
	const char *behind;

	if (t->kind != TOKEN_OPEN || !(begins_list(o) || (o->row && o->row_comma)))
		return false;
	behind = skip_row(d, *at);
	if (!behind)
		return false;
	put_row(o, t);
	*at = behind;
	return true;
}

/*
 * Savepoints, cursors and prepared statements are named by who makes them up, often anew each time:
 * "s140_x1", _django_curs_7. In the statements that are about them nothing else has a name.
 */
static bool is_passing_name(const struct output *o, const struct token *t)
{
	static const char *const verbs[] = {"savepoint",  "release", "rollback", "declare", "fetch",
					    "deallocate", "close",   "move",     NULL};
	static const char *const own[] = {"savepoint",   "to",       "prepare",  "all",     "work",
					  "transaction", "and",      "no",       "chain",   "from",
					  "in",          "next",     "prior",    "first",   "last",
					  "absolute",    "relative", "backward", "forward", NULL};
	static const char *const declare[] = {"declare", NULL};

	if (!word_in(&o->verb, verbs) || (t->kind != TOKEN_WORD && t->kind != TOKEN_NAME))
		return false;
	if (word_in(&o->verb, declare)) /* the cursor's query follows */
		return o->before.text == o->verb.text;
	return !word_in(t, own);
}

/* What a page of a result is asked for by: LIMIT with OFFSET is LIMIT. Takes @t if it is that. */
static bool take_page(const struct dialect *d, struct output *o, const struct token *t,
		      const char **at)
{
	static const char *const limit[] = {"limit", NULL}, *const offset[] = {"offset", NULL};
	const char *ahead = *at;
	unsigned int page = o->page;
	struct token number;

	o->page = 0;
	if (word_in(t, limit))
		o->page = 1;
	else if (page == 1 && t->kind == TOKEN_LITERAL)
		o->page = 2;
	if (page != 2 || (t->kind != TOKEN_COMMA && !word_in(t, offset)))
		return false;
	number = next_token(d, &ahead);
	if (number.kind != TOKEN_LITERAL)
		return false;
	*at = ahead;
	return true;
}

static void take(struct output *o, struct token *t)
{
	static const struct token comma = {.kind = TOKEN_COMMA, .text = ",", .len = 1};
	/* what is meant without it, too */
	static const char *const no_difference[] = {"asc", NULL};

	if (o->row && !o->row_comma && t->kind == TOKEN_COMMA) {
		o->row_comma = true;
		return;
	}
	if (o->row_comma) {
		o->row_comma = false;
		put(o, &comma);
	}
	if (!o->verb.len)
		o->verb = *t;
	else if (t->kind == TOKEN_SEMICOLON)
		o->verb.len = 0;
	else if (word_in(t, no_difference))
		return;
	else if (is_passing_name(o, t))
		t->kind = TOKEN_LITERAL;
	put(o, t);
}

void fingerprint__sql(enum sql_dialect dialect, char *dst, size_t size, const char *sql,
		      bool truncated)
{
	const struct dialect *d = &dialects[dialect];
	struct output o = {.dst = dst, .size = size};
	struct token t;

	while (!o.full) {
		t = next_value(d, &sql, &o.before);
		if (t.kind == TOKEN_END || (truncated && t.open))
			break;
		if (!take_row(d, &o, &t, &sql) && !take_page(d, &o, &t, &sql))
			take(&o, &t);
	}
	while (o.len && (dst[o.len - 1] == ';' || dst[o.len - 1] == ' '))
		o.len--;
	if (truncated || o.full) {
		memcpy(dst + o.len, "…", sizeof("…") - 1);
		o.len += sizeof("…") - 1;
	}
	dst[o.len] = '\0';
}

/* ---- commands of Redis --------------------------------------------------------------------- */

/* Does the second word belong to what the command is? */
static bool is_container(const char *name)
{
	static const char *const containers[] = {
#define X(name) name,
		DWELL_REDIS_CONTAINERS(X)
#undef X
	};
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(containers) / sizeof(*containers); i++) {
		if (!strncasecmp(containers[i], name, len) &&
		    strspn(containers[i] + len, " ") == REDIS_CONTAINER - len)
			return true;
	}
	return false;
}

/* A word of the command's: in upper case, as they are written. */
static void append_word(char *dst, size_t size, size_t *len, const char *word)
{
	size_t from = *len;

	str__append(dst, size, len, "%s%.*s", from ? " " : "", REDIS_CELL, word);
	for (; from < *len; from++)
		dst[from] = (char)toupper((unsigned char)dst[from]);
}

void fingerprint__command(char *dst, size_t size, const char *text, unsigned int argc,
			  bool literals)
{
	unsigned int words = argc > 1 && is_container(text) ? 2 : 1;
	size_t len = 0;

	*dst = '\0';
	for (unsigned int i = 0; i < words; i++)
		append_word(dst, size, &len, text + (size_t)i * REDIS_CELL);
	if (!literals && argc >= REDIS_SHAPES) {
		str__append(dst, size, &len, " ?+");
		return;
	}
	for (unsigned int i = words; i < argc && i < REDIS_CELLS; i++)
		str__append(dst, size, &len, " %.*s", REDIS_CELL,
			    literals ? text + (size_t)i * REDIS_CELL : "?");
	if (argc > REDIS_CELLS)
		str__append(dst, size, &len, " …");
}

/* ---- the kernel side's table --------------------------------------------------------------- */

#define PRE(c) ((uint16_t)((c) << 8))

static uint8_t class_of(enum sql_dialect dialect, int c)
{
	static const struct {
		char c;
		uint8_t class;
	} own[] = {
		{'\'', SC_QUOTE},   {'"', SC_DQUOTE}, {'-', SC_DASH},       {'/', SC_SLASH},
		{'*', SC_STAR},     {'$', SC_DOLLAR}, {'\\', SC_BACKSLASH}, {'+', SC_PLUS},
		{'\n', SC_NEWLINE}, {'e', SC_E},      {'E', SC_E},          {'.', SC_DOT},
	};

	if (c == '`' && dialect != SQL_POSTGRESQL)
		return SC_BACKTICK;
	if (c == '#' && dialect == SQL_MYSQL)
		return SC_HASH;
	if (c == '$' && dialect != SQL_POSTGRESQL)
		return SC_ALPHA;
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
		if (own[i].c == c)
			return own[i].class;
	}
	if (c >= '0' && c <= '9')
		return SC_DIGIT;
	if (c >= 0x80 || (c < 0x80 && is_word((char)c)))
		return SC_ALPHA;
	return isspace(c) ? SC_SPACE : SC_OTHER;
}

/* What a character begins, where nothing is under way; @pre goes into the hash before it. */
static uint16_t begin(enum sql_dialect dialect, uint8_t class, uint16_t pre)
{
	static const uint16_t steps[SC_NR] = {
		[SC_OTHER] = SS_PLAIN | SQLSCAN_CHAR,
		[SC_SPACE] = SS_SPACE | PRE(' '),
		[SC_NEWLINE] = SS_SPACE | PRE(' '),
		[SC_ALPHA] = SS_WORD | SQLSCAN_CHAR,
		[SC_E] = SS_E | SQLSCAN_CHAR,
		[SC_DIGIT] = SS_NUMBER | PRE('?'),
		[SC_QUOTE] = SS_STRING | PRE('?'),
		[SC_DQUOTE] = SS_NAME | SQLSCAN_EXACT,
		[SC_DASH] = SS_DASH,
		[SC_SLASH] = SS_SLASH,
		[SC_STAR] = SS_PLAIN | SQLSCAN_CHAR,
		[SC_DOLLAR] = SS_DOLLAR,
		[SC_BACKSLASH] = SS_PLAIN | SQLSCAN_CHAR,
		[SC_PLUS] = SS_PLAIN | SQLSCAN_CHAR,
		[SC_DOT] = SS_PLAIN | SQLSCAN_CHAR,
		[SC_BACKTICK] = SS_TICKED | SQLSCAN_EXACT,
		[SC_HASH] = SS_LINE | PRE(' '),
	};
	uint16_t step = steps[class];

	if (dialect == SQL_MYSQL && class == SC_QUOTE)
		step = SS_ESTRING | PRE('?');
	if (dialect == SQL_MYSQL && class == SC_DQUOTE)
		step = SS_DSTRING | PRE('?');

	/* There is room for one: what was put off is told apart from it by its highest bit. */
	if (pre)
		step = (uint16_t)(((step & SQLSCAN_PRE) ^ PRE(pre | 0x80)) | (step & 0xff));
	return step;
}

static uint16_t step_of(enum sql_dialect dialect, unsigned int state, uint8_t class)
{
	bool word = class == SC_ALPHA || class == SC_E || class == SC_DIGIT || class == SC_DOLLAR;

	switch (state) {
	case SS_SPACE:
		return class == SC_SPACE || class == SC_NEWLINE ? SS_SPACE
								: begin(dialect, class, 0);
	case SS_E:
		if (class == SC_QUOTE && dialect == SQL_POSTGRESQL)
			return SS_ESTRING | PRE('?');
		return word ? SS_WORD | SQLSCAN_CHAR : begin(dialect, class, 0);
	case SS_WORD:
		return word ? SS_WORD | SQLSCAN_CHAR : begin(dialect, class, 0);
	case SS_NUMBER:
		if (class == SC_E)
			return SS_EXPONENT;
		return word || class == SC_DOT ? SS_NUMBER : begin(dialect, class, 0);
	case SS_EXPONENT:
		if (word || class == SC_DASH || class == SC_PLUS)
			return SS_NUMBER;
		return begin(dialect, class, 0);
	case SS_DASH:
		if (class == SC_DASH)
			return dialect == SQL_MYSQL ? SS_DASHES | PRE('-') : SS_LINE | PRE(' ');
		return begin(dialect, class, '-');
	case SS_DASHES:
		if (class == SC_SPACE || class == SC_NEWLINE)
			return class == SC_SPACE ? SS_LINE | PRE(' ') : SS_SPACE | PRE(' ');
		return begin(dialect, class, '-');
	case SS_SLASH:
		return class == SC_STAR ? SS_BLOCK | PRE(' ') : begin(dialect, class, '/');
	case SS_DOLLAR:
		return class == SC_DIGIT ? SS_NUMBER | PRE('?') : begin(dialect, class, '$');
	case SS_LINE:
		return class == SC_NEWLINE ? SS_SPACE : SS_LINE;
	case SS_BLOCK:
		return class == SC_STAR ? SS_STAR : SS_BLOCK;
	case SS_STAR:
		if (class == SC_STAR)
			return SS_STAR;
		return class == SC_SLASH ? SS_SPACE : SS_BLOCK;
	case SS_STRING: /* of a doubled quote the second begins another string */
		return class == SC_QUOTE ? SS_PLAIN : SS_STRING;
	case SS_ESTRING:
		if (class == SC_BACKSLASH)
			return SS_ESCAPE;
		if (class == SC_QUOTE) /* PostgreSQL: of a doubled one the rest has escapes, too */
			return dialect == SQL_POSTGRESQL ? SS_E : SS_PLAIN;
		return SS_ESTRING;
	case SS_ESCAPE:
		return SS_ESTRING;
	case SS_DSTRING:
		if (class == SC_BACKSLASH)
			return SS_DESCAPE;
		return class == SC_DQUOTE ? SS_PLAIN : SS_DSTRING;
	case SS_DESCAPE:
		return SS_DSTRING;
	case SS_TICKED:
		return class == SC_BACKTICK ? SS_PLAIN | SQLSCAN_EXACT : SS_TICKED | SQLSCAN_EXACT;
	case SS_NAME:
		return class == SC_DQUOTE ? SS_PLAIN | SQLSCAN_EXACT : SS_NAME | SQLSCAN_EXACT;
	default:
		return begin(dialect, class, 0);
	}
}

void fingerprint__scan_table(enum sql_dialect dialect, struct sqlscan *scan)
{
	for (int c = 0; c < 256; c++)
		scan->class_of[c] = class_of(dialect, c);
	for (unsigned int state = 0; state < SS_NR; state++) {
		for (uint8_t class = 0; class < SC_NR; class ++)
			scan->step[state * SC_NR + class] = step_of(dialect, state, class);
	}
}
