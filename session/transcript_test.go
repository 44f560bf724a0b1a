package session

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imaplb/imap"
)

var update = flag.Bool("update", false, "rewrite the transcripts with what the session does")

// recorder is a driver that keeps what it was asked for as lines of a transcript.
type recorder struct {
	out    strings.Builder // bytes to the client since the last other effect
	lines  []string
	closed bool
}

func (r *recorder) ToClient(p []byte) {
	if r.closed {
		r.lines = append(r.lines, "= WROTE AFTER CLOSE")
	}
	r.out.Write(p)
}

func (r *recorder) StartTLS() { r.effect("starttls") }

func (r *recorder) Login(l *Login) {
	s := fmt.Sprintf("login %s user=%q pass=%q", l.Mechanism, l.User, l.Secret.Reveal())
	if l.TTL != 0 {
		s += fmt.Sprintf(" ttl=%d", l.TTL)
	}
	if len(l.ID) > 0 {
		s += fmt.Sprintf(" id=%s", imap.AppendID(nil, l.ID))
	}
	r.effect(s)
}

func (r *recorder) Close(why Reason) {
	r.effect(fmt.Sprintf("close %s %s", why, why.Termination()))
	r.closed = true
}

func (r *recorder) effect(s string) {
	r.flush()
	r.lines = append(r.lines, "= "+s)
}

func (r *recorder) flush() {
	for line := range strings.Lines(r.out.String()) {
		line = strings.TrimSuffix(line, "\r\n")
		r.lines = append(r.lines, "S: "+line)
	}
	r.out.Reset()
}

func (r *recorder) take() []string {
	r.flush()
	lines := r.lines
	r.lines = nil
	return lines
}

// player drives one session from a transcript:
//
//	# comment                 config KEY=VALUE…  (first line that is no comment)
//	C: line + CRLF            C; bytes without a line end   C* N bytes of "x"
//	> tick DURATION | fail KIND | forward CODE TEXT | ok | tlsdone | shutdown | eof
//	S: and =                  what the session must do
type player struct {
	t     *testing.T
	s     *Session
	rec   *recorder
	now   time.Time
	chunk int
	kept  []byte // what the session did not take yet
}

func newPlayer(t *testing.T, cfg *Config, chunk int, tls bool) *player {
	p := &player{t: t, rec: new(recorder), now: time.Unix(1_000_000, 0), chunk: chunk}
	p.s = New(cfg, p.rec, p.now, tls)
	p.s.Start(p.now)
	return p
}

func (p *player) feed(in string) {
	for len(in) > 0 {
		n := min(p.chunk, len(in))
		p.kept = append(p.kept, in[:n]...)
		in = in[n:]
		p.offer()
	}
}

func (p *player) offer() {
	for p.s.state != stateClosed && len(p.kept) > 0 {
		n := p.s.FromClient(p.now, p.kept)
		p.kept = p.kept[n:]
		if n == 0 {
			return
		}
	}
}

func (p *player) event(ev string) {
	word, rest, _ := strings.Cut(ev, " ")
	switch word {
	case "tick":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
		p.s.Tick(p.now)
	case "fail":
		kind := slices.IndexFunc(failures[:], func(f struct {
			code, text string
			judged     bool
		}) bool {
			return f.code == rest
		})
		p.s.LoginFailed(p.now, Failure{Kind: FailureKind(kind)})
	case "forward":
		code, text, _ := strings.Cut(rest, " ")
		p.s.LoginFailed(p.now, Forward([]byte(code), []byte(text)))
	case "ok":
		caps := imap.ParseCapability([]byte("IMAP4rev1 STARTTLS AUTH=PLAIN IDLE LOGINDISABLED UNAUTHENTICATE"))
		p.rec.ToClient(p.s.AppendLoginOK(nil, nil, caps, []byte(rest)))
		p.rec.effect(fmt.Sprintf("rest %q", p.kept))
		p.kept = nil
	case "tlsdone":
		p.s.TLSDone(p.now)
	case "shutdown":
		p.s.Shutdown(p.now)
	case "eof":
		p.s.EOF(p.now)
	default:
		p.t.Fatalf("unknown event %q", ev)
	}
	p.offer()
}

// play runs the inputs and returns the transcript with what happened.
func play(t *testing.T, script string, chunk int) string {
	var out []string
	var p *player
	var in strings.Builder
	run := func() {
		if p != nil {
			p.feed(in.String())
			in.Reset()
			out = append(out, p.rec.take()...)
		}
	}
	expecting := false
	for line := range strings.SplitSeq(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "S:") || strings.HasPrefix(line, "= ") {
			expecting = true
			continue
		}
		if expecting || strings.HasPrefix(line, "> ") {
			run()
			expecting = false
		}
		out = append(out, line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "config"):
			p = newPlayer(t, parseConfig(line), chunk, strings.Contains(line, "tls=implicit"))
		case strings.HasPrefix(line, "C: "), strings.HasPrefix(line, "C; "):
			in.WriteString(line[3:])
			if line[1] == ':' {
				in.WriteString("\r\n")
			}
		case strings.HasPrefix(line, "C* "):
			var n int
			fmt.Sscan(line[3:], &n)
			in.WriteString(strings.Repeat("x", n))
		case strings.HasPrefix(line, "> "):
			p.event(line[2:])
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	run()
	return strings.Join(out, "\n") + "\n"
}

func parseConfig(line string) *Config {
	return &Config{
		LoginTimeout: time.Minute,
		TLS:          strings.TrimPrefix(strings.Fields(line)[1], "tls="),
		RequireTLS:   strings.Contains(line, "require"),
	}
}

// Every story must go the same way however its bytes are cut.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := string(b)
			whole := len(want) + 200_000
			if *update {
				want = play(t, want, whole)
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			longest := min(len(want), 120)
			for chunk := 1; chunk <= longest; chunk++ {
				if got := play(t, want, chunk); got != want {
					t.Fatalf("in chunks of %d bytes:\n%s", chunk, got)
				}
			}
			if got := play(t, want, whole); got != want {
				t.Fatalf("in one piece:\n%s", got)
			}
		})
	}
}
