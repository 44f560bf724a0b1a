package stats

import (
	"fmt"
	"strings"
)

// A severity is syslog's number.
type severity int

const (
	sevError   severity = 3
	sevWarning severity = 4
	sevNotice  severity = 5
	sevInfo    severity = 6
)

// severityWords are the names of "set severity-output string".
var severityWords = map[severity]string{sevError: "err", sevWarning: "warning", sevNotice: "notice", sevInfo: "info"}

// A message is the answer of a command that has only a few words to say. Dumps
// are written by the command itself and leave the message empty. A client may
// ask for the severity in front of messages; dumps never have one.
type message struct {
	severity severity
	text     string // without the last line end; may hold several lines
}

func failed(text string) message                { return message{sevError, text} }
func failedf(format string, a ...any) message   { return message{sevError, fmt.Sprintf(format, a...)} }
func informed(text string) message              { return message{sevInfo, text} }
func informedf(format string, a ...any) message { return message{sevInfo, fmt.Sprintf(format, a...)} }

// outcome is the message of a change: silence if it was made.
func outcome(err error) message {
	if err != nil {
		return failed(err.Error())
	}
	return message{}
}

// format is the message as it goes out before its line end, prefix included.
// Empty lines are dropped: an empty line ends an answer.
func (m message) format(output string) string {
	lines := strings.FieldsFunc(m.text, func(r rune) bool { return r == '\n' || r == '\r' })
	text := strings.Join(lines, "\n")
	switch output {
	case "number":
		return fmt.Sprintf("[%d]: %s", m.severity, text)
	case "string":
		return fmt.Sprintf("[%s]: %s", severityWords[m.severity], text)
	}
	return text
}
