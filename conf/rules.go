package conf

import (
	"slices"
	"strings"
	"time"
)

// rule is what a value must keep to.
type rule struct {
	words    []string // the only values of a string
	min, max int64    // of a number, or of a duration in nanoseconds
}

// oneOf allows a few words.
func oneOf(words ...string) rule { return rule{words: words} }

// within allows the numbers from least to most.
func within(least, most int64) rule { return rule{min: least, max: most} }

// lasting allows the durations from least to most.
func lasting(least, most time.Duration) rule { return within(int64(least), int64(most)) }

// rules has the rule of every number, duration and word, by path; names and
// indices are "*" in it. A string without a rule is checked with what it
// belongs to, or is free.
var rules = map[string]rule{
	"global.maxconn":           within(0, 50_000_000),
	"global.threads":           within(0, 1024),
	"global.poller":            oneOf("auto", "io_uring", "epoll"),
	"global.login_timeout":     lasting(time.Second, time.Hour),
	"global.handshake_timeout": lasting(100*time.Millisecond, 10*time.Minute),
	"global.maxhandshakes":     within(1, 1_000_000),
	"global.hard_stop_after":   lasting(0, 365*day),
	"global.shutdown_spread":   lasting(0, 10*time.Minute),
	"global.log_format":        oneOf("text", "json"),
	"global.log_level":         oneOf("debug", "info", "warn", "error"),
	"global.log_sessions":      oneOf("end", "both"),

	"stats.socket_level": oneOf("user", "operator", "admin"),

	"peers.sync_timeout": lasting(0, 10*time.Minute),
	"peers.peer_grace":   lasting(0, day),
	"peers.on_minority":  oneOf("freeze", "serve"),
	"peers.move_timeout": lasting(time.Second, 5*time.Minute),

	"stick_table.*.ipv4_prefix": within(1, 32),
	"stick_table.*.ipv6_prefix": within(1, 128),
	"stick_table.*.size":        within(1, 100_000_000),
	"stick_table.*.expire":      lasting(time.Second, 365*day),

	"frontend.*.mode":           oneOf("imap", "tcp"),
	"frontend.*.tls":            oneOf("none", "starttls", "implicit"),
	"frontend.*.verify_client":  oneOf("none", "optional", "required"),
	"frontend.*.tarpit_timeout": lasting(100*time.Millisecond, 10*time.Minute),
	"frontend.*.rules.*.action": oneOf("allow", "deny", "tarpit"),
	"frontend.*.proxy_timeout":  lasting(100*time.Millisecond, time.Minute),
	"frontend.*.maxconn":        within(0, 50_000_000),
	"frontend.*.timeout_client": lasting(time.Second, 7*day),

	"backend.*.balance":                      oneOf("hash", "roundrobin", "leastconn", "random", "first", "source"),
	"backend.*.balance_factor":               within(0, 10_000),
	"backend.*.panic_threshold":              within(0, 100),
	"backend.*.retries":                      within(0, 10),
	"backend.*.fullconn":                     within(0, 50_000_000),
	"backend.*.timeout_queue":                lasting(0, time.Hour),
	"backend.*.max_user_sessions":            within(0, 1_000_000),
	"backend.*.max_user_sessions_per_source": within(0, 1_000_000),
	"backend.*.login":                        oneOf("passthrough"),
	"backend.*.timeout_connect":              lasting(10*time.Millisecond, 10*time.Minute),
	"backend.*.timeout_login":                lasting(10*time.Millisecond, time.Hour),
	"backend.*.timeout_server":               lasting(time.Second, 7*day),

	"backend.*.move_hook_timeout": lasting(100*time.Millisecond, time.Minute),
	"backend.*.kick_delay":        lasting(0, 30*time.Second),

	"backend.*.check.kind":      oneOf("tcp", "tls", "imap", "login", "none"),
	"backend.*.check.inter":     lasting(10*time.Millisecond, day),
	"backend.*.check.fastinter": lasting(0, day),
	"backend.*.check.downinter": lasting(0, day),
	"backend.*.check.timeout":   lasting(10*time.Millisecond, time.Hour),
	"backend.*.check.rise":      within(1, 100),
	"backend.*.check.fall":      within(1, 100),

	"backend.*.check.observe":     oneOf("none", "layer4", "layer7"),
	"backend.*.check.error_limit": within(1, 1_000_000),
	"backend.*.check.on_error":    oneOf("fastinter", "fail-check", "sudden-death", "mark-down"),

	"backend.*.server.*.agent.port":  within(0, 65535),
	"backend.*.server.*.agent.inter": lasting(10*time.Millisecond, day),

	"backend.*.server.*.weight":         within(0, 256),
	"backend.*.server.*.maxconn":        within(0, 50_000_000),
	"backend.*.server.*.minconn":        within(0, 50_000_000),
	"backend.*.server.*.maxqueue":       within(0, 1_000_000),
	"backend.*.server.*.maxlogins":      within(0, 1_000_000),
	"backend.*.server.*.login_rate":     within(0, 1_000_000),
	"backend.*.server.*.slowstart":      lasting(0, time.Hour),
	"backend.*.server.*.on_marked_down": oneOf("shutdown-sessions", "none"),
	"backend.*.server.*.state":          oneOf("ready", "drain", "maint"),
	"backend.*.server.*.resolve":        oneOf("one", "all"),
	"backend.*.server.*.tls":            oneOf("none", "starttls", "implicit"),
	"backend.*.server.*.send_proxy":     oneOf("", "v1", "v2"),
}

// checkWord reports a string that is none of the words of its place.
func (r *report) checkWord(p place, s string) bool {
	words := rules[p.rule].words
	if words == nil || slices.Contains(words, s) {
		return true
	}
	hint, _ := didYouMean(s, words)
	allowed := `"` + strings.Join(words, `", "`) + `"`
	if len(words) > 1 {
		allowed = "one of " + allowed
	}
	r.fault(p.path, "%q is not allowed: write %s%s", s, allowed, hint)
	return false
}

// checkRange reports a number out of the range of its place.
func (r *report) checkRange(p place, n int64) bool {
	rule := rules[p.rule]
	if n < rule.min || n > rule.max {
		r.fault(p.path, "%d is out of range: write %d to %d", n, rule.min, rule.max)
		return false
	}
	return true
}

// checkDuration reports a duration out of the range of its place.
func (r *report) checkDuration(p place, d time.Duration) bool {
	least, most := time.Duration(rules[p.rule].min), time.Duration(rules[p.rule].max)
	if d < least || d > most {
		r.fault(p.path, "%s is out of range: write %s to %s", formatDuration(d), formatDuration(least), formatDuration(most))
		return false
	}
	return true
}
