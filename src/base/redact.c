/* SPDX-License-Identifier: MIT */
/*
 * One pass over the text. At every separator (`:`, `=`, and the comma of a pair) it looks back for the name of a key, at most KEY_SIZE_MAX bytes,
 * and where that is a secret's, ahead for the end of the value, from where it goes on. So no byte is looked at more than a constant number of times.
 */
#include "base/redact.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <slither/redact.h>

#include "base/macros.h"

#define KEY_SIZE_MAX 64   /* bytes of a key that are looked at: its end */
#define BLANKS_MAX 8      /* between a key and its separator */
#define AUTHORITY_MAX 512 /* bytes of a URL in which a password is looked for */
#define STARS "***"

const struct sl__redact sl__redact_usual = {
    24, {"*password*", "*passwd*",        "*passphrase*",    "*passcode*",   "pwd",          "*_pwd",
         "*secret*",   "*token",          "*apikey",         "*api_key",     "*access_key",  "auth",
         "*_auth",     "*authorization*", "*cookie*",        "bearer",       "*credential*", "*private_key",
         "*jwt",       "*session_key",    "*encryption_key", "*signing_key", "*account_key", "*connection_string"}};

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c) {
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_one_of(char c, const char *which) {
    return c != '\0' && strchr(which, c) != NULL;
}

static bool is_quote(char c) {
    return c == '"' || c == '\'' || c == '`';
}

/* `_` between words, all letters small. `out` has room for twice the size. */
static size_t bring_into_form(const char *key, size_t size, char *out) {
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = key[i];
        if (is_upper(c)) {
            bool after_word = i > 0 && is_alnum(key[i - 1]) && !is_upper(key[i - 1]);
            bool before_word = i > 0 && is_upper(key[i - 1]) && i + 1 < size && key[i + 1] >= 'a' && key[i + 1] <= 'z';
            if (after_word || before_word) {
                out[used++] = '_';
            }
            out[used++] = (char)(c - 'A' + 'a');
        } else if (is_alnum(c) || c == '*') {
            out[used++] = c;
        } else if (used > 0 && out[used - 1] != '_') {
            out[used++] = '_';
        }
    }
    return used;
}

static enum sl_code add(struct sl__redact *redact, const char *pattern, struct sl_error *error) {
    size_t size = strlen(pattern);
    char form[2 * SL__REDACT_PATTERN_SIZE];
    if (size == 0 || size >= SL__REDACT_PATTERN_SIZE) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "the option `redact` has a pattern of %zu bytes; expected 1 to %d, for example \"*_token\"",
                            size, SL__REDACT_PATTERN_SIZE - 1);
    }
    if (redact->count == SL__REDACT_PATTERNS_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "the option `redact` has more than %d patterns%s",
                            SL__REDACT_PATTERNS_MAX, ", those of \"default\" included");
    }
    /* One that is written as a key may be, means that key. */
    size_t form_size = bring_into_form(pattern, size, form);
    if (form_size == 0 || form_size >= SL__REDACT_PATTERN_SIZE) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "the option `redact` has the pattern \"%s\", which no key can match; expected a name with letters, and * "
            "for any part of it",
            pattern);
    }
    memcpy(redact->patterns[redact->count], form, form_size);
    redact->patterns[redact->count++][form_size] = '\0';
    return SL_OK;
}

enum sl_code sl__redact_init(struct sl__redact *redact, const char *const *patterns, struct sl_error *error) {
    if (patterns == NULL) {
        *redact = sl__redact_usual;
        return SL_OK;
    }
    memset(redact, 0, sizeof *redact);
    enum sl_code code = SL_OK;
    for (; *patterns != NULL && code == SL_OK; patterns++) {
        if (strcmp(*patterns, "default") != 0) {
            code = add(redact, *patterns, error);
            continue;
        }
        for (uint32_t i = 0; i < sl__redact_usual.count && code == SL_OK; i++) {
            code = add(redact, sl__redact_usual.patterns[i], error);
        }
    }
    return code;
}

/* The classic walk with one point to come back to: the last star. */
static bool matches(const char *pattern, const char *text, size_t size) {
    const char *star = NULL;
    size_t at = 0, star_at = 0;
    while (at < size) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = at;
        } else if (*pattern == text[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool is_secret(const struct sl__redact *redact, const char *key, size_t size) {
    char form[2 * KEY_SIZE_MAX];
    size_t used = bring_into_form(key, size, form);
    for (uint32_t i = 0; i < redact->count; i++) {
        if (used > 0 && matches(redact->patterns[i], form, used)) {
            return true;
        }
    }
    return false;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* Where the text is, `[0, size)`, and the separator in it. */
struct place {
    const char *text;
    size_t size;
    size_t from; /* nothing before it is part of a key: it has been taken out */
};

enum key_kind { KEY_NONE, KEY_BARE, KEY_QUOTED, KEY_OF_PAIR };

/* The quoted key whose closing quote is at `close`. */
static enum key_kind quoted_key(const struct sl__redact *redact, const struct place *place, size_t close) {
    const char *text = place->text;
    char quote = text[close];
    size_t end = close;
    while (end > place->from && text[end - 1] == '\\') {
        end--; /* the quotes may be quoted themselves */
    }
    size_t start = end;
    while (start > place->from && end - start < KEY_SIZE_MAX && text[start - 1] != quote && text[start - 1] != '\n') {
        start--;
    }
    if (!is_secret(redact, text + start, end - start)) {
        return KEY_NONE;
    }
    size_t open = start > place->from ? start - 1 : start;
    while (open > place->from && (text[open - 1] == '\\' || text[open - 1] == 'b' || text[open - 1] == 'u')) {
        open--;
    }
    return open > place->from && (text[open - 1] == '(' || text[open - 1] == '[') ? KEY_OF_PAIR : KEY_QUOTED;
}

static bool is_key_byte(char c) {
    return is_alnum(c) || c == '_' || c == '-' || c == '.';
}

/* The key that ends before the separator at `at`. */
static enum key_kind key_before(const struct sl__redact *redact, const struct place *place, size_t at) {
    const char *text = place->text;
    size_t end = at;
    for (int i = 0; i < 2 && end > place->from && is_one_of(text[end - 1], "=!<>"); i++) {
        end--; /* of ==, !=, >= and the like */
    }
    for (int i = 0; i < BLANKS_MAX && end > place->from && is_blank(text[end - 1]); i++) {
        end--;
    }
    if (end == place->from) {
        return KEY_NONE;
    }
    if (is_quote(text[end - 1])) {
        return quoted_key(redact, place, end - 1);
    }
    if (text[end - 1] == ']' && end - place->from >= 2 && is_quote(text[end - 2])) {
        return quoted_key(redact, place, end - 2) != KEY_NONE ? KEY_BARE : KEY_NONE; /* config["password"] = ... */
    }
    size_t start = end;
    while (start > place->from && end - start < KEY_SIZE_MAX && is_key_byte(text[start - 1])) {
        start--;
    }
    /* Of a path only the last name is the key: self.password */
    for (size_t i = start; i < end; i++) {
        if (text[i] == '.' && i + 1 < end) {
            start = i + 1;
        }
    }
    return is_secret(redact, text + start, end - start) ? KEY_BARE : KEY_NONE;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* From the quote at `open`, which `escapes` backslashes stand before, to behind the closing one. `*body_end`: where that, or its escape, begins. */
static size_t skip_string(const struct place *place, size_t open, size_t escapes, size_t *body_end) {
    const char *text = place->text;
    char quote = text[open];
    bool triple = escapes == 0 && open + 2 < place->size && text[open + 1] == quote && text[open + 2] == quote;
    size_t period = 2 * (escapes + 1), run = 0;
    for (size_t i = open + (triple ? 3 : 1); i < place->size; i++) {
        if (text[i] == '\\') {
            run++;
            continue;
        }
        /* Quoted n times a quote has 2^n - 1 backslashes, and each backslash of the string is doubled n + 1 times. */
        bool closes = text[i] == quote && run >= escapes && (run - escapes) % period == 0;
        if (closes && run > escapes && i + 1 < place->size && is_alnum(text[i + 1])) {
            closes = false; /* JSON in a repr: only its backslashes are doubled */
        }
        if (closes && triple) {
            closes = i + 2 < place->size && text[i + 1] == quote && text[i + 2] == quote;
        }
        if (closes) {
            *body_end = i - escapes;
            return i + (triple ? 3 : 1);
        }
        run = 0;
    }
    *body_end = place->size;
    return place->size;
}

static bool opens(char c) {
    return c == '(' || c == '[' || c == '{';
}

static bool closes(char c) {
    return c == ')' || c == ']' || c == '}';
}

/* From the bracket at `open` to behind the one that closes it. */
static size_t skip_brackets(const struct place *place, size_t open) {
    size_t depth = 0, body_end;
    for (size_t i = open; i < place->size;) {
        char c = place->text[i];
        if (is_quote(c)) {
            i = skip_string(place, i, 0, &body_end);
            continue;
        }
        depth += opens(c);
        depth -= closes(c);
        i++;
        if (depth == 0) {
            return i;
        }
    }
    return place->size;
}

/* A value without quotes, to where its kind of text ends it. */
static size_t skip_bare(const struct place *place, size_t start, const char *ends) {
    size_t i = start, body_end;
    while (i < place->size && !is_one_of(place->text[i], ends)) {
        char c = place->text[i];
        if (opens(c)) {
            i = skip_brackets(place, i);
        } else if (is_quote(c) && i > start && !is_alnum(place->text[i - 1])) {
            i = skip_string(place, i, 0, &body_end);
        } else if (c == '<' && i == start) {
            while (i < place->size && place->text[i] != '>' && place->text[i] != '\n') {
                i++; /* <Secret object at 0x...> */
            }
        } else {
            i++;
        }
    }
    return i;
}

static bool is_word(const char *text, size_t size, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strlen(*words) == size && strncasecmp(text, *words, size) == 0) {
            return true;
        }
    }
    return false;
}

/* Bearer abc: the secret is the second word. */
static size_t skip_scheme(const struct place *place, size_t start, size_t end) {
    static const char *const schemes[] = {"bearer", "basic", "digest", "negotiate", "token", NULL};
    return is_word(place->text + start, end - start, schemes) && end < place->size && is_blank(place->text[end])
               ? skip_bare(place, end + 1, " \t\r\n,;&)]}\"'")
               : end;
}

struct value {
    size_t start, end; /* what is to be replaced */
    size_t next;       /* where the text goes on */
};

/* Finds the value that begins at or after `at`. False: there is none that needs to be hidden. */
static bool find_value(const struct place *place, enum sl__redact_kind kind, enum key_kind key, char separator,
                       size_t at, struct value *value) {
    static const char *const harmless[] = {"none", "null", "nil", "true", "false", NULL};
    const char *text = place->text;
    size_t i = at;
    while (i < place->size && is_blank(text[i])) {
        i++;
    }
    if (i < place->size && (text[i] == '\n' || text[i] == '\r')) {
        size_t next = i;
        while (next < place->size && (is_blank(text[next]) || text[next] == '\n' || text[next] == '\r')) {
            next++;
        }
        if (key == KEY_BARE || next == place->size || !(is_quote(text[next]) || opens(text[next]))) {
            return false;
        }
        i = next; /* a printer that breaks lines has put it there */
    }
    size_t quote = i;
    for (int n = 0; n < 2 && quote < place->size && is_one_of(text[quote], "bBrRuUfF"); n++) {
        quote++;
    }
    size_t escapes = 0;
    while (quote + escapes < place->size && text[quote + escapes] == '\\') {
        escapes++;
    }
    if (quote + escapes < place->size && is_quote(text[quote + escapes])) {
        value->start = quote + escapes + 1;
        value->next = skip_string(place, quote + escapes, escapes, &value->end);
        if (value->next > value->start + 2 && text[value->start] == text[quote + escapes] && escapes == 0 &&
            value->end > value->start + 2 && text[value->start + 1] == text[value->start]) {
            value->start += 2; /* three quotes */
        }
        return value->end > value->start;
    }
    if (kind == SL__REDACT_SOURCE || i >= place->size) {
        return false;
    }
    value->start = i;
    if (opens(text[i])) {
        value->end = skip_brackets(place, i);
    } else if (key == KEY_BARE && separator == ':') {
        value->end = skip_bare(place, i, "\r\n");
    } else if (separator == ':' || separator == ',') {
        value->end = skip_bare(place, i, ",;)]}\r\n");
    } else {
        value->end = skip_scheme(place, i, skip_bare(place, i, " \t\r\n,;&)]}\"'"));
    }
    value->next = value->end;
    return value->end > value->start && !is_word(text + value->start, value->end - value->start, harmless);
}

/* The password of a URL whose authority begins at `at`. */
static bool find_password(const struct place *place, size_t at, struct value *value) {
    size_t colon = 0, password_end = 0;
    for (size_t i = at; i < place->size && i - at < AUTHORITY_MAX; i++) {
        char c = place->text[i];
        if (c == '@') {
            password_end = i;
        } else if (c == ':' && colon == 0) {
            colon = i;
        } else if (c == '/' || c == '?' || c == '#' || c == '\n' || is_blank(c) || is_quote(c)) {
            break;
        }
    }
    *value = (struct value){colon + 1, password_end, password_end};
    return colon > 0 && password_end > colon + 1;
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

/* The value that the separator at `at` announces. */
static bool announced(const struct sl__redact *redact, enum sl__redact_kind kind, const struct place *place, size_t at,
                      struct value *value) {
    const char *text = place->text;
    char separator = text[at];
    if (separator == ':' && at + 2 < place->size && text[at + 1] == '/' && text[at + 2] == '/') {
        return find_password(place, at + 3, value);
    }
    if (separator == ':' && ((at + 1 < place->size && text[at + 1] == ':') || (at > 0 && text[at - 1] == ':'))) {
        return false; /* Token::parse */
    }
    if (separator == ',' && (kind == SL__REDACT_SOURCE || at == 0 || !is_quote(text[at - 1]))) {
        return false;
    }
    enum key_kind key = key_before(redact, place, at);
    if (key == KEY_NONE || (separator == ',' && key != KEY_OF_PAIR)) {
        return false;
    }
    size_t behind = at + 1;
    while (behind < place->size && behind < at + 3 && (text[behind] == '=' || text[behind] == '>')) {
        behind++; /* of := and => */
    }
    if (separator == ':' && behind > at + 1) {
        separator = '=';
    }
    return find_value(place, kind, key, separator, behind, value);
}

size_t sl__redact_text(const struct sl__redact *redact, enum sl__redact_kind kind, char *text, size_t size) {
    struct place place = {text, size, 0};
    size_t used = 0, taken = 0; /* written so far; read so far */
    for (size_t at = 0; redact->count > 0 && at < size;) {
        struct value value;
        char c = text[at];
        if ((c != ':' && c != '=' && c != ',') || !announced(redact, kind, &place, at, &value)) {
            at++;
            continue;
        }
        /* What is written lies before what is read, and a key never reaches back beyond what has been taken out. */
        size_t stars = SL_MIN(value.end - value.start, sizeof STARS - 1);
        memmove(text + used, text + taken, value.start - taken);
        used += value.start - taken;
        memcpy(text + used, STARS, stars);
        used += stars;
        taken = value.end;
        place.from = value.end;
        at = value.next;
    }
    memmove(text + used, text + taken, size - taken);
    used += size - taken;
    if (used < size) {
        text[used] = '\0';
    }
    return used;
}

enum sl_code sl_redact(const char *const *patterns, char *text, size_t *size, struct sl_error *error) {
    struct sl__redact redact;
    if (text == NULL || size == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_redact: `%s` is NULL", text == NULL ? "text" : "size");
    }
    enum sl_code code = sl__redact_init(&redact, patterns, error);
    if (code == SL_OK) {
        *size = sl__redact_text(&redact, SL__REDACT_TEXT, text, *size);
    }
    return code;
}
