/* SPDX-License-Identifier: MIT */
/* What the fleet's page shows of dispatch: ports and the drivers that have them, some of each. */
#include "node/service/dispatch/port/port.h"

#include <inttypes.h>

enum {
    SHOWN_PORTS = 32,
    SHOWN_DRIVERS = 4, /* of a port */
};

static void print_port(const struct dispatch_port *port, struct buf *out)
{
    buf_printf(out, "{\"port\":%u,\"proto\":\"%s\",\"open\":%s", port->number,
               port->is_udp ? "udp" : "tcp", port->unbound ? "false" : "true");
    if (!port->is_udp) {
        buf_printf(out, ",\"devices\":%" PRIu32, port->clients);
    }
    buf_append(out, SPAN(",\"drivers\":["));
    size_t most = port->open < SHOWN_DRIVERS ? port->open : SHOWN_DRIVERS, count = 0;
    for (struct list *it = port->drivers.next; count < most; it = it->next) {
        const struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, entry);
        char text[ADDRESS_TEXT];
        if (driver->state == DRIVER_OPEN) {
            buf_printf(out, "%s\"%s\"", count++ > 0 ? "," : "",
                       address_text(conn_peer(ws_conn(driver->ws)), text));
        }
    }
    buf_printf(out, "],\"more\":%zu}", port->open - most);
}

/* Returns how many rows there are then. */
static size_t print_shelf(const struct dispatch_shelf *shelf, size_t rows, struct buf *out)
{
    for (struct list *it = shelf->ports.next; it != &shelf->ports && rows < SHOWN_PORTS;
         it = it->next) {
        buf_append(out, rows++ > 0 ? SPAN(",") : SPAN(""));
        print_port(LIST_ITEM(it, struct dispatch_port, shelved), out);
    }
    return rows;
}

/* Ports with drivers here come first: only this node reports them. */
void dispatch_describe(const struct dispatch *dispatch, struct buf *out)
{
    buf_append(out, SPAN("{\"rows\":["));
    size_t rows = print_shelf(&dispatch->driven, 0, out);
    rows = print_shelf(&dispatch->held, rows, out);
    buf_printf(out, "],\"more\":%zu}", dispatch->driven.count + dispatch->held.count - rows);
}
