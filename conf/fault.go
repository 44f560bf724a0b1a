package conf

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong in a configuration file.
type Fault struct {
	File string // as given to Load
	Line int    // from 1; 0 is the file as a whole
	Path string // "backend.mail.server.mail1.addr"; "" is the file as a whole
	Text string // what is wrong, without a full stop
}

// String is "file:line: path.to.key: what is wrong".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Faults are all faults of a file, sorted by line. Load returns them as error.
type Faults []Fault

// Error is one line per fault, without a line feed at the end.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
