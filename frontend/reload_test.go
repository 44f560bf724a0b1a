package frontend

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
	"time"
)

// A reload gives live sessions new timeouts and new connections new settings.
func TestUpdate(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	server, cfg := certificate(t, "imap.test")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	idle, active := r.greeted(), r.greeted()
	idle.login("alice")
	active.login("bob")
	pre := r.greeted()

	next := r.set
	next.Config.TLS, next.TLS, next.Config.RequireTLS = "starttls", server, true
	next.Config.TimeoutClient = 300 * time.Millisecond
	r.fe.Update(next)
	if got := r.fe.Settings().Config.TLS; got != "starttls" {
		t.Errorf("settings in force: TLS %q", got)
	}
	c := r.dial()
	c.want("* OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE LITERAL- STARTTLS LOGINDISABLED]")
	c.send("s STARTTLS\r\n")
	c.want("s OK")
	c.secure(cfg)
	c.login("carol")

	// Who was there before the reload goes on as he began.
	pre.login("dave")
	idle.want("* BYE [UNAVAILABLE] Disconnected for inactivity")
	if end := r.ended("client_timeout"); end["state"] != "cD" {
		t.Errorf("logged %v", end)
	}
}

// A frontend that a reload takes TLS from still has clients who were promised
// STARTTLS.
func TestSTARTTLSBehindReload(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	r := newRig(t, plan{config: Config{TLS: "starttls", RequireTLS: true}, tls: server})
	c := r.greeted()
	next := r.set
	next.Config.TLS, next.TLS = "none", nil
	r.fe.Update(next)
	c.send("s STARTTLS\r\n")
	c.want("s OK")
	c.secure(cfg)
	c.send("n NOOP\r\n")
	c.want("n OK")
}

// A new certificate holds for handshakes from now on.
func TestNewCertificate(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	r := newRig(t, plan{config: Config{TLS: "implicit"}, tls: server})
	old := r.dial()
	old.secure(cfg)
	old.want("* OK ")

	next := r.set
	var with *tls.Config
	next.TLS, with = certificate(t, "new.test")
	r.fe.Update(next)
	c := r.dial()
	c.secure(with)
	c.want("* OK ")
	old.send("n NOOP\r\n")
	old.want("n OK")
}

// resumes connects and reports whether the TLS session was resumed.
func (r *rig) resumes(cfg *tls.Config) bool {
	r.t.Helper()
	c := r.dial()
	s := c.secure(cfg)
	c.want("* OK ") // the ticket has come before it
	c.send("x LOGOUT\r\n")
	c.gone()
	return s.ConnectionState().DidResume
}

func TestTickets(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	r := newRig(t, plan{config: Config{TLS: "implicit"}, tls: server, loops: 2})
	other := r.e.Add("other", 4, r.set)
	here, there := r.addr, r.listen(other, "127.0.0.1:0")
	t.Cleanup(func() { other.KeepListeners(nil) })

	// rotate is what RotateTickets does every now and then.
	now := time.Now()
	rotate := func() {
		now = now.Add(ticketLife)
		r.e.updateTickets(now)
	}
	steps := []struct {
		name string
		do   func()
		want bool
	}{
		{"first", func() {}, false},
		{"second", func() {}, true},
		{"on the other listener", func() { r.addr = there }, true},
		{"behind a reload", func() {
			next := r.set
			next.TLS = server.Clone()
			r.fe.Update(next)
			r.addr = here
		}, true},
		{"behind a rotation", rotate, true},
		{"behind as many as keys are kept", func() {
			for range ticketKeys {
				rotate()
			}
		}, false},
		{"and again", func() {}, true},
	}
	for _, s := range steps {
		s.do()
		if got := r.resumes(cfg); got != s.want {
			t.Errorf("%s: resumed %v, want %v", s.name, got, s.want)
		}
	}
	if r.fe.TLSReused.Load()+other.TLSReused.Load() != 5 || r.e.TLSReused.Load() != 5 || r.e.TLSTot.Load() != int64(len(steps)) {
		t.Errorf("counted %d of %d as resumed", r.e.TLSReused.Load(), r.e.TLSTot.Load())
	}
	r.eventually("all have left", func() bool { return r.e.Conns.Load() == 0 })
}

// The newest key comes first, and no more are kept than said.
func TestTicketKeys(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k, err := newTickets(now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * ticketKeys {
		before := k.keys
		if changed, err := k.update(now.Add(ticketLife - time.Second)); err != nil || changed {
			t.Fatalf("rotation %d: changed before its time, %v", i, err)
		}
		now = now.Add(ticketLife)
		if changed, err := k.update(now); err != nil || !changed {
			t.Fatalf("rotation %d: changed %v, %v", i, changed, err)
		}
		if len(k.keys) != min(i+2, ticketKeys) || !bytes.Equal(k.keys[1][:], before[0][:]) || k.keys[0] == before[0] {
			t.Fatalf("rotation %d: %d keys, or not in order", i, len(k.keys))
		}
	}
}

// What peers derive from the same secret opens each other's tickets: over two
// periods, with clocks that differ, and while the cluster changes its key.
func TestSharedTicketKeys(t *testing.T) {
	now := time.UnixMilli(100*ticketLife.Milliseconds() + 1)
	old, fresh := [32]byte{1}, [32]byte{2}
	keys := func(at time.Time, secrets ...[32]byte) [][32]byte {
		k := new(tickets)
		k.share(func() [][32]byte { return secrets })
		if changed, err := k.update(at); err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
		if changed, _ := k.update(at.Add(time.Second)); changed {
			t.Error("changed within a period")
		}
		return k.keys
	}
	mine := keys(now, old)
	for _, c := range []struct {
		name  string
		peer  [][32]byte
		opens bool
	}{
		{"same moment", keys(now, old), true},
		{"a period later", keys(now.Add(ticketLife), old), true},
		{"two periods later", keys(now.Add(2*ticketLife), old), true},
		{"three periods later", keys(now.Add(3*ticketLife), old), false},
		{"a clock that is behind", keys(now.Add(-time.Minute), old), true},
		{"a peer that has the next key as well", keys(now, old, fresh), true},
		{"a peer that encrypts with the next key", keys(now, fresh, old), true},
		{"a peer with another key", keys(now, fresh), false},
	} {
		if got := slices.Contains(c.peer, mine[0]); got != c.opens {
			t.Errorf("%s: opens my ticket %v, want %v", c.name, got, c.opens)
		}
	}
}

func TestLoadTLS(t *testing.T) {
	if _, err := LoadTLS([]Cert{{Cert: "/none/cert.pem", Key: "/none/key.pem"}}); err == nil {
		t.Error("a certificate that is not there was loaded")
	}
}

// Listeners come and go with the configuration; connections stay.
func TestKeepListeners(t *testing.T) {
	r := newRig(t, plan{})
	c := r.greeted()
	second := r.listen(r.fe, "127.0.0.2:0")
	if got := r.fe.Addrs(); len(got) != 2 || got[0] != r.addr || got[1] != second || r.fe.Listeners() != 2 {
		t.Errorf("addresses %q", got)
	}
	missing := r.fe.KeepListeners([]string{"127.0.0.2:0", "127.0.0.3:0"})
	if len(missing) != 1 || missing[0] != "127.0.0.3:0" || r.fe.Listeners() != 1 {
		t.Errorf("missing %q, %d listeners", missing, r.fe.Listeners())
	}
	c.send("n NOOP\r\n")
	c.want("n OK")
	r.addr = second
	r.greeted()
	r.e.Remove(r.fe)
	if n := len(r.e.Frontends()); n != 0 {
		t.Errorf("%d frontends", n)
	}
	c.send("n NOOP\r\n")
	c.want("n OK")
}
