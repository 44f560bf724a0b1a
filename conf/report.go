package conf

import (
	"cmp"
	"fmt"
	"slices"
)

// report collects what is wrong with one file. Owned by the goroutine running
// Load.
type report struct {
	file     string
	at       positions
	faults   Faults
	warnings Faults
	faulty   map[string]bool // paths with a fault, and paths a misspelt key was meant for
}

// fault notes what is wrong at path. Only the first fault of a path counts:
// the others follow from it.
func (r *report) fault(path, format string, args ...any) {
	if r.faulty[path] {
		return
	}
	r.faulty[path] = true
	r.faults = append(r.faults, r.entry(path, fmt.Sprintf(format, args...)))
}

// warn notes what is odd at path.
func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.entry(path, fmt.Sprintf(format, args...)))
}

// set reports whether the file itself says something at path.
func (r *report) set(path string) bool {
	_, ok := r.at[path]
	return ok
}

// entry finds the line of path; that of a key which is not there is the line
// of its table.
func (r *report) entry(path, text string) Fault {
	line := r.at[path].line
	for end := len(path) - 1; line == 0 && end > 0; end-- {
		if path[end] == '.' || path[end] == '[' {
			line = r.at[path[:end]].line
		}
	}
	return Fault{File: r.file, Line: line, Path: path, Text: text}
}

// sorted are faults by line; those of one line stay in the order they came.
func sorted(faults Faults) Faults {
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return faults
}
