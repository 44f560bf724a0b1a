package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// paths that the documents use, for those of a test.
const (
	usualConfig = "/etc/imaplb/imaplb.toml"
	usualSocket = "/run/imaplb/imaplb.sock"
	unitFile    = "../dist/imaplb.service"
)

// block is a fenced block of a document.
type block struct {
	lang string
	line int // of the fence
	text string
}

// document is a document with an imaplb that runs the configuration of the
// README, in front of Dovecots. Owned by the goroutine of its test.
type document struct {
	t    *testing.T
	path string
	lb   *lb
	addr string // of its frontend, which wants TLS
}

// What the documents tell is so: their configurations are valid, the one of
// the README runs and serves, and their commands do what they are there for. A
// block of a kind that is not known here is a fault.
func TestDocuments(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, "../README.md") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			d := &document{t: t, path: path}
			d.start()
			for _, b := range blocks(t, path) {
				d.check(b)
			}
		})
	}
}

// start runs the configuration of the README.
func (d *document) start() {
	d.t.Helper()
	for _, b := range blocks(d.t, "../README.md") {
		if b.lang != "toml" {
			continue
		}
		d.lb = newLB(d.t, options{})
		// Commands of docs/limits.md are about a table that the README has not.
		text, addrs := withAddresses(d.t, d.lb, b.text+"[stick_table.sources]\nkey = \"src\"\nstore = [\"gpt0\"]\n")
		d.lb.writeText(withFiles(d.t, text))
		d.lb.run()
		d.addr = addrs[0]
		if err := loginAnyhow(d.t, d.addr); err != nil {
			d.t.Errorf("login by the README's configuration: %v", err)
		}
		return
	}
	d.t.Fatal("the README has no configuration")
}

// check judges a block.
func (d *document) check(b block) {
	d.t.Helper()
	at := fmt.Sprintf("%s:%d", d.path, b.line)
	switch b.lang {
	case "text": // an output, or a drawing
	case "toml":
		d.checkConfig(at, b.text)
	case "dovecot":
		d.checkDovecot(at, b.text)
	case "sh":
		for line := range strings.Lines(b.text) {
			if err := d.command(strings.TrimSpace(line)); err != nil {
				d.t.Errorf("%s: %s: %v", at, strings.TrimSpace(line), err)
			}
		}
	default:
		d.t.Errorf("%s: a block of kind %q is not understood", at, b.lang)
	}
}

// checkConfig loads a configuration. What an extract leaves out is added.
func (d *document) checkConfig(at, text string) {
	d.t.Helper()
	if !strings.Contains(text, "[frontend.") {
		text += "[frontend.imap]\nbind = [\"127.0.0.1:143\"]\nbackend = \"mail\"\n"
	}
	if !strings.Contains(text, "[backend.") {
		text += "[backend.mail.server.mail1]\naddr = \"10.0.0.11:143\"\n"
	}
	l := newLB(d.t, options{})
	l.writeText(withFiles(d.t, text))
	if out, err := l.check(); err != nil {
		d.t.Errorf("%s: %v: %s", at, err, out)
	}
}

// checkDovecot has Dovecot read its settings.
func (d *document) checkDovecot(at, text string) {
	d.t.Helper()
	need(d.t, "doveconf")
	file := filepath.Join(d.t.TempDir(), "dovecot.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if out, err := exec.Command("doveconf", "-n", "-c", file).CombinedOutput(); err != nil {
		d.t.Errorf("%s: %v: %s", at, err, out)
	}
}

// command judges a line of the shell. imaplb's own are run; those that would
// change the machine are compared with what they name.
func (d *document) command(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 {
		return fmt.Errorf("tests: no command with arguments")
	}
	last := words[len(words)-1]
	switch words[0] {
	case "imaplb", "echo":
		return d.run(line, words[1])
	case "openssl":
		need(d.t, "openssl")
		return exec.Command("openssl", words[1:]...).Run()
	case "make":
		return contains("../Makefile", `(?m)^`+regexp.QuoteMeta(words[1])+`:`)
	case "systemctl":
		if last == "daemon-reload" {
			return nil
		}
		return contains("../dist/"+last+".service", `(?m)^ExecReload=`)
	case "useradd":
		return contains(unitFile, `(?m)^User=`+last+`$`)
	case "install":
		source := words[len(words)-2]
		if source == "bin/imaplb" {
			return contains(unitFile, `(?m)^ExecStart=`+last+` `)
		}
		_, err := os.Stat("../" + source)
		return err
	}
	return fmt.Errorf("tests: this command is not understood")
}

// run runs a line with the README's imaplb as the usual one.
func (d *document) run(line, subcommand string) error {
	program, err := shared.program()
	if err != nil {
		return err
	}
	line = strings.NewReplacer(usualConfig, d.lb.config, usualSocket, d.lb.socket).Replace(line)
	switch subcommand {
	case "run": // as start has done
		if want := "imaplb " + strings.Join(d.lb.cmd.Args[1:], " "); line != want {
			return fmt.Errorf("tests: want %q, which was run", want)
		}
		return nil
	case "ctl":
		if id := regexp.MustCompile(`0x[0-9a-f]+`); id.MatchString(line) {
			c := dialTLS(d.t, d.addr, trust(d.t, "imap.test"))
			defer c.close()
			c.expect("* OK")
			c.ok("LOGIN %s %s", newUser(), password)
			line = id.ReplaceAllString(line, id.FindString(d.lb.ask("show sess")))
		}
	}
	if strings.Contains(line, "socat") {
		need(d.t, "socat")
	}
	cmd := exec.Command("sh", "-e", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "IMAPLB_SOCKET="+d.lb.socket)
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "Unknown command") {
		err = fmt.Errorf("tests: imaplb does not know it")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, short(string(out)))
	}
	return nil
}

// contains tells whether a file has the pattern.
func contains(file, pattern string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !regexp.MustCompile(pattern).Match(b) {
		return fmt.Errorf("tests: %s has no %s", file, pattern)
	}
	return nil
}

// blocks are the fenced blocks of a document.
func blocks(t *testing.T, path string) []block {
	t.Helper()
	var list []block
	open := false
	n := 0
	for line := range strings.Lines(read(t, path)) {
		n++
		lang, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !open:
			list = append(list, block{lang: lang, line: n})
			open = true
		case fence:
			open = false
		case open:
			list[len(list)-1].text += line
		}
	}
	if open {
		t.Errorf("%s: the last block has no end", path)
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// docs/configuration.md has every key of every section, with its default, and
// none besides.
func TestDocumentedKeys(t *testing.T) {
	t.Parallel()
	l := newLB(t, options{})
	p := defaultCert(t)
	l.writeText(fmt.Sprintf("[peers]\nbind = \"127.0.0.1:7946\"\n[stick_table.NAME]\n[frontend.NAME]\nbind = [\":143\"]\nbackend = \"NAME\"\n"+
		"tls = \"starttls\"\ncerts = [{ cert = %q, key = %q }]\n[backend.NAME.server.NAME]\naddr = \"10.0.0.11:143\"\n", p.cert, p.key))
	dump, err := l.output("check", "-f", l.config, "--dump")
	if err != nil {
		t.Fatalf("%v: %s", err, dump)
	}
	is := map[string]string{} // section.key → value
	section := ""
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, " = "); ok && section != "stick_table.users" {
			is[section+"."+key] = value
		} else if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
	}
	for line := range strings.Lines(read(t, "../docs/configuration.md")) {
		if m := regexp.MustCompile("^## `\\[(.*)\\]`").FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		m := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| [^|]* \\| ([^|]*) \\|").FindStringSubmatch(line)
		if m == nil {
			continue
		}
		key := section + "." + m[1]
		value, ok := is[key]
		exact := strings.HasPrefix(m[2], "`") // else it is told in words
		if !ok || exact && m[2] != "`"+value+"`" {
			t.Errorf("docs/configuration.md has %s = %s, imaplb has %q", key, m[2], value)
		}
		delete(is, key)
	}
	for key, value := range is {
		t.Errorf("docs/configuration.md has no %s, by default %s", key, value)
	}
}

// docs/stats-socket.md has a heading for every command of the runtime socket,
// and no other.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: []server{{name: "s1", addr: freeAddr(t), extra: `state = "maint"`}}})
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  (\S.*?) *: `).FindAllStringSubmatch(l.ask("help"), -1) {
		known[m[1]] = true
	}
	for _, m := range regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(read(t, "../docs/stats-socket.md"), -1) {
		if !known[m[1]] {
			t.Errorf("docs/stats-socket.md has the command %q, imaplb has not", m[1])
		}
		delete(known, m[1])
	}
	for usage := range known {
		t.Errorf("docs/stats-socket.md has no command %q", usage)
	}
}

// docs/logs.md has every line of the log, and every reason with its state.
func TestDocumentedLog(t *testing.T) {
	t.Parallel()
	doc := read(t, "../docs/logs.md")
	messages, reasons := 0, 0
	for path, text := range sources(t, false) {
		for _, m := range regexp.MustCompile(`(?:\.(?:Debug|Info|Warn|Error)\(|LogAttrs\([^"]*)"([^"]+)"`).FindAllStringSubmatch(text, -1) {
			messages++
			if m[1] == "peer " { // and its kind
				continue
			}
			if !strings.Contains(doc, "| `"+m[1]+"` |") {
				t.Errorf("docs/logs.md has no line %q, which is in %s", m[1], path)
			}
		}
		for _, m := range regexp.MustCompile(`\{"([a-z_]+)", "([-A-Za-z]{2})"`).FindAllStringSubmatch(text, -1) {
			reasons++
			if !strings.Contains(doc, "| `"+m[1]+"` | `"+m[2]+"` |") {
				t.Errorf("docs/logs.md has no reason %s with %s, which is in %s", m[1], m[2], path)
			}
		}
	}
	for _, m := range regexp.MustCompile(`reason[A-Z]\w+ += "([a-z_]+)"|reason\b.*= "([a-z_]+)"`).FindAllStringSubmatch(
		read(t, "../frontend/prelogin.go")+read(t, "../frontend/login.go"), -1) {
		reasons++
		if !strings.Contains(doc, "| `"+m[1]+m[2]+"` |") {
			t.Errorf("docs/logs.md has no reason %s of frontend", m[1]+m[2])
		}
	}
	if messages < 20 || reasons < 30 {
		t.Errorf("only %d lines and %d reasons were found in the source", messages, reasons)
	}
}

// The tests that ARCHITECTURE.md names are there, and so is every file that a
// document links to.
func TestDocumentedNames(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, text := range sources(t, true) {
		all.WriteString(text)
	}
	for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(read(t, "../ARCHITECTURE.md"), -1) {
		if !strings.Contains(all.String(), "func "+name+"(") {
			t.Errorf("ARCHITECTURE.md names %s, which is no test", name)
		}
	}
	for _, pattern := range []string{"../*.md", "../docs/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %d documents", pattern, err, len(paths))
		}
		for _, path := range paths {
			for _, m := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(read(t, path), -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
}

// sources are the Go files of the program by path, or those of its tests.
func sources(t *testing.T, tests bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		outside := strings.HasPrefix(path, "../tests/") && !tests
		if err == nil && strings.HasSuffix(path, ".go") && strings.HasSuffix(path, "_test.go") == tests && !outside {
			all[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
