package stats

import "fmt"

// A level is what a client of the socket may do.
type level int

const (
	levelUser     level = iota // counters
	levelOperator              // and contents: sessions, users, addresses
	levelAdmin                 // and changes
)

// levelNames are the words of the configuration, in the order of the levels.
var levelNames = [...]string{"user", "operator", "admin"}

func (l level) String() string { return levelNames[l] }

// parseLevel reads a level; "" is the default.
func parseLevel(s string) (level, error) {
	if s == "" {
		s = DefaultConfig().SocketLevel
	}
	for i, name := range levelNames {
		if s == name {
			return level(i), nil
		}
	}
	return 0, fmt.Errorf(`stats: socket_level %q: want "user", "operator" or "admin"`, s)
}
