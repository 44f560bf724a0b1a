package stats

import (
	"fmt"
	"slices"
	"strings"
)

// A command is one row of the table of all commands.
type command struct {
	words []string // what it is called by
	level level    // who may call it
	usage string   // as "help" prints it, words included
	help  string
	// run answers; args are the words behind the command's own. A dump is
	// written to the client and leaves the message empty.
	run func(c *client, args []string) message
}

// commandTable is every command, in the order of "help". It is a function
// because the handlers lead back to it.
//
// budget: it is a table, a row for each command.
func commandTable() []command {
	table := []command{
		{usage: "add key", level: levelAdmin, help: "read the cluster's key file again and add what is new in it", run: addKey},
		{usage: "clear table <table> [<filter>]*", level: levelOperator, help: "remove entries from a table (filter: data/key)", run: clearTable},
		{usage: "debug gc", level: levelAdmin, help: "collect garbage, return memory to the system and tell what is left", run: debugGC},
		{usage: "disable server <bk>/<srv>", level: levelAdmin, help: "put a server into maintenance (see 'set server')", run: disableServer},
		{usage: "echo <text>", help: "print the text", run: echo},
		{usage: "enable server <bk>/<srv>", level: levelAdmin, help: "make a server ready (see 'set server')", run: enableServer},
		{usage: "explain user <user> [opts]", level: levelOperator, help: "tell where a user would go, and why", run: explainUser},
		{usage: "flush server <bk>/<srv> [max-parallel <n>]", level: levelAdmin, help: "move the users of a draining server elsewhere", run: flushServer},
		{usage: "flush stop <bk>/<srv>", level: levelAdmin, help: "stop that", run: flushStop},
		{usage: "forget peer <name>", level: levelAdmin, help: "wait no more for a dead peer that will not come back", run: forgetPeer},
		{usage: "get weight <bk>/<srv>", help: "report a server's current weight", run: getWeight},
		{usage: "kick server <bk>/<srv> [local]", level: levelAdmin, help: "close all sessions of a server", run: kickServer},
		{usage: "kick src <network> [local]", level: levelAdmin, help: "close all connections from an address or network", run: kickSource},
		{usage: "kick user <user|mask> [local]", level: levelAdmin, help: "close all sessions of a user, or of all that a mask finds", run: kickUser},
		{usage: "move user <user> <bk>/<srv>", level: levelAdmin, help: "move a user to another server, once his sessions have ended", run: moveUser},
		{usage: "operator", help: "lower the level of this connection to operator", run: lowerTo(levelOperator)},
		{usage: "pin user <user> <bk>/<srv>", level: levelAdmin, help: "have a user always go to a server, and move him there", run: pinUser},
		{usage: "remove key <fingerprint>", level: levelAdmin, help: "forget a key of the cluster", run: removeKey},
		{usage: "reload", level: levelAdmin, help: "load the configuration file again", run: reload},
		{usage: "set maxconn frontend <fe> <n>", level: levelAdmin, help: "change a frontend's maxconn", run: setFrontendMaxconn},
		{usage: "set maxconn global <n>", level: levelAdmin, help: "change the process's maxconn", run: setGlobalMaxconn},
		{usage: "set maxconn server <bk>/<srv> <n> [local]", level: levelAdmin, help: "change a server's maxconn", run: setServerMaxconn},
		{usage: "set server <bk>/<srv> [opts]", level: levelAdmin, help: "change a server's state or weight", run: setServer},
		{usage: "set severity-output [none|number|string]", help: "put the severity in front of messages", run: setSeverity},
		{usage: "set table <table> key <k> [data.* <v>]*", level: levelOperator, help: "give a key to a server: data.server_id <id> or server <name>", run: setTable},
		{usage: "set timeout [cli] <delay>", help: "change the timeout of this connection", run: setTimeout},
		{usage: "set weight <bk>/<srv> <weight>[%]", level: levelAdmin, help: "change a server's weight (see 'set server')", run: setWeight},
		{usage: "show backend", help: "list the backends", run: showBackend},
		{usage: "show cli level", help: "report the level of this connection", run: showLevel},
		{usage: "show cli sockets", help: "list the runtime sockets", run: showSockets},
		{usage: "show errors", level: levelOperator, help: "report captured protocol errors (none are captured)", run: showErrors},
		{usage: "show events [<number>]", level: levelOperator, help: "report who ordered what, and what happened to the peers", run: showEvents},
		{usage: "show flushes", level: levelOperator, help: "report how far the users of servers are moved away", run: showFlushes},
		{usage: "show info [desc|json|typed|float]*", help: "report information about the process", run: showInfo},
		{usage: "show keys", level: levelOperator, help: "list the fingerprints of the cluster's keys", run: showKeys},
		{usage: "show peers", help: "report the peers, their lag and what passed between them", run: showPeers},
		{usage: "show pins [<mask>]", level: levelOperator, help: "list the users that are pinned to a server", run: showPins},
		{usage: "show servers conn [<backend>]", level: levelOperator, help: "report the connections of servers", run: showServersConn},
		{usage: "show servers health [<backend>]", level: levelOperator, help: "report what checks, agents and logins tell of servers", run: showServersHealth},
		{usage: "show servers limits [<backend>]", level: levelOperator, help: "report the limits of servers, and each peer's part of them", run: showServersLimits},
		{usage: "show servers state [<backend>]", level: levelOperator, help: "report the state of servers", run: showServersState},
		{usage: "show servers [<backend>]", level: levelOperator, help: "report how many users servers have, or have left", run: showServers},
		{usage: "show sess [<id>|all|help] [<filter>]*", level: levelOperator, help: "list sessions or report one", run: showSess},
		{usage: "show stat [desc|json|no-maint|typed|up]*", help: "report the counters of frontends, backends and servers", run: showStat},
		{usage: "show table [<table> [<filter>]*]", help: "report the use of tables or dump one (filter: data/key)", run: showTable},
		{usage: "show users [<mask>|server <bk>/<srv>]", level: levelOperator, help: "list users and where they live", run: showUsers},
		{usage: "show version", help: "report the version of the process", run: showVersion},
		{usage: "shutdown session <id>", level: levelAdmin, help: "close a session", run: shutdownSession},
		{usage: "shutdown sessions server <bk>/<srv>", level: levelAdmin, help: "close all sessions of a server", run: shutdownServer},
		{usage: "unpin user <user> [<backend>]", level: levelAdmin, help: "let a user go where the table says again", run: unpinUser},
		{usage: "use key <fingerprint>", level: levelAdmin, help: "encrypt with that key of the cluster", run: useKey},
		{usage: "user", help: "lower the level of this connection to user", run: lowerTo(levelUser)},
		{usage: "wait <delay_ms>", help: "wait", run: wait},

		{usage: "help [<command>]", help: "list matching or all commands", run: help},
		{usage: "prompt [help | n | i | p | timed ]*", help: "toggle interactive mode with prompt", run: prompt},
		{usage: "quit", help: "disconnect", run: quit},
	}
	for i := range table {
		table[i].words = ownWords(table[i].usage)
	}
	return table
}

// ownWords are the words of a usage before the first argument.
func ownWords(usage string) []string {
	words := strings.Fields(usage)
	if i := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w[:1], "<[") }); i >= 0 {
		words = words[:i]
	}
	return words
}

// find is the command those words begin with and the words behind it, or nil.
func (s *Server) find(words []string) (*command, []string) {
	for i := range s.commands {
		cmd := &s.commands[i]
		if n := len(cmd.words); len(words) >= n && slices.Equal(cmd.words, words[:n]) {
			return cmd, words[n:]
		}
	}
	return nil, nil
}

const (
	validCommands  = "The following commands are valid at this level:"
	betterCommands = "Unknown command: '%s', but maybe one of the following ones is a better match:"
	onlyCommands   = "Unknown command: '%s'. Please enter one of the following commands only:"
)

func help(c *client, args []string) message {
	return informed(c.srv.usage(c.level, validCommands, args))
}

// unknown is the first line of the answer to words that are no command.
func (s *Server) unknown(words []string) string {
	if len(words) == 0 {
		return fmt.Sprintf(onlyCommands, "")
	}
	if s.likeness(words) == 0 {
		return fmt.Sprintf(onlyCommands, words[0])
	}
	return fmt.Sprintf(betterCommands, words[0])
}

// usage is a first line and the commands of a level that begin like words: as
// many of them as any command does, or all commands if none does.
func (s *Server) usage(l level, first string, words []string) string {
	b := []byte(first)
	like := s.likeness(words)
	for i, cmd := range s.commands {
		always := i >= len(s.commands)-3 // help, prompt, quit
		if always || cmd.level <= l && alike(cmd.words, words) >= like {
			b = fmt.Appendf(b, "\n  %-40s: %s", cmd.usage, cmd.help)
		}
	}
	return string(b)
}

// likeness is the greatest number of leading words any command has in common
// with words.
func (s *Server) likeness(words []string) (n int) {
	for _, cmd := range s.commands {
		n = max(n, alike(cmd.words, words))
	}
	return n
}

// alike counts the leading words of a command that begin as those typed do.
func alike(words, typed []string) (n int) {
	for n < len(words) && n < len(typed) && strings.HasPrefix(words[n], typed[n]) {
		n++
	}
	return n
}
