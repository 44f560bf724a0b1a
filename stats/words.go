package stats

import (
	"errors"
	"strings"
)

var errTooManyWords = errors.New("too many words")

// appendCommands cuts a line at its unescaped ";" and appends the commands to
// dst, without blank ones; a blank line is one blank command.
func appendCommands(dst []string, line string) []string {
	for start, i := 0, 0; i <= len(line); i++ {
		switch {
		case i == len(line) || line[i] == ';':
			if cmd := line[start:i]; strings.Trim(cmd, " \t") != "" {
				dst = append(dst, cmd)
			}
			start = i + 1
		case line[i] == '\\' && i+1 < len(line):
			i++
		}
	}
	if len(dst) == 0 {
		dst = append(dst, "")
	}
	return dst
}

// appendWords appends the words of a command to dst, at most limit in all. A
// backslash takes the next byte as it is; the words alias cmd where they have
// none.
func appendWords(dst []string, cmd string, limit int) ([]string, error) {
	for {
		cmd = strings.TrimLeft(cmd, " \t")
		if cmd == "" {
			return dst, nil
		}
		if len(dst) == limit {
			return dst, errTooManyWords
		}
		end := wordEnd(cmd)
		dst = append(dst, unescape(cmd[:end]))
		cmd = cmd[end:]
	}
}

func wordEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ' ', '\t':
			return i
		}
	}
	return len(s)
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) {
				break
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// cutPayload splits "command <<" or "command <<PATTERN" into the command and
// the line that ends its payload, "" for an empty line.
func cutPayload(line string) (command, end string, ok bool) {
	trimmed := strings.TrimRight(line, " \t")
	i := strings.LastIndexAny(trimmed, " \t")
	if i < 0 || !strings.HasPrefix(trimmed[i+1:], "<<") {
		return line, "", false
	}
	return trimmed[:i], trimmed[i+3:], true
}

// isTarget reports whether a word names a process for a master process to pass
// the command on to: @, @1, @!1234. There is one process here: it is ignored.
func isTarget(word string) bool {
	digits, ok := strings.CutPrefix(word, "@")
	if !ok {
		return false
	}
	digits = strings.TrimPrefix(digits, "!")
	return strings.Trim(digits, "0123456789") == ""
}

// appendEscaped appends a string as HAProxy prints keys: without blanks, line
// ends or bytes that are not printable.
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ' || c == '=' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == 0x1b:
			dst = append(dst, '\\', 'e')
		case c < 0x20 || c >= 0x7f:
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
