package session

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// replay offers in to a new session in pieces whose sizes come from cuts, and
// returns what it did. Each login fails at once, and delayed answers are waited
// for. The driver keeps at most MaxInput bytes, as a real one does.
func replay(t *testing.T, in, cuts []byte, cfg *Config) []string {
	rec := new(recorder)
	now := time.Unix(1_000_000, 0)
	s := New(cfg, rec, now, false)
	s.Start(now)
	var kept []byte
	for i := 0; s.state != stateClosed; i++ {
		piece := len(in)
		if len(cuts) > 0 {
			piece = 1 + int(cuts[i%len(cuts)])
		}
		piece = min(piece, len(in), max(0, s.MaxInput()-len(kept)))
		kept, in = append(kept, in[:piece]...), in[piece:]
		n := s.FromClient(now, kept)
		if n < 0 || n > len(kept) {
			t.Fatalf("FromClient took %d of %d bytes", n, len(kept))
		}
		kept = slices.Clone(kept[n:])
		switch {
		case s.state == stateHandshake && len(kept)+len(in) > 0:
			// Whether bytes behind STARTTLS come with it is up to the network.
			return append(rec.take(), "= early bytes")
		case s.state == stateHandshake:
			s.TLSDone(now)
		case s.state == stateLogin:
			s.LoginFailed(now, Failure{})
		case s.state == stateDelayed:
			now = s.Deadline()
			s.Tick(now)
		case n == 0 && len(in) == 0:
			return rec.take()
		case n == 0 && s.state != stateClosed && len(kept) >= s.MaxInput():
			t.Fatalf("state %s takes nothing of %d bytes, MaxInput is %d", s.State(), len(kept), s.MaxInput())
		}
	}
	return rec.take()
}

// FuzzSession: however the same bytes are cut, the session does the same.
func FuzzSession(f *testing.F) {
	seeds := []string{
		"a1 LOGIN alice sesame\r\na2 NOOP\r\n",
		"a1 LOGIN {5}\r\nalice {6+}\r\nsesame\r\na2 LOGOUT\r\n",
		"a1 LOGIN {5000+}\r\nalice {6+}\r\nsesame\r\na2 LOGOUT\r\n",
		"a1 ID (\"name\" {4+}\r\nmutt)\r\na2 CAPABILITY\r\n",
		"a1 AUTHENTICATE XOAUTH2\r\ndXNlcj1hbGljZQFhdXRoPUJlYXJlciB0b2tlbgEB\r\nAQ==\r\na2 NOOP\r\n",
		"a1 AUTHENTICATE LOGIN\r\nYWxpY2U=\r\nc2VzYW1l\r\n",
		"a1 STARTTLS\r\na2 LOGIN alice sesame\r\n",
		"a1 AUTHENTICATE OAUTHBEARER " + strings.Repeat("A", 9000) + "\r\n",
		"a1 LOGIN " + strings.Repeat("A", 9000) + "\r\n",
		"a LOGIN a b\r\nb LOGIN a b\r\nc LOGIN a b\r\nd LOGIN a b\r\n",
		"\x16\x03\x01", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	for _, in := range seeds {
		f.Add([]byte(in), []byte{0}, uint8(0))
		f.Add([]byte(in), []byte{3, 0, 9}, uint8(1))
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte, mode uint8) {
		cfg := &Config{LoginTimeout: time.Hour, TLS: "none"}
		if mode&1 != 0 {
			cfg.TLS = "starttls"
		}
		cfg.RequireTLS = mode&2 != 0
		cuts = cuts[:min(len(cuts), 64)]
		whole := beforeTLS(replay(t, bytes.Clone(in), nil, cfg))
		pieces := beforeTLS(replay(t, bytes.Clone(in), cuts, cfg))
		if !slices.Equal(whole, pieces) {
			t.Errorf("whole:\n%s\n\nin pieces:\n%s", strings.Join(whole, "\n"), strings.Join(pieces, "\n"))
		}
	})
}

// beforeTLS cuts what depends on when bytes behind STARTTLS arrive: refused with
// it, or held back for the handshake.
func beforeTLS(lines []string) []string {
	last := len(lines) - 1
	switch lines[last] {
	case "= early bytes": // behind the OK and "= starttls"
		return append(lines[:last-2], "early")
	case "= close early_bytes PL": // behind the BAD
		return append(lines[:last-1], "early")
	}
	return lines
}
