package imap

import "bytes"

// maxTag is the longest tag that is accepted and echoed, in bytes; Dovecot's.
const maxTag = 126

// Command is one complete command of a client, taken apart as far as every
// command allows. All slices alias the input.
type Command struct {
	Tag  []byte // nil if the command does not begin with a valid tag
	Name []byte // the word behind the tag, in the client's case; empty if there is none
	Args []byte // what follows the name and a space, literals in line, without the last CRLF
}

// ParseCommand takes apart the bytes that a Scanner has found to be a command,
// the last CRLF included. Without a valid tag only Name and Args may be empty.
// RFC 9051 section 2.2.1.
func ParseCommand(b []byte) Command {
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	tag, rest, _ := bytes.Cut(b, []byte(" "))
	if !ValidTag(tag) {
		return Command{}
	}
	name, args, _ := bytes.Cut(rest, []byte(" "))
	return Command{Tag: tag, Name: name, Args: args}
}

// ValidTag reports whether tag is 1 to 126 bytes of ASTRING-CHAR without "+".
// RFC 9051 section 9, tag.
func ValidTag(tag []byte) bool {
	return len(tag) <= maxTag && all(tag, isTag)
}
