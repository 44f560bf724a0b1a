package stats

import (
	"strings"
	"testing"
)

// TestLevels says for each command who may call it: u everybody, o operators
// and admins, a admins alone.
func TestLevels(t *testing.T) {
	who := map[string]string{
		"add key": "a", "forget peer": "a", "remove key": "a", "use key": "a", "show keys": "o", "show peers": "u", "show events": "o", "move user": "a",
		"clear table": "o", "debug gc": "a", "disable server": "a", "echo": "u", "enable server": "a", "get weight": "u", "kick user": "a",
		"explain user": "o", "flush server": "a", "flush stop": "a", "kick server": "a", "kick src": "a", "pin user": "a", "unpin user": "a",
		"show flushes": "o", "show pins": "o", "show servers": "o",
		"operator": "o", "reload": "a", "set maxconn frontend": "a", "set maxconn global": "a", "set maxconn server": "a", "set server": "a", "set severity-output": "u", "set table": "o", "set timeout": "u", "set weight": "a",
		"show backend": "u", "show cli level": "u", "show cli sockets": "u", "show errors": "o", "show info": "u", "show servers conn": "o",
		"show servers state": "o", "show servers health": "o", "show servers limits": "o", "show sess": "o", "show stat": "u", "show table": "u", "show users": "o", "show version": "u",
		"shutdown session": "a", "shutdown sessions server": "a", "user": "u", "wait": "u", "help": "u", "prompt": "u", "quit": "u",
	}
	for _, cmd := range commandTable() {
		name := strings.Join(cmd.words, " ")
		for i, lvl := range []string{"user", "operator", "admin"} {
			node := newSnapshot()
			got := ask(t, start(t, node, lvl), name+"\nquit\n")
			denied := strings.HasPrefix(got, "Permission denied\n")
			want := i < map[string]int{"u": 0, "o": 1, "a": 2}[who[name]]
			if who[name] == "" || denied != want {
				t.Errorf("%s at level %s: denied is %v, want %v", name, lvl, denied, want)
			}
			if denied && len(node.calls) > 0 {
				t.Errorf("%s at level %s: denied, but did %q", name, lvl, node.calls)
			}
		}
	}
}

// Rights are given up and not taken back.
func TestLowering(t *testing.T) {
	s := start(t, newSnapshot(), "admin")
	got := ask(t, s, "operator;show cli level;reload;user;show cli level;show users;operator;admin;show cli level\n")
	for _, want := range []string{"operator\n\nPermission denied\n\n", "\nuser\n\nPermission denied\n\nPermission denied\n\n", "Unknown command: 'admin'", "\nuser\n\n"} {
		_, rest, ok := strings.Cut(got, want)
		if !ok {
			t.Fatalf("%q not in %q", want, got)
		}
		got = "\n" + rest
	}
}

func TestParseLevel(t *testing.T) {
	if _, err := parseLevel("root"); err == nil {
		t.Error("level root taken")
	}
	if l, err := parseLevel(""); err != nil || l != levelAdmin {
		t.Error("default level:", l, err)
	}
}
