/* SPDX-License-Identifier: Apache-2.0 */
/* Text to configuration; what loads must print, and the print must load again to the same. */
#include <stdlib.h>
#include <string.h>
#include "../unit/model/fake_registries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7 loses a scanner buffer on some syntax errors; leaks of ours do not end in a frame of its own. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml\n";
}

static struct config *load(const char *text, size_t len)
{
    struct conf_diag *d = conf_diag_new();
    struct config *c = NULL;
    int err = config_load_text("fuzz.yaml", text, len, &fake_reg, &c, d);
    struct buf b = BUF_INIT;
    conf_diag_print(d, &b);
    if (err && !conf_diag_errors(d))
        abort(); /* refused without a reason */
    buf_fini(&b);
    conf_diag_free(d);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Reading other files is the include test's work, and no business of a fuzzer. */
    if (memmem(data, size, "include", 7) || memmem(data, size, "\\", 1))
        return 0;
    struct config *c = load((const char *)data, size);
    if (!c)
        return 0;
    struct buf one = BUF_INIT, two = BUF_INIT;
    config_print(c, &one);
    struct config *again = load(buf_str(&one), one.len);
    if (!again)
        abort();
    config_print(again, &two);
    if (strcmp(buf_str(&one), buf_str(&two)) != 0)
        abort();
    buf_fini(&one);
    buf_fini(&two);
    config_free(c);
    config_free(again);
    return 0;
}
