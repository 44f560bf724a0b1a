package upstream

import (
	"testing"
	"time"

	"imaplb/auth"
)

// connect begins a Connect to the rig's server.
func (r *rig) connect() chan *Result {
	r.t.Helper()
	results := make(chan *Result, 2)
	target, req := r.target(), request(credentials(auth.MechNone, "", ""))
	r.loop.Do(func() { Connect(r.loop, target, req, r.slots, waiter{results}) })
	return results
}

// A connection is handed over when it stands, whoever speaks first on it.
func TestConnect(t *testing.T) {
	ours := newAuthority(t)
	cert := ours.issue(t, "mail1.test", time.Now().Add(time.Hour))
	for _, c := range []struct {
		mode, name string
		want       Outcome
	}{{"none", "", OK}, {"implicit", "mail1.test", OK}, {"implicit", "mail2.test", TLSFailed}} {
		t.Run(c.mode+" "+c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.scripted(func(p *peer) {
				if c.mode == "implicit" && p.secure(cert) != nil {
					return
				}
				p.gone() // it is silent
			})
			r.server.TLS, r.server.CAFile, r.server.ServerName = c.mode, ours.file, c.name
			res := r.wait(r.connect())
			if res.Outcome != c.want || (res.Conn != nil) != (c.want == OK) {
				t.Errorf("outcome %v, connection %v, err %v", res.Outcome, res.Conn != nil, res.Err)
			}
		})
	}
}

// A server that does not finish TLS in time is one that cannot be connected.
func TestConnectTakesTooLong(t *testing.T) {
	r := newRig(t)
	r.config.TimeoutConnect = 50 * time.Millisecond
	r.server.TLS, r.server.TLSVerify = "implicit", false
	r.scripted(func(p *peer) { p.gone() })
	if res := r.wait(r.connect()); res.Outcome != ConnectTimeout || res.Err != nil {
		t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
	}
}
