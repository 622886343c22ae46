/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_internal.h"

#include <stdlib.h>
#include <string.h>
#include "agent/names.h"
#include "base/arena.h"

/* ---- names ---- */

static void path_add(struct buf *b, const struct scan_node *n)
{
    if (!n->parent)
        return;
    path_add(b, &n->parent->node);
    if (b->len)
        buf_putc(b, '/');
    buf_puts(b, n->name);
}

const char *scan_path(struct agent_scan *s, const struct scan_node *n)
{
    buf_clear(&s->path);
    path_add(&s->path, n);
    return buf_str(&s->path);
}

const char *scan_url(struct agent_scan *s, const struct scan_node *n)
{
    const struct scan_root *root = n->is_dir ? ((const struct scan_dir *)(const void *)n)->root : n->parent->root;
    buf_clear(&s->url);
    buf_puts(&s->url, root->prefix);
    agent_name_encode(scan_path(s, n), &s->url);
    return buf_str(&s->url);
}

/* ---- making and finding ---- */

struct scan_node *scan_find(const struct scan_dir *d, const char *name)
{
    return map_get_str(&d->entries, name);
}

static void node_add(struct agent_scan *s, struct scan_node *n, struct scan_dir *parent, const char *name, bool is_dir)
{
    n->parent = parent;
    n->name = mem_strdup(name);
    n->is_dir = is_dir;
    map_put_str(&parent->entries, n->name, n);
    TAILQ_INSERT_TAIL(&parent->children, n, sibling);
    s->nodes++;
}

static void node_detach(struct scan_node *n)
{
    map_del_str(&n->parent->entries, n->name);
    TAILQ_REMOVE(&n->parent->children, n, sibling);
}

struct scan_file *scan_add_file(struct agent_scan *s, struct scan_dir *parent, const char *name)
{
    struct scan_file *f = mem_alloc(sizeof *f);
    node_add(s, &f->node, parent, name, false);
    return f;
}

void scan_dir_init(struct scan_dir *d, struct scan_root *root)
{
    d->node.is_dir = true;
    d->root = root;
    map_init(&d->entries);
    TAILQ_INIT(&d->children);
    d->wd = -1;
}

struct scan_dir *scan_add_dir(struct agent_scan *s, struct scan_dir *parent, const char *name, const struct stat *st)
{
    struct scan_dir *d = mem_alloc(sizeof *d);
    scan_dir_init(d, parent->root);
    s->stats.folders++;
    s->stats.unwatched++;
    d->dev = st->st_dev;
    d->ino = st->st_ino;
    node_add(s, &d->node, parent, name, true);
    return d;
}

void scan_seen(struct agent_scan *s, struct scan_node *n)
{
    n->seen = s->listing;
    TAILQ_REMOVE(&n->parent->children, n, sibling);
    TAILQ_INSERT_TAIL(&n->parent->children, n, sibling);
}

void scan_queue_dir(struct agent_scan *s, struct scan_dir *d)
{
    d->pass = s->pass;
    if (d->queued || d->doomed)
        return;
    d->queued = true;
    TAILQ_INSERT_TAIL(&s->to_list, d, link);
}

/* ---- dropping ---- */

static void drop_file(struct agent_scan *s, struct scan_file *f)
{
    if (s->reading == f)
        scan_read_stop(s);
    scan_unqueue_file(s, f);
    scan_gone(s, f);
    node_detach(&f->node);
    s->nodes--;
    free(f->node.name);
    free(f);
}

/* No more work with it, but what is in it is still there. */
static void dir_rest(struct agent_scan *s, struct scan_dir *d)
{
    if (s->listed == d)
        scan_list_stop(s);
    if (d->queued)
        TAILQ_REMOVE(&s->to_list, d, link);
    d->queued = false;
    scan_watch_remove(s, d);
}

static void doom(struct agent_scan *s, struct scan_dir *d)
{
    dir_rest(s, d);
    if (!d->doomed)
        TAILQ_INSERT_TAIL(&s->doomed, d, link);
    d->doomed = true;
}

void scan_drop(struct agent_scan *s, struct scan_node *n)
{
    if (!n->is_dir) {
        drop_file(s, (struct scan_file *)(void *)n);
        return;
    }
    node_detach(n);
    doom(s, (struct scan_dir *)(void *)n);
}

void scan_doom_children(struct agent_scan *s, struct scan_dir *root)
{
    doom(s, root);
}

static void dir_free(struct agent_scan *s, struct scan_dir *d)
{
    dir_rest(s, d);
    map_fini(&d->entries);
    s->stats.folders--;
    s->stats.unwatched--;
    s->nodes--;
    free(d->node.name);
    free(d);
}

void scan_doom_step(struct agent_scan *s)
{
    struct scan_dir *top = TAILQ_FIRST(&s->doomed), *d = top;
    struct scan_node *n;
    while ((n = TAILQ_FIRST(&d->children)) != NULL) {
        if (!n->is_dir) {
            drop_file(s, (struct scan_file *)(void *)n);
            return;
        }
        d = (struct scan_dir *)(void *)n;
    }
    if (d == top) {
        TAILQ_REMOVE(&s->doomed, d, link);
        d->doomed = false;
        if (!d->node.parent)
            return; /* a root stays, empty */
    } else {
        node_detach(&d->node);
    }
    dir_free(s, d);
}

void scan_tree_free(struct agent_scan *s)
{
    s->config.events = (struct agent_scan_events){0};
    for (size_t i = 0; i < s->root_count; i++)
        doom(s, &s->roots[i].top);
    while (!TAILQ_EMPTY(&s->doomed))
        scan_doom_step(s);
    for (size_t i = 0; i < s->root_count; i++)
        map_fini(&s->roots[i].top.entries);
}
