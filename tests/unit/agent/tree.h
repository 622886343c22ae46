/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for one test: files written by relative path, removed at the end. */
#ifndef PM_TESTS_AGENT_TREE_H
#define PM_TESTS_AGENT_TREE_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char dir[64];
};

static inline void tree_make(struct tree *t)
{
    strcpy(t->dir, "/tmp/pm-agent-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
}

/* Its place in one of four buffers, used in turn. */
static inline const char *tree_path(const struct tree *t, const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *p = paths[turn++ % 4];
    snprintf(p, PATH_MAX, "%s/%s", t->dir, name);
    return p;
}

static inline void tree_dirs(const struct tree *t, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", t->dir, name);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        (void)mkdir(path, 0755);
        *at = '/';
    }
}

static inline void tree_write_bytes(const struct tree *t, const char *name, const void *data, size_t len)
{
    tree_dirs(t, name);
    int fd = open(tree_path(t, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static inline void tree_write(const struct tree *t, const char *name, const char *text)
{
    tree_write_bytes(t, name, text, strlen(text));
}

static inline int tree_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void tree_remove(const struct tree *t, const char *name)
{
    /* "DIR/." cannot be removed by that name */
    (void)nftw(strcmp(name, ".") == 0 ? t->dir : tree_path(t, name), tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
