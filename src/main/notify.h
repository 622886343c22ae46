/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how we are, by the sd_notify(3) protocol; does nothing when nobody listens. */
#ifndef PM_MAIN_NOTIFY_H
#define PM_MAIN_NOTIFY_H

#include "base/err.h"

/* "READY=1", "RELOADING=1", "STATUS=..." */
void notify_send(const char *fmt, ...) PM_PRINTF(1, 2);

#endif
