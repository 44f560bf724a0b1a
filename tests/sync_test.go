package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// syncConf tells mbsync to keep a directory and an account alike.
const syncConf = `
IMAPAccount test
Host localhost
Port %s
User %s
Pass %s
SSLType IMAPS
CertificateFile %s
PipelineDepth 50

IMAPStore far
Account test

MaildirStore near
Inbox %s/inbox
Path %s/
SubFolders Verbatim

Channel test
Far :far:
Near :near:
Patterns INBOX Archive
Create Both
Expunge Both
SyncState *
`

// messages in the synchronised mailboxes: here, there, and the bytes of the
// big one.
const (
	syncHere  = 150
	syncThere = 150
	syncBig   = 5 << 20
)

// mbsync does a full sync both ways; the second has nothing to do, and a third
// carries what was deleted.
func TestSync(t *testing.T) {
	t.Parallel()
	need(t, "mbsync")
	bothWays(t, func(t *testing.T, to endpoint) {
		dir, user := t.TempDir(), newUser()
		for i := range syncHere {
			writeMail(t, filepath.Join(dir, "inbox"), fmt.Sprintf("here%d", i), 2000)
		}
		c := loggedIn(t, to.plain, user)
		c.ok("CREATE Archive")
		for i := range syncThere {
			size := 2000
			if i == 0 {
				size = syncBig
			}
			text := mail(fmt.Sprintf("there%d", i), size)
			c.ok("APPEND Archive {%d+}\r\n%s", len(text), text)
		}
		mbsync(t, dir, to, user)
		if got := count(t, filepath.Join(dir, "Archive")); got != syncThere {
			t.Errorf("messages here in Archive = %d, want %d", got, syncThere)
		}
		wantStatus(t, c, "INBOX", syncHere)
		wantStatus(t, c, "Archive", syncThere)

		before := listing(t, dir)
		mbsync(t, dir, to, user)
		if after := listing(t, dir); after != before {
			t.Errorf("the second sync changed files:\n%s\nbefore:\n%s", after, before)
		}
		wantStatus(t, c, "INBOX", syncHere)

		c.ok("SELECT INBOX")
		c.ok(`STORE 1:10 +FLAGS.SILENT (\Deleted)`)
		c.ok("EXPUNGE")
		mbsync(t, dir, to, user)
		if got := count(t, filepath.Join(dir, "inbox")); got != syncHere-10 {
			t.Errorf("messages here after the expunge there = %d, want %d", got, syncHere-10)
		}
		c.logout()
	})
}

// mbsync runs the program once.
func mbsync(t *testing.T, dir string, to endpoint, user string) {
	t.Helper()
	_, port, _ := strings.Cut(to.implicit, ":")
	conf := filepath.Join(dir, "mbsyncrc")
	text := fmt.Sprintf(syncConf, port, user, password, certs(t).file, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mbsync", "-c", conf, "-V", "test")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mbsync: %v: %s", err, tail(string(out), 30))
	}
}

// mail is a message of about size bytes.
func mail(subject string, size int) string {
	line := strings.Repeat("x", 70) + "\r\n"
	return "From: a@example.org\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@example.org>\r\n\r\n" +
		strings.Repeat(line, size/len(line)+1)
}

// writeMail puts a message into a maildir.
func writeMail(t *testing.T, maildir, subject string, size int) {
	t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(maildir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(mail(subject, size), "\r\n", "\n")
	if err := os.WriteFile(filepath.Join(maildir, "new", "1."+subject+".test"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// count is how many messages a maildir has.
func count(t *testing.T, maildir string) int {
	t.Helper()
	n := 0
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(maildir, sub))
		if err != nil {
			t.Fatal(err)
		}
		n += len(entries)
	}
	return n
}

// listing names the messages below dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	for _, box := range []string{"inbox", "Archive"} {
		found, err := filepath.Glob(filepath.Join(dir, box, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return strings.Join(names, "\n")
}

// wantStatus asks the server how many messages a mailbox has.
func wantStatus(t *testing.T, c *client, mailbox string, want int) {
	t.Helper()
	got := strings.Join(c.ok("STATUS %s (MESSAGES)", mailbox), "\n")
	if !strings.Contains(got, fmt.Sprintf("(MESSAGES %d)", want)) {
		t.Errorf("STATUS %s = %q, want %d messages", mailbox, got, want)
	}
}
