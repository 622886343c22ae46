/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pointsman keys`: the fleet's authority and its nodes' certificates (mesh/keys.h), without a daemon.
 *
 * Thread: the one of main. Failure: an exit code (main/cli.h) after one line on stderr; files are whole or as before.
 */
#ifndef PM_MAIN_KEYS_COMMAND_H
#define PM_MAIN_KEYS_COMMAND_H

#define KEYS_USAGE                                                                                                     \
    "init [DIR] --name NODE | issue NODE | renew [NODE ...] | show [--json]; all: [--dir DIR] [--days N] [--force]"

int keys_main(int argc, char **argv);

#endif
