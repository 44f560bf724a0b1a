package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"text/template"

	"github.com/spf13/cobra"
)

// Who can log in to the demo, and with what. Plainly no secret.
const demoPassword = "demo"

var demoUsers = []string{"demo1", "demo2", "demo3"}

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Run two balancers in front of two built-in servers",
		Long: `Runs two balancers that are peers, in front of two built-in IMAP servers with
some mail, all on the loopback interface. It needs no root, no files and no
servers, and leaves nothing behind. Kill one of the two and see the other send
everybody to the same server as before. Ctrl-C ends it.`,
		Example: `  imaplb demo`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

// demo is what the texts below are filled with.
type demo struct {
	Program    string // as it was started
	Dir        string // everything the demo writes
	Peers      [2]*demoPeer
	Servers    []*demoServer
	Users      string
	User, Pass string
	Self       *demoPeer // of a configuration
}

// runDemo runs the demo until a signal or the context ends it. What it tells,
// and the logs, go to out.
func runDemo(ctx context.Context, out io.Writer) error {
	// The peers are told when the thread that started them ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	dir, err := os.MkdirTemp("", "imaplb-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	servers, err := startDemoServers("mail1", "mail2")
	defer stopDemoServers(servers)
	if err != nil {
		return err
	}
	d := demo{
		Program: os.Args[0], Dir: dir, Servers: servers,
		Users: strings.Join(demoUsers, ", "), User: demoUsers[0], Pass: demoPassword,
	}
	if err := d.prepare(); err != nil {
		return err
	}
	for _, p := range d.Peers {
		if err := p.start(); err != nil {
			stopDemoPeers(d.Peers[:])
			return err
		}
	}
	defer stopDemoPeers(d.Peers[:])
	for _, p := range d.Peers {
		if err := p.ready(ctx); err != nil {
			return err
		}
	}
	text, err := fill(demoWelcome, d)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return d.watch(ctx, out)
}

// prepare writes the files and chooses the ports.
func (d *demo) prepare() error {
	if err := writeDemoCert(d.Dir); err != nil {
		return err
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	text := base64.StdEncoding.EncodeToString(key[:]) + "\n"
	if err := os.WriteFile(filepath.Join(d.Dir, "peers.key"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for i := range d.Peers {
		p, err := newDemoPeer(d.Dir, i)
		if err != nil {
			return err
		}
		d.Peers[i] = p
	}
	for _, p := range d.Peers {
		d.Self = p
		file, err := fill(demoConfig, *d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.config, []byte(file), 0o600); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// choosePort is want if nobody listens there, else any free port. Somebody may
// still take it before the balancer does, which then says so.
func choosePort(want int) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(want)))
	if err != nil {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return 0, fmt.Errorf("demo: no free port: %w", err)
	}
	defer ln.Close() //nolint:errcheck // nobody has connected
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// fill executes a template. The function q spells a string as TOML does.
func fill(text string, d demo) (string, error) {
	t, err := template.New("demo").Funcs(template.FuncMap{"q": strconv.Quote}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, d); err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return b.String(), nil
}

const demoConfig = `# The configuration of a balancer of "imaplb demo".
[global]
hard_stop_after = "1s"
shutdown_spread = "0s"
log_sessions    = "both"

[stats]
socket = "{{.Self.Name}}.sock"

[peers]
name        = {{q .Self.Name}}
bind        = {{q .Self.Addr}}
join        = [{{range .Peers}}{{q .Addr}}, {{end}}]
key_file    = "peers.key"
tie_breaker = "serve"

[frontend.imaps]
bind    = ["127.0.0.1:{{.Self.IMAPS}}"]
certs   = [{ cert = "cert.pem", key = "key.pem" }]
backend = "mail"

[frontend.imap]
bind    = ["127.0.0.1:{{.Self.IMAP}}"]
tls     = "starttls"
certs   = [{ cert = "cert.pem", key = "key.pem" }]
backend = "mail"
{{range .Servers}}
[backend.mail.server.{{.Name}}]
addr = {{q .Addr}}
{{end}}`

const demoWelcome = `Two IMAP servers with some mail, and in front of them two imaplb that are peers:
{{range .Peers}}
  {{.Name}}  IMAP with TLS        127.0.0.1:{{.IMAPS}}  (self-signed certificate)
       IMAP with STARTTLS   127.0.0.1:{{.IMAP}}
{{end}}
  users     {{.Users}}
  password  {{.Pass}}

Try these in another terminal (in the first, then type: a login {{.User}} {{.Pass}}):
{{with index .Peers 0}}
  openssl s_client -quiet -crlf -connect 127.0.0.1:{{.IMAPS}}
  curl -k --user {{$.User}}:{{$.Pass}} 'imaps://127.0.0.1:{{.IMAPS}}/INBOX;MAILINDEX=1'
  {{$.Program}} ctl -s {{$.Dir}}/{{.Name}}.sock 'show table users'
{{end}}
The mail tells which server you are on. Now kill {{(index .Peers 0).Name}}, and ask {{(index .Peers 1).Name}}: you are on the same server.

  kill -9 {{(index .Peers 0).PID}}
{{with index .Peers 1}}  curl -k --user {{$.User}}:{{$.Pass}} 'imaps://127.0.0.1:{{.IMAPS}}/INBOX;MAILINDEX=1'
  {{$.Program}} ctl -s {{$.Dir}}/{{.Name}}.sock 'show users; show peers'
{{end}}
Ctrl-C ends it. Below are the logs, with a line for each session that begins and ends.

`
