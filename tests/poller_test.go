package tests

import (
	"fmt"
	"strings"
	"testing"
)

// Loops wait by either poller, as the file says: clients come in clear and by
// TLS, bring a message of some size, and leave nothing behind.
func TestPollers(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	for _, poller := range []string{"auto", "epoll", "io_uring"} {
		t.Run(poller, func(t *testing.T) {
			l := newLB(t, options{servers: serversOf(all[:]...), global: fmt.Sprintf("poller = %q", poller)})
			l.begin()
			if poller == "io_uring" && waitFor(patience, func() bool { return l.dead() || len(l.records("started")) > 0 }) && l.dead() {
				if !strings.Contains(l.log(), "io_uring") {
					t.Errorf("it did not start, and said %q", l.log())
				}
				t.Skip("no io_uring here")
			}
			l.ready()
			within(t, patience, "it waits by "+poller, func() bool {
				list := l.records("started")
				return len(list) > 0 && (list[0]["poller"] == poller || poller == "auto")
			})
			for _, c := range []*client{greeted(t, l.plain), dialNamed(t, "127.0.0.1", l.implicit, "imap.test")} {
				user, text := newUser(), mail("big", 3<<20)
				c.ok("LOGIN %s %s", user, password)
				c.ok("APPEND INBOX {%d+}\r\n%s", len(text), text)
				c.ok("SELECT INBOX")
				got := strings.Join(c.ok("FETCH 1 BODY.PEEK[]"), "\r\n")
				if !strings.Contains(got, strings.TrimSpace(text)) {
					t.Errorf("a message of %d bytes came back as %d", len(text), len(got))
				}
				c.logout()
			}
		})
	}
}
