/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever may publish on the cluster: the input is packets (u8 how, u16 length, bytes) that come to
 * a node with an honest peer. How: bit 0 = the number of the honest link is put in, bit 1 = its
 * next sequence as well, bits 2-7 = time that passes, in 10 ms. Afterwards nothing may have grown
 * beyond its bound, and the honest peer must have its link, or get one.
 */
#include "../unit/mesh/nats_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzz_nats_XXXXXX";

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    if (n > MESH_MESSAGE_MAX)
        abort();
}
static void on_drained(struct mesh_link *l)
{
}
static void on_down(struct mesh_link *l, const char *why)
{
    l->calls = NULL; /* a call after this one crashes */
}
static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_up(void *ctx, struct mesh_link *l)
{
    l->calls = &calls;
}

static void remove_dir(void)
{
    static const char *const files[] = {"ca.pem", "ca.key", "a.pem", "b.pem"};
    char path[128];
    for (unsigned i = 0; i < PM_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void once(void)
{
    struct buf why = BUF_INIT;
    struct keys_options o = {.dir = dir};
    if (uv_loop_init(&stub_loop) != 0 || !mkdtemp(dir) || keys_init(&o, "a", &why) != PM_OK ||
        keys_issue(&o, "b", &why) != PM_OK)
        abort();
    buf_fini(&why);
    atexit(remove_dir);
    log_set_level(LOG_ERROR - 1);
}

static void feed(struct mesh_nats *t, uint8_t how, const uint8_t *data, size_t n)
{
    uint8_t *packet = mem_alloc(n + 1);
    struct nats_peer *p = map_get_str(&t->peers, "a");
    memcpy(packet, data, n);
    if (how & 1 && n >= NATS_HEAD && p && p->link) {
        memcpy(packet + 4, &p->link->id, sizeof p->link->id);
        for (unsigned i = 0; how & 2 && i < 4; i++)
            packet[12 + i] = (uint8_t)(p->link->expected >> (24 - 8 * i));
    }
    on_packet(t, packet, n);
    reap(t);
    free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        once();
    ready = true;
    struct mesh_nats *t[2] = {stub_new(dir, "a", on_up, NULL), stub_new(dir, "b", on_up, NULL)};
    stub_run(t, 2, 600);
    while (size >= 3) {
        size_t n = (size_t)data[1] << 8 | data[2];
        uint8_t how = data[0];
        data += 3;
        size -= 3;
        n = n > size ? size : n;
        feed(t[1], how, data, n);
        data += n;
        size -= n;
        stub_run(t, 2, (how >> 2) * STEP_MS);
    }
    if (t[1]->stats.half_open > t[1]->o.half_open + CALLS_MAX || t[1]->peers.count > PEERS_MAX ||
        t[0]->stats.links > 1)
        abort();
    struct nats_peer *p = map_get_str(&t[1]->peers, "a");
    for (unsigned i = 0; i < 60 && !(p && p->link); i++) {
        stub_run(t, 2, 1000);
        p = map_get_str(&t[1]->peers, "a");
    }
    if (!p || !p->link)
        abort();
    stub_free(t[0]);
    stub_free(t[1]);
    return 0;
}
