package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// AgentConfig is the agent = { … } table of a server: HAProxy's agent-check.
type AgentConfig struct {
	Addr  string        `toml:"addr"`  // "host:port" of the agent; "" is the server's host and port
	Port  int           `toml:"port"`  // of the agent on the server's host, 0 to 65535; 0 without addr is no agent
	Inter time.Duration `toml:"inter"` // between two questions, 10ms to 1d; default 2s
	Send  string        `toml:"send"`  // sent as soon as the connection stands; "" is nothing
}

// DefaultAgentConfig is what a server has where the file is silent.
func DefaultAgentConfig() AgentConfig { return AgentConfig{Inter: 2 * time.Second} }

// maxAnswer is the longest answer of an agent, in bytes.
const maxAnswer = 1024

// Bounds of what an agent may ask for.
const (
	maxPercent = 25_600 // per cent of the weight: 256 times 1
	maxMaxconn = 50_000_000
)

// Report is one answer of an agent. What it does not mention stays as it was.
type Report struct {
	Admin   string // "ready", "drain" or "maint"; "" is not mentioned
	Word    string // "up", "down", "fail" or "stopped"; "" is not mentioned
	Weight  int    // per cent, -1 is not mentioned
	Maxconn int    // -1 is not mentioned
	Desc    string // behind '#', one clean line
}

// ParseAgent reads an answer up to its first CR or LF: words in any order and
// case, between spaces, tabs and commas, and a description behind '#'. It is an
// error if a word is not known or if there is none; then nothing of the answer
// counts. HAProxy's configuration manual, agent-check.
func ParseAgent(answer []byte) (Report, error) {
	r := Report{Weight: -1, Maxconn: -1}
	if end := bytes.IndexAny(answer, "\r\n"); end >= 0 {
		answer = answer[:end]
	}
	words, desc, _ := strings.Cut(string(answer), "#")
	r.Desc = clean(desc)
	list := strings.FieldsFunc(words, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	if len(list) == 0 {
		return Report{Weight: -1, Maxconn: -1}, errors.New("health: agent says nothing")
	}
	for _, word := range list {
		if !r.word(strings.ToLower(word)) {
			return Report{Weight: -1, Maxconn: -1}, fmt.Errorf("health: agent says %q", clean(word))
		}
	}
	return r, nil
}

// word takes one word and reports whether it is known.
func (r *Report) word(word string) bool {
	switch word {
	case "ready", "drain", "maint":
		r.Admin = word
		return true
	case "up", "down", "fail", "stopped":
		r.Word = word
		return true
	}
	if digits, ok := strings.CutPrefix(word, "maxconn:"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		r.Maxconn = int(n)
		return err == nil && n <= maxMaxconn
	}
	digits, ok := strings.CutSuffix(word, "%")
	n, err := strconv.ParseUint(digits, 10, 32)
	r.Weight = int(n)
	return ok && err == nil && n <= maxPercent
}

// clean is text for logs and lists: printable ASCII, of bounded length.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, strings.TrimSpace(s))
	return s[:min(len(s), maxDesc)]
}

// Voice is what an agent has said so far, and how the last talk went.
type Voice struct {
	Report                   // the last word on everything
	Check      string        // "L7OK", "L7TOUT", "L7RSP", "L4CON", "L4TOUT"; "INI" before the first talk
	Took       time.Duration // of the last talk
	NewMaxconn bool          // the last answer mentioned maxconn
	Trouble    string        // what went wrong; "" is nothing
	New        bool          // nonsense, and the answer before was none
}

// after is the voice after an answer.
func (v Voice) after(r Report) Voice {
	if r.Admin != "" {
		v.Admin = r.Admin
	}
	if r.Word != "" {
		v.Word = r.Word
	}
	if r.Weight >= 0 {
		v.Weight = r.Weight
	}
	if v.NewMaxconn = r.Maxconn >= 0; v.NewMaxconn {
		v.Maxconn = r.Maxconn
	}
	v.Desc, v.Check, v.Trouble, v.New = r.Desc, "L7OK", "", false
	return v
}

// failed is the voice after a talk that came to nothing: what was said holds on.
func (v Voice) failed(check, trouble string) Voice {
	v.New = check == "L7RSP" && v.Check != "L7RSP"
	v.Check, v.Trouble, v.NewMaxconn = check, trouble, false
	return v
}

// Down reports whether the agent has taken the server down.
func (v Voice) Down() bool { return v.Word != "" && v.Word != "up" }

// Ask asks an agent at an address once.
type Ask func(ctx context.Context) (answer []byte, err error)

// AskAt returns what asks the agent at "host:port".
func AskAt(addr, send string, source net.Addr) Ask {
	dialer := net.Dialer{LocalAddr: source, KeepAlive: -1}
	return func(ctx context.Context) ([]byte, error) {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if deadline, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(deadline) // an open connection has deadlines
		}
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
		v := &visit{conn: conn, layer: "L7"}
		if send != "" {
			if _, err := io.WriteString(conn, send); err != nil {
				return nil, v.failed(err)
			}
		}
		return v.answer()
	}
}

// answer reads an answer up to its end of line, or the end of the connection.
func (v *visit) answer() ([]byte, error) {
	buf := make([]byte, 0, maxAnswer)
	for len(buf) < maxAnswer {
		n, err := v.conn.Read(buf[len(buf):maxAnswer])
		buf = buf[:len(buf)+n]
		switch {
		case bytes.ContainsAny(buf, "\r\n"), errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, v.failed(err)
		}
	}
	return nil, &fault{"L7RSP", "answer too long"}
}

// Agent asks the agent of one server from Start to Stop. It is shared: any
// goroutine may call any method, Start and Stop once each and in this order.
type Agent struct {
	report func(time.Time, Voice)
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards the fields below
	inter   time.Duration
	timeout time.Duration
	ask     Ask
}

// NewAgent returns an Agent. report is called after each talk, by its
// goroutine, and must not call Stop.
func NewAgent(inter, timeout time.Duration, ask Ask, report func(time.Time, Voice)) *Agent {
	return &Agent{report: report, done: make(chan struct{}), inter: inter, timeout: timeout, ask: ask}
}

// Update takes other settings, from the next talk on.
func (a *Agent) Update(inter, timeout time.Duration, ask Ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inter, a.timeout, a.ask = inter, timeout, ask
}

// Start begins asking after the given time.
func (a *Agent) Start(after time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	go a.run(ctx, after)
}

// Stop ends the asking, a talk under way too, and waits for it.
func (a *Agent) Stop() {
	a.cancel()
	<-a.done
}

func (a *Agent) run(ctx context.Context, wait time.Duration) {
	defer close(a.done)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	voice := Voice{Report: Report{Weight: -1, Maxconn: -1}, Check: "INI"}
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		a.mu.Lock()
		inter, timeout, ask := a.inter, a.timeout, a.ask
		a.mu.Unlock()
		begun := time.Now()
		voice = talk(ctx, timeout, ask, voice)
		voice.Took = time.Since(begun)
		if ctx.Err() != nil {
			return
		}
		a.report(time.Now(), voice)
		timer.Reset(inter)
	}
}

// talk asks once.
func talk(ctx context.Context, timeout time.Duration, ask Ask, v Voice) Voice {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := ask(ctx)
	if err != nil {
		return v.failed(word(Seen{}, err))
	}
	r, err := ParseAgent(answer)
	if err != nil {
		return v.failed("L7RSP", strings.TrimPrefix(err.Error(), "health: "))
	}
	return v.after(r)
}
