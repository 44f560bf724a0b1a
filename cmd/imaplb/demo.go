package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// Who can log in to the demo, and with what. Plainly no secret.
const demoPassword = "demo"

var demoUsers = []string{"demo1", "demo2", "demo3"}

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Run the balancer in front of two built-in servers",
		Long: `Runs the balancer in front of two built-in IMAP servers with some mail, all on
the loopback interface. It needs no root, no files and no servers, and leaves
nothing behind. Ctrl-C ends it.`,
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
	IMAPS      int    // ports
	IMAP       int
	Servers    []*demoServer
	Users      string
	User, Pass string
}

// runDemo runs the demo until a signal or the context ends it. What it tells,
// and the log, go to out.
func runDemo(ctx context.Context, out io.Writer) error {
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
	if err := writeDemoCert(dir); err != nil {
		return err
	}
	d := demo{
		Program: os.Args[0], Dir: dir, Servers: servers,
		Users: strings.Join(demoUsers, ", "), User: demoUsers[0], Pass: demoPassword,
	}
	if d.IMAPS, err = choosePort(1993); err != nil {
		return err
	}
	if d.IMAP, err = choosePort(1143); err != nil {
		return err
	}
	config := filepath.Join(dir, "imaplb.toml")
	file, err := fill(demoConfig, d)
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, []byte(file), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	text, err := fill(demoWelcome, d)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return runNode(ctx, config, out)
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

const demoConfig = `# The configuration of "imaplb demo".
[global]
hard_stop_after = "1s"
shutdown_spread = "0s"
log_sessions    = "both"

[stats]
socket = "imaplb.sock"

[frontend.imaps]
bind    = ["127.0.0.1:{{.IMAPS}}"]
certs   = [{ cert = "cert.pem", key = "key.pem" }]
backend = "mail"

[frontend.imap]
bind    = ["127.0.0.1:{{.IMAP}}"]
tls     = "starttls"
certs   = [{ cert = "cert.pem", key = "key.pem" }]
backend = "mail"
{{range .Servers}}
[backend.mail.server.{{.Name}}]
addr = {{q .Addr}}
{{end}}`

const demoWelcome = `Two IMAP servers with some mail, and imaplb in front of them:

  IMAP with TLS        127.0.0.1:{{.IMAPS}}  (self-signed certificate)
  IMAP with STARTTLS   127.0.0.1:{{.IMAP}}
  users                {{.Users}}
  password             {{.Pass}}

Try these in another terminal (in the first, then type: a login {{.User}} {{.Pass}}):

  openssl s_client -quiet -crlf -connect 127.0.0.1:{{.IMAPS}}
  curl -k --user {{.User}}:{{.Pass}} 'imaps://127.0.0.1:{{.IMAPS}}/INBOX;MAILINDEX=1'
  {{.Program}} ctl -s {{.Dir}}/imaplb.sock 'show table users'

Ctrl-C ends it. Below is a line for each session that begins and ends.

`
