package relay

import (
	"io"
	"testing"
)

// FuzzEnds does things to a pair in any order: however it goes, the end is
// told once, and nothing is left.
func FuzzEnds(f *testing.F) {
	for _, s := range []string{
		"", "c", "s", "C", "S", "k", "cs", "sc", "CS", "KS", "wWcs", "wsWc", "bcs", "lsc", "BCk", "hHk", "hsC", "HcS", "WWWWk", "wwwwHhcs", "ppCS", "pPsc",
	} {
		f.Add(s, false, false)
		f.Add(s, true, false)
		f.Add(s, false, true)
	}
	f.Fuzz(func(t *testing.T, ops string, secure, raw bool) {
		if len(ops) > 12 {
			return // longer stories tell nothing new
		}
		r := newRoom(t, Timeouts{}, security{client: secure, server: secure})
		r.waiting.Raw = raw
		j := r.join(t)
		for _, op := range ops {
			act(j, op)
		}
		_ = j.client.Close()
		_ = j.server.Close()
		if why := wait(t, j.ended, "PairEnded"); why >= numReasons {
			t.Errorf("ended with reason %d", why)
		}
		j.over(t)
	})
}

// act does one thing. Errors are no matter: the connection may be gone.
func act(j *joined, op rune) {
	switch op {
	case 'w':
		_, _ = io.WriteString(j.client, "a1 NOOP\r\n")
	case 'W':
		_, _ = io.WriteString(j.server, "a1 OK\r\n")
	case 'p':
		_, _ = j.client.Write(make([]byte, 200<<10))
	case 'P':
		_, _ = j.server.Write(make([]byte, 200<<10))
	case 'b':
		_, _ = io.WriteString(j.server, "* BYE\r\n")
	case 'l':
		_, _ = io.WriteString(j.server, "* 1 FETCH (BODY[] {10}\r\n")
	case 'h':
		_ = j.client.(interface{ CloseWrite() error }).CloseWrite()
	case 'H':
		_ = j.server.(interface{ CloseWrite() error }).CloseWrite()
	case 'c':
		_ = j.client.Close()
	case 's':
		_ = j.server.Close()
	case 'C':
		reset(j.client)
	case 'S':
		reset(j.server)
	case 'k':
		j.do(func() { j.Kill(Killed) })
	case 'K':
		j.group.Loops[0].Post(func() { j.Kill(Moved) })
	}
}
