/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files below a document root, never outside it: whoever may write into the tree can put a symbolic link anywhere, at
 * any moment, so paths are resolved by the kernel in one step (openat2(2), RESOLVE_BENEATH) or name by name without
 * following links, never as one string.
 *
 * Paths are relative, of plain names. Thread: any. Failure: PM_EPERM for what leads outside, else the errno's code.
 */
#ifndef PM_AGENT_BENEATH_H
#define PM_AGENT_BENEATH_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

enum { AGENT_PATH_MAX = 4096 };
#define AGENT_PART_SUFFIX ".pm-part"

/* Names that are no resources: hidden ones and copies in the making. */
bool agent_name_hidden(const char *name);
/* Relative; no name is empty, ".", "..", hidden or longer than the file system's 255 bytes. */
bool agent_path_valid(const char *path);

enum agent_links { AGENT_LINKS_NONE, AGENT_LINKS_INSIDE };
/*
 * Opens what is there; flags as for open(2), without O_CREAT. "" is the root itself. With AGENT_LINKS_INSIDE symbolic
 * links are followed as long as they stay below the root (relative ones; on a kernel without openat2, none). Returns
 * the descriptor, close-on-exec.
 */
int agent_open_beneath(int root_fd, const char *path, int flags, enum agent_links links) PM_MUST_CHECK;
/* The same, name by name and following no link: what is done where openat2 is missing. */
int agent_open_walk(int root_fd, const char *path, int flags) PM_MUST_CHECK;
/*
 * The folder that path's last name is in, through no link at all; make: folders that are missing are made, mode 0755,
 * for the owner of the one above. *name points into path.
 */
int agent_open_parent(int root_fd, const char *path, bool make, const char **name) PM_MUST_CHECK;

#endif
