/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Master files. Entries are split here, because an error must name the line and column where its entry or word stands and
 * reading must go on behind it; the words of rdata are then ldns's to understand, but for the commonest types.
 */
#include "dns/zone_builder.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <ldns/ldns.h>
#include "base/file.h"

enum { WORDS_MAX = 4096, INCLUDE_MAX = 16, FILE_MAX = 1 << 30, TTL_UNSET = -1 };

struct word {
    const char *text; /* NUL-terminated, escapes and quotes as in the file */
    unsigned line, column;
};

struct zone_file {
    struct dns_zones_builder *b;
    uint8_t origin[DNS_NAME_MAX], owner[DNS_NAME_MAX];
    bool has_owner;
    int64_t default_ttl, last_ttl; /* $TTL; of the record before */
    unsigned depth, errors;
    int file_err; /* of the outermost file */
};

/* One open file, an entry at a time. */
struct source {
    struct zone_file *zone;
    const char *path;
    char *at, *end, *line_start;
    unsigned line;
    struct word *words;
    unsigned count;
    bool indented; /* the entry starts with white space: it has the owner of the one before */
    struct buf text;   /* words of the entry */
};

static void read_source(struct zone_file *f, const char *path, unsigned line);

static void fail(struct source *s, enum dns_severity severity, const struct word *w, const char *message,
                 const char *what)
{
    struct dns_zones_builder *b = s->zone->b;
    dns_zones_builder_at(b, s->path, w->line);
    s->zone->errors += severity == DNS_ERROR;
    dns_builder_report(b, severity, b->file, w->line, w->column, what ? "%s: %.200s" : "%s", message, what);
}

static struct word here(const struct source *s)
{
    return (struct word){"", s->line, (unsigned)(s->at - s->line_start) + 1};
}

static void next_line(struct source *s)
{
    s->at++;
    s->line++;
    s->line_start = s->at;
}

/* Copies one word to text; false: a quote that does not close on its line. */
static bool read_word(struct source *s)
{
    struct word start = here(s);
    bool quoted = *s->at == '"';
    const char *from = s->at;
    if (quoted)
        s->at++;
    for (; s->at < s->end && *s->at != '\n'; s->at++) {
        if (*s->at == '\\' && s->at + 1 < s->end && s->at[1] != '\n')
            s->at++;
        else if (quoted ? *s->at == '"' : strchr(" \t\r;()\"", *s->at) != NULL)
            break;
    }
    if (quoted && (s->at >= s->end || *s->at != '"')) {
        fail(s, DNS_ERROR, &start, "this quote is not closed on its line", NULL);
        return false;
    }
    if (quoted)
        s->at++;
    if (s->count == WORDS_MAX) {
        fail(s, DNS_ERROR, &start, "too many words in one entry", NULL);
        return false;
    }
    start.text = (const char *)s->text.len; /* text may move until the entry is complete */
    s->words[s->count++] = start;
    buf_add(&s->text, from, (size_t)(s->at - from));
    buf_add(&s->text, "", 1);
    return true;
}

static void skip_line(struct source *s)
{
    while (s->at < s->end && *s->at != '\n')
        s->at++;
}

/* The next entry's words. false: end of file. An entry with a fault is reported and comes out empty. */
static bool read_entry(struct source *s)
{
    struct word open = {0};
    unsigned depth = 0;
    bool good = true;
    s->count = 0;
    buf_clear(&s->text);
    if (s->at >= s->end)
        return false;
    s->indented = *s->at == ' ' || *s->at == '\t';
    while (s->at < s->end && (*s->at != '\n' || depth)) {
        char c = *s->at;
        if (c == '\n') {
            next_line(s);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            s->at++;
        } else if (c == ';') {
            skip_line(s);
        } else if (c == '(') {
            open = here(s);
            depth++;
            s->at++;
        } else if (c == ')') {
            struct word w = here(s);
            if (!depth) {
                fail(s, DNS_ERROR, &w, "')' without '('", NULL);
                good = false;
            } else {
                depth--;
            }
            s->at++;
        } else if (!read_word(s)) {
            good = false;
            skip_line(s);
            depth = 0;
        }
    }
    if (depth) {
        fail(s, DNS_ERROR, &open, "'(' without ')'", NULL);
        good = false;
    }
    if (s->at < s->end)
        next_line(s);
    for (unsigned i = 0; i < s->count; i++)
        s->words[i].text = s->text.data + (size_t)s->words[i].text;
    if (!good)
        s->count = 0;
    return true;
}

/* "3600", "1h30m"; units s m h d w. */
static bool parse_ttl(const char *text, int64_t *ttl)
{
    uint64_t sum = 0;
    while (*text) {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        uint64_t v = strtoull(text, &end, 10), unit = 1;
        switch (*end) {
        case 0:
            break;
        case 's': case 'S': end++; break;
        case 'm': case 'M': unit = 60; end++; break;
        case 'h': case 'H': unit = 3600; end++; break;
        case 'd': case 'D': unit = 86400; end++; break;
        case 'w': case 'W': unit = 604800; end++; break;
        default:
            return false;
        }
        if (v > 0x7fffffff || (sum += v * unit) > 0x7fffffff)
            return false;
        text = end;
    }
    *ttl = (int64_t)sum;
    return true;
}

static void include(struct source *s)
{
    struct zone_file *f = s->zone;
    char path[PATH_MAX], dir[PATH_MAX], name[PATH_MAX];
    const struct word *w = s->words;
    uint8_t origin[DNS_NAME_MAX], owner[DNS_NAME_MAX];
    bool had_owner = f->has_owner;
    if (s->count < 2 || s->count > 3) {
        fail(s, DNS_ERROR, &w[0], "$INCLUDE takes a file and perhaps an origin", NULL);
        return;
    }
    size_t n = strlen(w[1].text);
    bool quoted = n >= 2 && w[1].text[0] == '"';
    snprintf(name, sizeof name, "%.*s", (int)(quoted ? n - 2 : n), w[1].text + quoted);
    snprintf(dir, sizeof dir, "%s", s->path);
    int len = name[0] == '/' ? snprintf(path, sizeof path, "%s", name)
                             : snprintf(path, sizeof path, "%s/%s", dirname(dir), name);
    if (f->depth == INCLUDE_MAX || len >= (int)sizeof path) {
        fail(s, DNS_ERROR, &w[1], "$INCLUDE nested too deeply", w[1].text);
        return;
    }
    memcpy(origin, f->origin, sizeof origin);
    memcpy(owner, f->owner, sizeof owner);
    if (s->count == 3 && dns_name_parse(w[2].text, origin, f->origin) < 0) {
        fail(s, DNS_ERROR, &w[2], "not a domain name", w[2].text);
        memcpy(f->origin, origin, sizeof origin);
        return;
    }
    f->depth++;
    dns_zones_builder_at(f->b, s->path, w[0].line);
    read_source(f, path, w[0].line);
    f->depth--;
    memcpy(f->origin, origin, sizeof origin); /* RFC 1035 5.1: the including file goes on as before */
    memcpy(f->owner, owner, sizeof owner);
    f->has_owner = had_owner;
}

static void directive(struct source *s)
{
    struct zone_file *f = s->zone;
    const struct word *w = s->words;
    if (strcasecmp(w[0].text, "$INCLUDE") == 0) {
        include(s);
    } else if (strcasecmp(w[0].text, "$ORIGIN") == 0) {
        uint8_t origin[DNS_NAME_MAX];
        if (s->count != 2 || dns_name_parse(w[1].text, f->origin, origin) < 0)
            fail(s, DNS_ERROR, &w[s->count > 1], "$ORIGIN takes one domain name", NULL);
        else
            memcpy(f->origin, origin, sizeof origin);
    } else if (strcasecmp(w[0].text, "$TTL") == 0) {
        if (s->count != 2 || !parse_ttl(w[1].text, &f->default_ttl))
            fail(s, DNS_ERROR, &w[s->count > 1], "$TTL takes one time of at most 2147483647 s", NULL);
    } else {
        fail(s, DNS_ERROR, &w[0], "unknown directive", w[0].text);
    }
}

/* ldns takes 70000 for 4464 in a 16-bit field, so numbers are looked at here. Returns the word at fault, or NULL. */
static const struct word *number_too_big(uint16_t type, const struct word *w, unsigned count)
{
    const ldns_rr_descriptor *d = ldns_rr_descript(type);
    if (count && strcmp(w[0].text, "\\#") == 0)
        return NULL;
    for (unsigned i = 0; i < count && i < ldns_rr_descriptor_maximum(d); i++) {
        ldns_rdf_type t = ldns_rr_descriptor_field_type(d, i);
        uint64_t max = t == LDNS_RDF_TYPE_INT8 ? 255 : t == LDNS_RDF_TYPE_INT16 ? 65535 : 0xffffffffu;
        if (t != LDNS_RDF_TYPE_INT8 && t != LDNS_RDF_TYPE_INT16 && t != LDNS_RDF_TYPE_INT32)
            continue;
        char *end;
        unsigned long long v = strtoull(w[i].text, &end, 10);
        if (*end || end == w[i].text || w[i].text[0] == '-' || v > max)
            return &w[i];
    }
    return NULL;
}

/* Parameters of SVCB must be in order of their keys on the wire (RFC 9460 2.2); in the file they may stand in any. */
static bool sort_svcb(uint8_t *rdata, size_t len)
{
    int target = len > 2 ? dns_name_length(rdata + 2, len - 2) : -1;
    if (target < 0)
        return false;
    size_t start = 2 + (size_t)target;
    uint8_t swap[65536];
    for (bool sorted = false; !sorted;) {
        sorted = true;
        for (size_t p = start; p < len;) {
            size_t n = p + 4 <= len ? 4u + dns_get16(rdata + p + 2) : SIZE_MAX;
            if (n > len - p)
                return false;
            size_t q = p + n;
            if (q + 4 <= len && q + 4 + dns_get16(rdata + q + 2) <= len) {
                size_t m = 4u + dns_get16(rdata + q + 2);
                int order = memcmp(rdata + p, rdata + q, 2);
                if (order == 0)
                    return false; /* a key twice */
                if (order > 0) {
                    memcpy(swap, rdata + p, n);
                    memmove(rdata + p, rdata + q, m);
                    memcpy(rdata + p + m, swap, n);
                    n = m;
                    sorted = false;
                }
            }
            p += n;
        }
    }
    return true;
}

/* Rdata through ldns; returns its length, or -1 with *why. */
static int rdata_by_ldns(struct source *s, uint16_t type, unsigned from, uint8_t *out, const char **why)
{
    char type_text[DNS_TYPE_TEXT];
    struct buf line = BUF_INIT;
    ldns_rr *rr = NULL;
    uint8_t root[1] = {0};
    int len = 0;
    snprintf(type_text, sizeof type_text, "TYPE%u", type);
    buf_printf(&line, ". 0 IN %s", type_text);
    for (unsigned i = from; i < s->count; i++)
        buf_printf(&line, " %s", s->words[i].text);
    int origin_len = dns_name_length(s->zone->origin, DNS_NAME_MAX);
    ldns_rdf *origin = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, origin_len > 0 ? (size_t)origin_len : 1,
                                             origin_len > 0 ? s->zone->origin : root);
    ldns_status status = ldns_rr_new_frm_str(&rr, buf_str(&line), 0, origin, NULL);
    ldns_rdf_deep_free(origin);
    buf_fini(&line);
    if (status != LDNS_STATUS_OK) {
        *why = ldns_get_errorstr_by_id(status);
        return -1;
    }
    for (size_t i = 0; len >= 0 && i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        size_t n = rdf ? ldns_rdf_size(rdf) : 0;
        if ((size_t)len + n > 65535) {
            *why = "longer than 65535 bytes";
            len = -1;
        } else if (n) {
            memcpy(out + len, ldns_rdf_data(rdf), n);
            len += (int)n;
        }
    }
    ldns_rr_free(rr);
    if (len >= 0 && (type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS) && !sort_svcb(out, (size_t)len)) {
        *why = "malformed or repeated parameters";
        return -1;
    }
    return len;
}

/* The types that make up nearly all of a large zone, without the detour. -2: none of them. */
static int rdata_directly(struct source *s, uint16_t type, unsigned from, uint8_t *out)
{
    if (from + 1 != s->count)
        return -2;
    const char *text = s->words[from].text;
    if (type == DNS_TYPE_A)
        return inet_pton(AF_INET, text, out) == 1 ? 4 : -1;
    if (type == DNS_TYPE_AAAA)
        return inet_pton(AF_INET6, text, out) == 1 ? 16 : -1;
    if (type == DNS_TYPE_NS || type == DNS_TYPE_CNAME || type == DNS_TYPE_PTR || type == DNS_TYPE_DNAME) {
        int n = dns_name_parse(text, s->zone->origin, out);
        return n < 0 ? -1 : n;
    }
    return -2;
}

static void record_ttl(struct zone_file *f, uint16_t type, const uint8_t *rdata, int len, int64_t *ttl)
{
    if (*ttl == TTL_UNSET)
        *ttl = f->default_ttl != TTL_UNSET ? f->default_ttl : f->last_ttl;
    /* RFC 1035 3.3.13: before $TTL there was MINIMUM. */
    if (*ttl == TTL_UNSET && type == DNS_TYPE_SOA && len >= 20)
        *ttl = dns_get32(rdata + len - 4) & 0x7fffffff;
    f->last_ttl = *ttl;
}

/* Type and rdata, words from `at` on. */
static void record_data(struct source *s, unsigned at, int64_t ttl)
{
    static _Thread_local uint8_t rdata[65536];
    struct zone_file *f = s->zone;
    uint16_t type;
    const char *why = "malformed";
    const struct word *w = &s->words[at];
    if (dns_type_parse(w->text, &type) < 0) {
        fail(s, DNS_ERROR, w, "unknown record type", w->text);
        return;
    }
    const struct word *bad = number_too_big(type, w + 1, s->count - at - 1);
    if (bad) {
        fail(s, DNS_ERROR, bad, "not a number that fits its field", bad->text);
        return;
    }
    int len = rdata_directly(s, type, at + 1, rdata);
    if (len == -2)
        len = rdata_by_ldns(s, type, at + 1, rdata, &why);
    if (len < 0) {
        fail(s, DNS_ERROR, at + 1 < s->count ? w + 1 : w, "malformed record data", why);
        return;
    }
    record_ttl(f, type, rdata, len, &ttl);
    if (ttl == TTL_UNSET) {
        fail(s, DNS_ERROR, w, "no TTL: neither here, nor before, nor by $TTL", NULL);
        return;
    }
    dns_zones_builder_at(f->b, s->path, s->words[0].line);
    if (dns_zone_add_rr(f->b, f->owner, type, (uint32_t)ttl, rdata, (size_t)len) < 0)
        f->errors++;
}

/* [owner] [TTL] [class] type rdata, TTL and class in either order. */
static void record(struct source *s)
{
    struct zone_file *f = s->zone;
    const struct word *w = s->words;
    unsigned at = 0;
    int64_t ttl = TTL_UNSET;
    bool class_seen = false;
    if (!s->indented) {
        uint8_t owner[DNS_NAME_MAX];
        if (dns_name_parse(w[at].text, f->origin, owner) < 0) {
            fail(s, DNS_ERROR, &w[at], "not a domain name", w[at].text);
            return;
        }
        memcpy(f->owner, owner, sizeof owner);
        f->has_owner = true;
        at++;
    } else if (!f->has_owner) {
        fail(s, DNS_ERROR, &w[at], "the first record needs an owner name", NULL);
        return;
    }
    for (; at < s->count; at++) {
        uint16_t class_, type;
        if (ttl == TTL_UNSET && w[at].text[0] >= '0' && w[at].text[0] <= '9') {
            if (!parse_ttl(w[at].text, &ttl)) {
                fail(s, DNS_ERROR, &w[at], "not a TTL of at most 2147483647 s", w[at].text);
                return;
            }
        } else if (!class_seen && dns_type_parse(w[at].text, &type) < 0 &&
                   dns_class_parse(w[at].text, &class_) == PM_OK) {
            if (class_ != DNS_CLASS_IN) {
                fail(s, DNS_ERROR, &w[at], "only class IN can be served", w[at].text);
                return;
            }
            class_seen = true;
        } else {
            break;
        }
    }
    if (at == s->count)
        fail(s, DNS_ERROR, &w[at - 1], "a record type is missing", NULL);
    else
        record_data(s, at, ttl);
}

static void read_source(struct zone_file *f, const char *path, unsigned line)
{
    struct buf content = BUF_INIT;
    int err = file_read(path, FILE_MAX, &content);
    if (err) {
        /* Said where it is wanted: at the $INCLUDE, or at the file itself. */
        if (!line)
            dns_zones_builder_at(f->b, path, 0);
        dns_builder_report(f->b, DNS_ERROR, f->b->file, line, 0, "cannot read %s: %s", path, err_text(err));
        f->errors++;
        f->file_err = f->depth ? f->file_err : err;
        buf_fini(&content);
        return;
    }
    struct source s = {.zone = f, .path = path, .line = 1};
    s.at = s.line_start = content.data;
    s.end = content.data ? content.data + content.len : NULL;
    s.words = mem_alloc(WORDS_MAX * sizeof *s.words);
    while (read_entry(&s)) {
        if (!s.count)
            continue;
        if (!s.indented && s.words[0].text[0] == '$')
            directive(&s);
        else
            record(&s);
    }
    free(s.words);
    buf_fini(&s.text);
    buf_fini(&content);
}

int dns_zone_load_file(struct dns_zones_builder *b, const char *path, const uint8_t *origin)
{
    struct zone_file f = {.b = b, .default_ttl = TTL_UNSET, .last_ttl = TTL_UNSET};
    dns_zones_builder_at(b, path, 0);
    int err = dns_zone_begin(b, origin);
    if (err)
        return err;
    memcpy(f.origin, origin, (size_t)dns_name_length(origin, DNS_NAME_MAX));
    read_source(&f, path, 0);
    return f.file_err ? f.file_err : f.errors ? PM_ECONFIG : PM_OK;
}
