/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman agent`: the process on a web server. */
#ifndef PM_MAIN_AGENT_COMMAND_H
#define PM_MAIN_AGENT_COMMAND_H

#define AGENT_USAGE "[-c FILE] [--check | --clean]"

int agent_main(int argc, char **argv);

#endif
