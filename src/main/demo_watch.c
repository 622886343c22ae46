/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's watcher: asks as a client of each site would, twice a second, and prints what changes. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/addr.h"
#include "dns/name.h"
#include "main/demo.h"
#include "monitor/dns_ask.h"

enum { EVERY_MS = 500, WAIT_MS = 400, QUESTION_LEN = 12 + 18 + 4 /* header, www.demo.example, type and class */ };

static size_t write_query(uint8_t *q, const char *client)
{
    static const uint8_t opt[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0};
    struct addr a;
    memset(q, 0, 12);
    if (getrandom(q, 2, 0) != 2 || addr_parse(client, &a) != PM_OK)
        return 0;
    q[5] = q[11] = 1;
    int n = dns_name_parse("www.demo.example", NULL, q + 12);
    size_t len = 12 + (size_t)(n < 0 ? 0 : n);
    memcpy(q + len, "\0\1\0\1", 4);
    memcpy(q + len + 4, opt, sizeof opt);
    memcpy(q + len + 4 + sizeof opt, a.bytes, 3); /* /24 */
    return len + 4 + sizeof opt + 3;
}

/* The site whose address is in the answer; NULL = no answer. */
static const struct demo_site *ask(int fd, const char *client)
{
    uint8_t query[512], reply[1500];
    size_t len = write_query(query, client);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (send(fd, query, len, 0) < 0 || poll(&p, 1, WAIT_MS) <= 0)
        return NULL;
    ssize_t n = recv(fd, reply, sizeof reply, 0);
    for (unsigned i = 0; n > 0 && i < DEMO_SITES; i++) {
        struct addr a;
        struct dns_ask_reply r;
        if (addr_parse(demo_sites[i].address, &a) == PM_OK &&
            dns_ask_read(reply, (size_t)n, query, QUESTION_LEN, &a, &r) == DNS_ASK_OK && r.found)
            return &demo_sites[i];
    }
    return NULL;
}

int demo_watch(const char *address, uint16_t port)
{
    const struct demo_site *before[DEMO_SITES] = {NULL};
    struct endpoint to = {.port = port};
    struct sockaddr_storage sa;
    if (addr_parse(address, &to.addr) != PM_OK)
        return 1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, endpoint_to_sockaddr(&to, &sa)) != 0)
        return 1;
    for (;;) {
        for (unsigned i = 0; i < DEMO_SITES; i++) {
            const struct demo_site *now = ask(fd, demo_sites[i].client);
            if (!now || now == before[i])
                continue;
            time_t t = time(NULL);
            char clock[16];
            strftime(clock, sizeof clock, "%H:%M:%S", localtime(&t));
            printf("  %s  a client in %-8s is sent to %s%s%s\n", clock, demo_sites[i].name, now->name, before[i] ? ", no longer to " : "",
                   before[i] ? before[i]->name : "");
            fflush(stdout);
            before[i] = now;
        }
        usleep(EVERY_MS * 1000);
    }
}
