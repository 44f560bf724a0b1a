package stats

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const explainUsage = "Usage: explain user <user> [<backend>] [from <address>] [sni <name>] [bind <address|frontend>]"

// questionWords are those with something behind them.
var questionWords = []string{"from", "sni", "bind"}

func explainUser(c *client, args []string) message {
	q, bad := parseQuestion(args)
	if bad != "" {
		return failed(bad)
	}
	if q.Backend != "" {
		p := findBackend(c.node.Proxies(), q.Backend)
		if p == nil {
			return failed(noBackend)
		}
		q.Backend = p.Name
	}
	all, err := c.node.Explain(q)
	if err != nil {
		return failed(err.Error())
	}
	for i := range all {
		c.row = appendExplanation(c.row, q.User, &all[i])
		if !c.flush() {
			break
		}
	}
	return message{}
}

// parseQuestion reads the words behind "explain user"; bad is the text of the
// error. A backend called like one of the words cannot be named.
func parseQuestion(args []string) (q Question, bad string) {
	if len(args) == 0 || args[0] == "" {
		return q, explainUsage
	}
	q.User, args = args[0], args[1:]
	if len(args)%2 == 1 && !slices.Contains(questionWords, args[0]) {
		q.Backend, args = args[0], args[1:]
	}
	for ; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			return q, explainUsage
		}
		word, is := args[0], args[1]
		switch {
		case is == "":
			return q, explainUsage
		case word == "from" && !q.From.IsValid():
			a, err := netip.ParseAddr(is)
			if err != nil {
				return q, fmt.Sprintf("'from' expects an IP address, not '%s'.", is)
			}
			q.From = a.Unmap().WithZone("")
		case word == "sni" && q.SNI == "":
			q.SNI = is
		case word == "bind" && q.Bind == "":
			q.Bind = is
		default:
			return q, explainUsage
		}
	}
	return q, ""
}

// appendExplanation appends the lines of an explanation, the answer first.
func appendExplanation(dst []byte, user string, e *Explanation) []byte {
	line := func(what, text string) {
		if text == "" {
			return
		}
		dst = fmt.Appendf(dst, "%-9s ", what+":")
		dst = append(dst, strings.Map(printable, text)...)
		dst = append(dst, '\n')
	}
	line("user", fmt.Sprintf("%q in backend %s (%s)", user, e.Backend, e.Way))
	line("goes to", e.Verdict)
	line("because", e.Why)
	if e.Table == "" {
		line("table", "none: nothing keeps a user where he is but the algorithm")
	} else {
		line("table", fmt.Sprintf("%s, key %q: %s", e.Table, e.Key, e.Entry))
	}
	line("pin", orWord(e.Pin, "none"))
	line("move", orWord(e.Move, "none"))
	line("algorithm", e.Algo)
	for i, s := range e.Servers {
		line(fmt.Sprintf("  %d", i+1), s)
	}
	for _, s := range e.Client {
		line("client", s)
	}
	for _, s := range e.Limits {
		line("limit", s)
	}
	for _, s := range e.Notes {
		line("note", s)
	}
	return dst
}

// printable keeps a line one line, whatever is in its names.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
