/* SPDX-License-Identifier: MIT */
/* What the fleet's page shows of dispatch: ports and the drivers that have them, some of each. */
#include "node/service/dispatch/port/port.h"

#include <inttypes.h>

enum {
    SHOWN_PORTS = 32,
    SHOWN_DRIVERS = 4, /* of a port */
};

struct page {
    struct buf *out;
    size_t rows, more;
};

static size_t count_open(struct dispatch_port *port)
{
    size_t count = 0;
    LIST_EACH(it, &port->drivers) {
        count += LIST_ITEM(it, struct dispatch_driver, entry)->state == DRIVER_OPEN ? 1 : 0;
    }
    return count;
}

static void print_port(struct page *page, struct dispatch_port *port)
{
    struct buf *out = page->out;
    if (page->rows == SHOWN_PORTS) {
        page->more++;
        return;
    }
    buf_printf(out, "%s{\"port\":%u,\"proto\":\"%s\",\"open\":%s", page->rows++ > 0 ? "," : "",
               port->number, port->is_udp ? "udp" : "tcp", port->unbound ? "false" : "true");
    if (!port->is_udp) {
        buf_printf(out, ",\"devices\":%" PRIu32, port->clients);
    }
    buf_append(out, SPAN(",\"drivers\":["));
    size_t count = 0;
    LIST_EACH(it, &port->drivers) {
        const struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, entry);
        char text[ADDRESS_TEXT];
        if (driver->state == DRIVER_OPEN && count++ < SHOWN_DRIVERS) {
            buf_printf(out, "%s\"%s\"", count > 1 ? "," : "",
                       address_text(conn_peer(ws_conn(driver->ws)), text));
        }
    }
    buf_printf(out, "],\"more\":%zu}", count > SHOWN_DRIVERS ? count - SHOWN_DRIVERS : 0);
}

/* Ports with drivers here come first: only this node reports them. */
void dispatch_describe(const struct dispatch *dispatch, struct buf *out)
{
    struct page page = {.out = out};
    buf_append(out, SPAN("{\"rows\":["));
    MAP_EACH(it, &dispatch->ports) {
        struct dispatch_port *port = MAP_ENTRY(it, struct dispatch_port, node);
        if (count_open(port) > 0) {
            print_port(&page, port);
        }
    }
    MAP_EACH(it, &dispatch->ports) {
        struct dispatch_port *port = MAP_ENTRY(it, struct dispatch_port, node);
        if (count_open(port) == 0 && (port->clients > 0 || port->unbound)) {
            print_port(&page, port);
        }
    }
    buf_printf(out, "],\"more\":%zu}", page.more);
}
