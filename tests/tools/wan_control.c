/* SPDX-License-Identifier: Apache-2.0 */
/* The line protocol; the commands are the table at the end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "wan.h"

enum { MAX_WORDS = 64 };

static const char *complaint;

static int fail(const char *why)
{
    complaint = why;
    return -1;
}

/* A number with a unit of a table; NULL as unit in the table: none needed. */
struct unit {
    const char *name;
    double factor;
};
static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit shares[] = {{"%", 0.01}, {"", 1}, {NULL, 0}};
static const struct unit rates[] = {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"k", 1024}, {"M", 1048576}, {"", 1}, {NULL, 0}};

static bool quantity(const char *text, const struct unit *units, double most, double *value)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || !(n >= 0))
        return false;
    for (; units->name; units++)
        if (strcmp(end, units->name) == 0) {
            *value = n * units->factor;
            return *value <= most;
        }
    return n == 0 && !*end;
}

/* One word KEY=VALUE about a pair. */
static int set_key(struct pair *l, const char *word)
{
    double v = 0;
    const char *value = strchr(word, '=');
    size_t n = value ? (size_t)(value++ - word) : 0;
#define IS(key) (n == strlen(key) && strncmp(word, key, n) == 0)
    if (IS("delay") && quantity(value, times, 60e9, &v))
        l->delay_ns = (uint64_t)v;
    else if (IS("jitter") && quantity(value, times, 60e9, &v))
        l->jitter_ns = (uint64_t)v;
    else if (IS("loss") && quantity(value, shares, 1, &v))
        l->loss = v;
    else if (IS("dup") && quantity(value, shares, 1, &v))
        l->dup = v;
    else if (IS("reorder") && quantity(value, shares, 1, &v))
        l->reorder = v;
    else if (IS("rate") && quantity(value, rates, 1e12, &v))
        l->rate_bps = (uint64_t)v;
    else if (IS("limit") && quantity(value, sizes, 1e9, &v))
        l->limit_bytes = (uint64_t)v;
    else
        return fail("want delay= jitter= loss= dup= reorder= rate= limit=, with a value in range");
#undef IS
    return 0;
}

/* Whether a name is in a list such as "tokyo,os*,sydney". */
static bool named(const char *list, const char *name)
{
    char copy[1024], *save = NULL;
    if (strlen(list) >= sizeof copy)
        return false;
    strcpy(copy, list);
    for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
        if (fnmatch(w, name, 0) == 0)
            return true;
    return false;
}

static bool any_named(const char *list)
{
    for (unsigned i = 0; i < site_count; i++)
        if (named(list, sites[i].name))
            return true;
    return false;
}

typedef int pair_fn(struct pair *l, unsigned from, unsigned to, char **words, FILE *out);

static int each_pair(const char *from, const char *to, pair_fn *fn, char **words, FILE *out)
{
    if (!any_named(from) || !any_named(to))
        return fail("no such site");
    for (unsigned i = 0; i < site_count; i++)
        for (unsigned j = 0; j < site_count; j++)
            if (i != j && named(from, sites[i].name) && named(to, sites[j].name)) {
                int rc = fn(&pairs[i][j], i, j, words, out);
                if (rc)
                    return rc;
            }
    return 0;
}

static int set_pair(struct pair *l, unsigned from, unsigned to, char **words, FILE *out)
{
    struct pair changed = *l; /* all words or none */
    for (; *words; words++)
        if (set_key(&changed, *words))
            return -1;
    *l = changed;
    l->last_due_ns = 0; /* a path that became shorter does not wait for what is still on the longer one */
    return 0;
}

static int set_cut(struct pair *l, unsigned from, unsigned to, char **words, FILE *out)
{
    l->cut = words != NULL;
    return 0;
}

static int show_pair(struct pair *l, unsigned from, unsigned to, char **words, FILE *out)
{
    if (words && !l->sent)
        return 0;
    fprintf(out,
            " pair %s %s delay=%.3fms jitter=%.3fms loss=%g%% dup=%g%% reorder=%g%% rate=%llu limit=%llu cut=%d "
            "sent=%llu delivered=%llu bytes=%llu lost=%llu duplicated=%llu reordered=%llu cut_off=%llu queue_drops=%llu\n",
            sites[from].name, sites[to].name, (double)l->delay_ns / 1e6, (double)l->jitter_ns / 1e6, l->loss * 100,
            l->dup * 100, l->reorder * 100, (unsigned long long)l->rate_bps, (unsigned long long)l->limit_bytes, l->cut,
            (unsigned long long)l->sent, (unsigned long long)l->delivered, (unsigned long long)l->delivered_bytes,
            (unsigned long long)l->lost, (unsigned long long)l->duplicated, (unsigned long long)l->reordered,
            (unsigned long long)l->cut_off, (unsigned long long)l->queue_drops);
    return 0;
}

static int do_site(char **words, FILE *out)
{
    if (site_count == MAX_SITES)
        return fail("too many sites");
    struct site *s = &sites[site_count];
    memset(s, 0, sizeof *s);
    if (strlen(words[0]) >= sizeof s->name || strpbrk(words[0], ",|*?[=") || any_named(words[0]))
        return fail("this name is taken, too long, or no name");
    strcpy(s->name, words[0]);
    for (words++; *words; words++) {
        if (strncmp(*words, "router=", 7) == 0) {
            bool v6 = strchr(*words, ':');
            if (inet_pton(v6 ? AF_INET6 : AF_INET, *words + 7, v6 ? s->router6 : s->router4) != 1)
                return fail("router= wants an address");
            *(v6 ? &s->has_router6 : &s->has_router4) = true;
        } else if (s->prefix_count == MAX_PREFIXES || !prefix_parse(*words, &s->prefixes[s->prefix_count++])) {
            return fail("not a prefix, or too many");
        }
    }
    int rc = site_open(s);
    if (rc)
        return fail(strerror(-rc));
    for (unsigned i = 0; i <= site_count; i++)
        pairs[i][site_count].limit_bytes = pairs[site_count][i].limit_bytes = 1 << 20;
    site_count++;
    fprintf(out, " site %s ns=%d\n", s->name, s->ns_fd);
    return 0;
}

static struct site *find_site(const char *name)
{
    for (unsigned i = 0; i < site_count; i++)
        if (strcmp(sites[i].name, name) == 0)
            return &sites[i];
    return NULL;
}

static int do_announce(char **words, FILE *out)
{
    struct site *s = find_site(words[0]);
    if (!s || s->prefix_count == MAX_PREFIXES || !prefix_parse(words[1], &s->prefixes[s->prefix_count]))
        return fail("no such site, too many prefixes, or no prefix");
    s->prefix_count++;
    return 0;
}

static int do_withdraw(char **words, FILE *out)
{
    struct site *s = find_site(words[0]);
    struct prefix p;
    if (!s || !prefix_parse(words[1], &p))
        return fail("no such site, or no prefix");
    unsigned kept = 0;
    for (unsigned i = 0; i < s->prefix_count; i++)
        if (memcmp(&s->prefixes[i], &p, sizeof p) != 0)
            s->prefixes[kept++] = s->prefixes[i];
    s->prefix_count = kept;
    return 0;
}

static int do_pair(char **words, FILE *out)
{
    return each_pair(words[0], words[1], set_pair, words + 2, out);
}

static int do_link(char **words, FILE *out)
{
    int rc = each_pair(words[0], words[1], set_pair, words + 2, out);
    return rc ? rc : each_pair(words[1], words[0], set_pair, words + 2, out);
}

static int do_cut(char **words, FILE *out)
{
    return each_pair(words[0], words[1], set_cut, words, out);
}

static int do_partition(char **words, FILE *out)
{
    char *groups[MAX_WORDS], *save = NULL;
    unsigned n = 0;
    for (char *g = strtok_r(words[0], "|", &save); g && n < MAX_WORDS; g = strtok_r(NULL, "|", &save))
        groups[n++] = g;
    if (n < 2)
        return fail("want groups: A,B|C,D");
    for (unsigned i = 0; i < n; i++)
        if (!any_named(groups[i]))
            return fail("no such site");
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < n; j++)
            if (i != j && each_pair(groups[i], groups[j], set_cut, words, out))
                return -1;
    return 0;
}

static int do_heal(char **words, FILE *out)
{
    const char *a = words[0] ? words[0] : "*", *b = words[0] && words[1] ? words[1] : "*";
    int rc = each_pair(a, b, set_cut, NULL, out);
    return rc ? rc : each_pair(b, a, set_cut, NULL, out);
}

static int site_state(const char *list, bool down)
{
    if (!any_named(list))
        return fail("no such site");
    for (unsigned i = 0; i < site_count; i++)
        if (named(list, sites[i].name))
            sites[i].down = down;
    return 0;
}

static int do_down(char **words, FILE *out)
{
    return site_state(words[0], true);
}

static int do_up(char **words, FILE *out)
{
    return site_state(words[0], false);
}

static int do_show(char **words, FILE *out)
{
    return each_pair(words[0], words[1], show_pair, NULL, out);
}

static int do_stats(char **words, FILE *out)
{
    for (unsigned i = 0; i < site_count; i++)
        fprintf(out, " site %s ns=%d down=%d no_route=%llu write_errors=%llu\n", sites[i].name, sites[i].ns_fd,
                sites[i].down, (unsigned long long)sites[i].no_route, (unsigned long long)sites[i].write_errors);
    char *none[] = {NULL};
    if (site_count && each_pair("*", "*", show_pair, none, out))
        return -1;
    fprintf(out, " total in_flight=%llu most=%llu pool_drops=%llu late_p50_us=%.0f late_p99_us=%.0f late_max_us=%.0f\n",
            (unsigned long long)link_totals.in_flight, (unsigned long long)link_totals.most_in_flight,
            (unsigned long long)link_totals.pool_drops, link_late_us(0.5), link_late_us(0.99),
            (double)link_totals.late_max_ns / 1e3);
    return 0;
}

static int do_reset(char **words, FILE *out)
{
    uint64_t in_flight = link_totals.in_flight;
    memset(&link_totals, 0, sizeof link_totals);
    link_totals.in_flight = in_flight;
    return 0;
}

static int do_seed(char **words, FILE *out)
{
    link_seed(strtoull(words[0], NULL, 10));
    return 0;
}

static int do_quit(char **words, FILE *out)
{
    return 1;
}

static int do_help(char **words, FILE *out);

static const struct command {
    const char *name;
    unsigned least, most; /* words after it */
    int (*run)(char **words, FILE *out);
    const char *usage;
} commands[] = {
    {"site", 1, MAX_WORDS, do_site, "site NAME [router=ADDRESS]... PREFIX...     make a namespace with device wan0"},
    {"announce", 2, 2, do_announce, "announce SITE PREFIX                        lead it there as well (anycast)"},
    {"withdraw", 2, 2, do_withdraw, "withdraw SITE PREFIX"},
    {"pair", 3, MAX_WORDS, do_pair, "pair FROM TO KEY=VALUE...                   one way; delay jitter loss dup reorder rate limit"},
    {"link", 3, MAX_WORDS, do_link, "link A B KEY=VALUE...                       the same for both ways"},
    {"cut", 2, 2, do_cut, "cut FROM TO                                 one way"},
    {"partition", 1, 1, do_partition, "partition A,B|C,D                           both ways between the groups"},
    {"heal", 0, 2, do_heal, "heal [A [B]]                                join again what was cut"},
    {"down", 1, 1, do_down, "down SITE                                   nothing goes in or out"},
    {"up", 1, 1, do_up, "up SITE"},
    {"show", 2, 2, do_show, "show FROM TO"},
    {"stats", 0, 0, do_stats, "stats                                       sites, pairs that were used, lateness"},
    {"reset", 0, 0, do_reset, "reset                                       forget the lateness measured so far"},
    {"seed", 1, 1, do_seed, "seed NUMBER                                 of the draws of loss and jitter"},
    {"help", 0, 0, do_help, "help"},
    {"quit", 0, 0, do_quit, "quit"},
};

static int do_help(char **words, FILE *out)
{
    fprintf(out, " sites may be lists with globs: \"to*,osaka\"\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, " %s\n", commands[i].usage);
    return 0;
}

static int run(char **words, unsigned n, FILE *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        if (strcmp(c->name, words[0]) == 0)
            return n - 1 < c->least || n - 1 > c->most ? fail(c->usage) : c->run(words + 1, out);
    }
    return fail("no such command; try help");
}

int control_line(char *line, FILE *out)
{
    char *words[MAX_WORDS + 1], *save = NULL;
    unsigned n = 0;
    for (char *w = strtok_r(line, " \t\r\n", &save); w; w = strtok_r(NULL, " \t\r\n", &save)) {
        if (n == MAX_WORDS) {
            fprintf(out, "error too many words\n");
            return 0;
        }
        words[n++] = w;
    }
    if (!n || words[0][0] == '#')
        return 0;
    words[n] = NULL;
    int rc = run(words, n, out);
    if (rc < 0)
        fprintf(out, "error %s\n", complaint);
    else
        fprintf(out, "ok\n");
    return rc > 0;
}
