/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one module once and prints the result as key=value lines.
 * Usage: probe_once MODULE ADDRESS:PORT [YAML [HOST [TIMEOUT_MS]]]; or --list; exits 0 when the check is good, 1 when not.
 */
#include <inttypes.h>
#include "probe_run.h"
#include "monitor/http_params.h"
#include "monitor/line_params.h"

int main(int argc, char **argv)
{
    const struct monitor_module *module = NULL;
    struct endpoint target;
    struct probe_run t;
    for (size_t i = 0; argc == 2 && strcmp(argv[1], "--list") == 0 && monitor_modules[i]; i++)
        puts(monitor_modules[i]->object->name);
    if (argc < 3)
        return argc == 2 ? 0 : 2;
    for (size_t i = 0; monitor_modules[i]; i++)
        if (strcmp(monitor_modules[i]->object->name, argv[1]) == 0)
            module = monitor_modules[i];
    if (!module || endpoint_parse(argv[2], module->default_port, &target) != 0) {
        fprintf(stderr, "no such module or target\n");
        return 2;
    }
    probe_run_open(&t, module, argc > 3 ? argv[3] : "{}");
    struct probe_result r = probe_run_once(&t, target, argc > 4 ? argv[4] : "localhost",
                                           argc > 5 ? strtoull(argv[5], NULL, 10) : 3000);
    printf("status=%s\nwhy=%s\ncode=%d\nbytes=%" PRIu64 "\nconnect_us=%" PRIu64 "\nduration_us=%" PRIu64 "\n",
           probe_status_name(r.status), r.why, r.code, r.bytes, r.connect_ns / 1000, r.duration_ns / 1000);
    if (r.cert_expiry_s != INT64_MIN)
        printf("cert_expiry_s=%" PRId64 "\n", r.cert_expiry_s);
    probe_run_close(&t);
    return r.status != PROBE_OK;
}
