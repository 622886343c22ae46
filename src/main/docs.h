/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman docs DIR`, `pointsman docs --man`: the reference manual, written from the tables the program works by. */
#ifndef PM_MAIN_DOCS_H
#define PM_MAIN_DOCS_H

int docs_main(int argc, char **argv);

#endif
