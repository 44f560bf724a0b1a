package session

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unsafe"

	"imaplb/imap"
)

// Ten thousand unauthenticated connections are cheap.
func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Session{}); size > 300 {
		t.Errorf("a Session has %d bytes, want at most 300", size)
	}
}

// Bytes that arrive with STARTTLS are not the client's: the session ends, and
// none of them is taken for a command.
func TestEarlyBytes(t *testing.T) {
	rec := new(recorder)
	s := New(&Config{LoginTimeout: time.Minute, TLS: "starttls", RequireTLS: true}, rec, time.Time{}, false)
	in := "a1 STARTTLS\r\na2 LOGIN alice sesame\r\n"
	n := s.FromClient(time.Time{}, []byte(in))
	if want := len("a1 STARTTLS\r\n"); n != want {
		t.Errorf("FromClient took %d bytes, want %d", n, want)
	}
	got := strings.Join(rec.take(), "\n")
	want := "S: a1 BAD Nothing may follow STARTTLS before TLS.\n= close early_bytes PL"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Only a line that may hold a token may be long, in whichever way it comes.
func TestLongTokens(t *testing.T) {
	token := "user=alice\x01auth=Bearer " + strings.Repeat("t", 60<<10) + "\x01\x01"
	b64 := base64.StdEncoding.EncodeToString([]byte(token))
	lines := []struct {
		name, first, second, want string
	}{
		{"initial response", "a1 AUTHENTICATE XOAUTH2 " + b64 + "\r\n", "", "login"},
		{"challenge", "a1 AUTHENTICATE XOAUTH2\r\n", b64 + "\r\n", "login"},
		{"other mechanism", "a1 AUTHENTICATE PLAIN " + b64 + "\r\n", "", "line_too_long"},
		{"other mechanism, challenge", "a1 AUTHENTICATE PLAIN\r\n", b64 + "\r\n", "line_too_long"},
		{"other command", "a1 LOGIN XOAUTH2 " + b64 + "\r\n", "", "line_too_long"},
		{"endless", "a1 AUTHENTICATE XOAUTH2 " + strings.Repeat("A", 100<<10), "", "line_too_long"},
	}
	for _, tt := range lines {
		for _, chunk := range []int{1, 1000, 8192, 8193, 200_000} {
			p := newPlayer(t, &Config{LoginTimeout: time.Minute, TLS: "implicit"}, chunk, true)
			p.feed(tt.first)
			p.feed(tt.second)
			if got := strings.Join(p.rec.take(), "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("%s in chunks of %d: got %.300s, want %s", tt.name, chunk, got, tt.want)
			}
			if tt.want == "login" && p.s.MaxInput() != maxLine+1 {
				t.Errorf("%s: MaxInput() = %d behind the token, want %d", tt.name, p.s.MaxInput(), maxLine+1)
			}
		}
	}
}

func TestLoginDelay(t *testing.T) {
	want := []time.Duration{0, 0, 0, 2, 4, 8, 15, 15}
	for i, w := range want {
		if got := LoginDelay(i); got != w*time.Second {
			t.Errorf("LoginDelay(%d) = %v, want %v", i, got, w*time.Second)
		}
	}
	if got := LoginDelay(255); got != maxDelay {
		t.Errorf("LoginDelay(255) = %v, want %v", got, maxDelay)
	}
}

func TestReasonsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for r := Reason(0); r < NumReasons; r++ {
		if r.String() == "" || len(r.Termination()) != 2 || seen[r.String()] {
			t.Errorf("reason %d is %q %q", r, r, r.Termination())
		}
		seen[r.String()] = true
	}
}

func TestForward(t *testing.T) {
	tests := []struct{ code, text, wantCode, wantText string }{
		{"", "unknown user", "AUTHENTICATIONFAILED", "Authentication failed."},
		{"authenticationfailed", "wrong password", "AUTHENTICATIONFAILED", "Authentication failed."},
		{"ALERT", "Read\r\nthis\x00", "ALERT", "Readthis"},
		{"EXPIRED", "", "EXPIRED", "Login failed."},
		{"X]\r\n* OK", "x", "AUTHENTICATIONFAILED", "Authentication failed."},
		{"REFERRAL", "imap://inner", "UNAVAILABLE", "Account is temporarily unavailable."},
	}
	for _, tt := range tests {
		f := Forward([]byte(tt.code), []byte(tt.text))
		if f.Code() != tt.wantCode || f.Text() != tt.wantText {
			t.Errorf("Forward(%q, %q) = %q %q, want %q %q", tt.code, tt.text, f.Code(), f.Text(), tt.wantCode, tt.wantText)
		}
	}
}

func TestAppendLoginOKWithoutCapability(t *testing.T) {
	p := newPlayer(t, &Config{LoginTimeout: time.Minute}, 99, true)
	p.feed("a1 CAPABILITY\r\na2 LOGIN alice sesame\r\n")
	got := string(p.s.AppendLoginOK(nil, []byte("* OK hint\r\n"), imap.Capability{}, nil))
	if want := "* OK hint\r\na2 OK Logged in\r\n"; got != want {
		t.Errorf("AppendLoginOK = %q, want %q", got, want)
	}
}

// Calls that come too late, such as the outcome of a login the client did not
// wait for, change nothing.
func TestLateCalls(t *testing.T) {
	p := newPlayer(t, &Config{LoginTimeout: time.Minute}, 99, true)
	p.s.LoginFailed(p.now, Failure{})
	p.s.TLSDone(p.now)
	p.rec.take()
	p.s.EOF(p.now)
	p.rec.take()
	p.s.LoginFailed(p.now, Failure{})
	p.s.EOF(p.now)
	p.s.Shutdown(p.now)
	p.s.Tick(p.now.Add(time.Hour))
	if got := p.rec.take(); len(got) > 0 {
		t.Errorf("a closed session did %q", got)
	}
	if p.s.State() != "closed" {
		t.Errorf("State() = %q, want closed", p.s.State())
	}
	if p.s.Deadline().IsZero() {
		t.Error("Deadline() is zero")
	}
}

// silent is a driver that only counts.
type silent struct{ logins, bytes int }

func (f *silent) ToClient(p []byte) { f.bytes += len(p) }
func (f *silent) StartTLS()         {}
func (f *silent) Login(*Login)      { f.logins++ }
func (f *silent) Close(Reason)      {}

func loginOnce(fx *silent, cfg *Config, in, out []byte, caps imap.Capability) []byte {
	s := New(cfg, fx, time.Time{}, true)
	s.Start(time.Time{})
	s.FromClient(time.Time{}, in)
	return s.AppendLoginOK(out[:0], nil, caps, []byte("Logged in"))
}

func TestLoginAllocations(t *testing.T) {
	fx, cfg := new(silent), &Config{LoginTimeout: time.Minute}
	in, out := []byte("a1 LOGIN alice@example.com sesame\r\n"), make([]byte, 0, 1024)
	caps := imap.ParseCapability([]byte("IMAP4rev1 IDLE"))
	if n := testing.AllocsPerRun(100, func() { out = loginOnce(fx, cfg, in, out, caps) }); n > 6 {
		t.Errorf("a session from greeting to login takes %v allocations, want at most 6", n)
	}
	if !bytes.HasPrefix(out, []byte("a1 OK [CAPABILITY IMAP4rev1 IDLE]")) {
		t.Errorf("login ended with %q", out)
	}
}

func BenchmarkLogin(b *testing.B) {
	fx, cfg := new(silent), &Config{LoginTimeout: time.Minute}
	in, out := []byte("a1 LOGIN alice@example.com sesame\r\n"), make([]byte, 0, 1024)
	caps := imap.ParseCapability([]byte("IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT THREAD=REFERENCES " +
		"MULTIAPPEND UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED CONDSTORE QRESYNC ESEARCH SEARCHRES WITHIN MOVE"))
	b.ReportAllocs()
	for b.Loop() {
		out = loginOnce(fx, cfg, in, out, caps)
	}
}

// A hostile client that writes single bytes must not cost more than its bytes.
func BenchmarkLongTokenByteByByte(b *testing.B) {
	in := []byte("a1 AUTHENTICATE XOAUTH2 " + strings.Repeat("A", 80<<10))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		s := New(&Config{LoginTimeout: time.Minute}, new(silent), time.Time{}, true)
		for n := 1; n <= len(in); n++ {
			s.FromClient(time.Time{}, in[:n])
		}
	}
}
