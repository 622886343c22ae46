/* SPDX-License-Identifier: Apache-2.0 */
/* What the geo tests share: a builder whose reports are kept, and looking up by text. */
#ifndef PM_TESTS_GEO_TEST_H
#define PM_TESTS_GEO_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../cmocka_pm.h"
#include "base/buf.h"
#include "geo/build.h"

static struct buf reports;
static unsigned report_count;

static inline void keep_report(void *arg, int err, const char *message)
{
    assert_int_not_equal(err, PM_OK);
    buf_printf(&reports, "%s\n", message);
    report_count++;
}

static inline struct geo_builder *builder(void)
{
    buf_clear(&reports);
    report_count = 0;
    return geo_builder_new(keep_report, NULL);
}

static inline void assert_reported(const char *text)
{
    if (!strstr(buf_str(&reports), text))
        fail_msg("not reported: %s\nbut:\n%s", text, buf_str(&reports));
}

static inline struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), PM_OK);
    return a;
}

static inline const struct geo_place *place_of(const struct geo_db *db, const char *text)
{
    struct addr a = addr(text);
    return geo_place_at(db, geo_find(db, &a).place);
}

static inline unsigned scope_of(const struct geo_db *db, const char *text)
{
    struct addr a = addr(text);
    return geo_find(db, &a).scope;
}

/* A file of its own with this content; unlink and free the path. */
static inline char *temp_file(const void *data, size_t len)
{
    char *path = strdup("/tmp/geo-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
    return path;
}

static inline void drop_file(char *path)
{
    unlink(path);
    free(path);
}

static inline int add_csv(struct geo_builder *b, const char *text, const struct geo_csv_options *o)
{
    char *path = temp_file(text, strlen(text));
    int err = geo_builder_csv(b, path, o);
    drop_file(path);
    return err;
}

static inline int add_rir(struct geo_builder *b, const char *text)
{
    char *path = temp_file(text, strlen(text));
    int err = geo_builder_rir(b, path);
    drop_file(path);
    return err;
}

#endif
