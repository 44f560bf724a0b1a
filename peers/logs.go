package peers

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of what is remembered so as not to say it again.
const (
	sayAgain     = time.Minute
	maxSaid      = 256              // lines about peers
	maxStrangers = 16               // about addresses whose key is wrong: anybody can make them up
	maxChat      = 20               // memberlist's lines…
	chatEvery    = 10 * time.Second // …in this time; more are left out
)

// said keeps a line from being logged again within a minute. It is shared: any
// goroutine may call any method.
type said struct {
	most int // lines remembered; immutable

	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// new tells whether a line was not logged lately. At the bound nothing is new:
// there are counters for what happens that often.
func (s *said) new(now time.Time, line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.last[line]; ok && now.Sub(at) < sayAgain {
		return false
	}
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	if len(s.last) >= s.most {
		maps.DeleteFunc(s.last, func(_ string, at time.Time) bool { return now.Sub(at) >= sayAgain })
	}
	if len(s.last) >= s.most {
		return false
	}
	s.last[line] = now
	return true
}

// chatter takes memberlist's log, one line in each Write. It is shared: any
// goroutine may call any method.
type chatter struct {
	log      *slog.Logger
	wrongKey func(addr string) // told instead of a line that says so

	mu      sync.Mutex // guards the fields below
	since   time.Time
	lines   int
	dropped int
}

// levels are those memberlist writes in front of its lines.
var levels = []struct {
	word  []byte
	level slog.Level
}{
	{[]byte("[ERR] "), slog.LevelWarn}, // of the network, all of them
	{[]byte("[WARN] "), slog.LevelWarn},
	{[]byte("[INFO] "), slog.LevelInfo},
}

// badKeys is how memberlist says that a packet or stream is not from the group.
var badKeys = [][]byte{
	[]byte("keys could decrypt"), []byte("is not encrypted"), []byte("encryption is not configured"),
	[]byte("unacceptable label"),
}

// badKey tells whether a line is about a wrong key, and whose.
func badKey(line []byte) (addr string, ok bool) {
	_, from, _ := bytes.Cut(line, []byte("from="))
	ok = slices.ContainsFunc(badKeys, func(b []byte) bool { return bytes.Contains(line, b) })
	return string(bytes.TrimSpace(from)), ok
}

func (c *chatter) Write(line []byte) (int, error) {
	for _, l := range levels {
		text, ok := bytes.CutPrefix(line, l.word)
		if !ok {
			continue
		}
		if addr, ok := badKey(text); ok {
			c.wrongKey(addr)
			break
		}
		text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("memberlist: ")))
		if say, dropped := c.room(time.Now()); say {
			c.log.LogAttrs(context.Background(), l.level, "memberlist: "+string(text), slog.Int("left_out", dropped))
		}
		break
	}
	return len(line), nil
}

// room tells whether one more line may be written, and how many were not.
func (c *chatter) room(now time.Time) (ok bool, dropped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.since) >= chatEvery {
		c.since, c.lines = now, 0
	}
	if c.lines++; c.lines > maxChat {
		c.dropped++
		return false, 0
	}
	dropped, c.dropped = c.dropped, 0
	return true, dropped
}
