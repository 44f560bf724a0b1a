package tests

import (
	"strings"
	"testing"
)

// Peers whose files differ for a while: a limited server that only one of them
// knows can be used there, and when their limits differ nobody waits for ever.
func TestTrioUnlikeLimits(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.servers = serversOf(all[:2]...)
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	text := fileText(t, a.config)
	cut := strings.Index(text, "[backend.mail.server.s1]")
	limited := "[backend.mail.server.s3]\naddr = \"" + all[2].addr + "\"\nmaxconn = "
	a.writeText(text[:cut] + limited + "4\n")
	if out, err := a.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	// Each says what only the other one has; here b alone misses a server.
	within(t, patience, "b says that it lacks s3", func() bool {
		return strings.Contains(b.ask("show peers"), "# mail/s3 is not in this peer's file, but in that of lb1")
	})
	var in []*client
	for range 3 {
		in = append(in, loggedIn(t, a.plain, newUser()))
	}
	text = fileText(t, b.config)
	b.writeText(text[:strings.Index(text, "[backend.mail.server.s1]")] + limited + "8\n")
	if out, err := b.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	for range 3 {
		in = append(in, loggedIn(t, b.plain, newUser()))
	}
	for _, c := range in {
		c.logout()
	}
	a.wantClaim("s3", "maxconn", "4", "2")
	b.wantClaim("s3", "maxconn", "8", "2") // so a has to be left more of its 4
	for range 3 {
		in = append(in, loggedIn(t, a.plain, newUser()))
	}
}
