/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balancer's content directory with everything around it played: the kernel's tables (a list), agents (what they are
 * told is written down), the front end's slots and notes. The configuration is a real one, read from text.
 */
#ifndef PM_TESTS_CATALOG_LAB_H
#define PM_TESTS_CATALOG_LAB_H

#include "../cmocka_pm.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "main/farm_catalog_internal.h"

enum { KERNEL_MAX = 4096, NODES = 4 };

/* Every resource in "the kernel's table". */
struct kernel_entry {
    uint32_t host, set, flags;
    int kind;
    char text[200];
    uint64_t hits;
};
struct lab {
    struct clock_manual clock;
    struct farm *f;
    struct front front;
    struct front_known *known;
    struct farm_catalog *c;
    struct config *config, *before; /* the one before stays until the next */
    struct arena *arena;
    struct kernel_entry kernel[KERNEL_MAX];
    uint32_t kernel_count, kernel_max;
    uint64_t set_holders[RELAY_SETS_MAX]; /* of the last ring of each set, server bits */
    int hosts_put;
    bool sure; /* the front end was told that all have reported */
    struct {
        uint8_t health, word;
    } server[NODES]; /* "a" .. "d" */
    struct {
        bool there;
        struct farm_agent_status status;
    } agent[NODES];
    int order_answer;
    unsigned order_count;
    struct {
        uint32_t node;
        enum agent_order_kind kind;
        uint64_t id, size, hash;
        char host[64], path[64];
        unsigned sources;
        struct endpoint source[AGENT_SOURCES_MAX];
    } order[64];
    struct front_note notes[16];
    unsigned note_count;
};
extern struct lab lab;

/* A service www.x.test (alias x.test) with these lines under `servers`, and these elsewhere. */
void lab_open(const char *servers, const char *catalog);
void lab_reload(const char *servers, const char *front, const char *catalog);
void lab_close(void);
void lab_turns(void); /* until there is nothing to do */
void lab_seconds(unsigned n);
void lab_agent(uint32_t node); /* it is configured, and was not heard yet */
/* The agents of these nodes ("ab") connect and report nothing; files follow. */
void lab_agents(const char *nodes);
void lab_file(const char *nodes, const char *host, const char *path, uint64_t size, uint64_t hash);
void lab_gone(char node, const char *host, const char *path);
void lab_note(const char *path, unsigned status, char server, bool again);
/* "/a ab, /img/ c FRONT, ..." of front number 1, sorted; holders by the sets' rings. */
const char *lab_kernel(void);
/* Who has it, as the front end knows: "ab", "-": nobody is known. */
const char *lab_known(const char *path);

#endif
