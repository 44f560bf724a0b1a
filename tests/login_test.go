package tests

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// Every way to say a user and a password leads to the same place.
func TestLoginForms(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		plain := func(user string) string { return base64String("\x00" + user + "\x00" + password) }
		forms := []struct {
			name string
			say  func(c *client, user string)
		}{
			{"atoms", func(c *client, user string) { c.send("a LOGIN " + user + " " + password + "\r\n") }},
			{"lower case", func(c *client, user string) { c.send("a login " + user + " " + password + "\r\n") }},
			{"quoted", func(c *client, user string) { c.send(`a LOGIN "` + user + `" "` + password + "\"\r\n") }},
			{"literals without waiting", func(c *client, user string) {
				c.send(fmt.Sprintf("a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n", len(user), user, len(password), password))
			}},
			{"literals that wait", func(c *client, user string) {
				c.send(fmt.Sprintf("a LOGIN {%d}\r\n", len(user)))
				c.expect("+ ")
				c.send(fmt.Sprintf("%s {%d}\r\n", user, len(password)))
				c.expect("+ ")
				c.send(password + "\r\n")
			}},
			{"PLAIN at once", func(c *client, user string) { c.send("a AUTHENTICATE PLAIN " + plain(user) + "\r\n") }},
			{"PLAIN when asked", func(c *client, user string) {
				c.send("a AUTHENTICATE PLAIN\r\n")
				c.expect("+")
				c.send(plain(user) + "\r\n")
			}},
			{"mechanism LOGIN", func(c *client, user string) {
				c.send("a AUTHENTICATE LOGIN\r\n")
				c.expect("+ ")
				c.send(base64String(user) + "\r\n")
				c.expect("+ ")
				c.send(base64String(password) + "\r\n")
			}},
			{"one byte at a time", func(c *client, user string) {
				for _, b := range "a LOGIN " + user + " " + password + "\r\n" {
					c.send(string(b))
				}
			}},
		}
		for _, f := range forms {
			t.Run(f.name, func(t *testing.T) {
				c := greeted(t, to.plain)
				f.say(c, newUser())
				c.expect("a OK [CAPABILITY ")
				c.ok("SELECT INBOX")
				c.logout()
			})
		}
	})
}

// Passwords that fit in no atom and in no quoted string arrive unchanged.
func TestLoginOddPasswords(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		for i, secret := range oddPasswords {
			user := fmt.Sprintf("odd%d", i)
			t.Run(user, func(t *testing.T) {
				c := greeted(t, to.plain)
				c.ok("LOGIN %s {%d+}\r\n%s", user, len(secret), secret)
				c.logout()

				c = greeted(t, to.plain)
				c.ok("AUTHENTICATE PLAIN %s", base64String("\x00"+user+"\x00"+secret))
				c.logout()

				c = greeted(t, to.plain)
				c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s {%d+}\r\n%s", user, len(secret)-1, secret[1:])
				c.logout()
			})
		}
	})
}

// A wrong password costs the client nothing but the attempt.
func TestLoginWrongPassword(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		user := newUser()
		c := greeted(t, to.plain)
		c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", user)
		c.refused("NO [AUTHENTICATIONFAILED]", "AUTHENTICATE PLAIN %s", base64String("\x00"+user+"\x00wrong"))
		c.ok("NOOP")
		c.ok("LOGIN %s %s", user, password)
		c.ok("SELECT INBOX")
		c.logout()
	})
}

// What stands behind LOGIN in the same segment is answered by the server after
// a login, and as before a login when it fails.
func TestLoginPipelined(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		c := greeted(t, to.plain)
		c.send("a LOGIN " + newUser() + " wrong\r\nb NOOP\r\nc SELECT INBOX\r\n")
		c.until("a NO [AUTHENTICATIONFAILED]")
		c.until("b OK")
		c.until("c BAD")
		c.send("a CAPABILITY\r\nb LOGIN " + newUser() + " " + password + "\r\nc SELECT INBOX\r\nd LOGOUT\r\n")
		c.until("a OK")
		_, before := c.until("b OK")
		if !strings.Contains(strings.Join(before, "\n"), "* CAPABILITY ") {
			t.Errorf("before the OK came %q, want the capability: the client had asked before", before)
		}
		c.until("c OK")
		c.until("d OK")
		c.closed(patience)
	})
}

// After the login the client sees the server's own capability, and none that
// imaplb cannot carry.
func TestLoginCapability(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	c := dial(t, l.plain)
	before := c.expect("* OK [CAPABILITY IMAP4rev1 ")
	for _, word := range []string{"SASL-IR", "ID", "AUTH=PLAIN", "AUTH=XOAUTH2", "AUTH=OAUTHBEARER"} {
		if !strings.Contains(before, " "+word) {
			t.Errorf("the greeting lacks %s: %q", word, before)
		}
	}
	after, _ := c.do("LOGIN %s %s", newUser(), password)
	for _, word := range []string{"QRESYNC", "LITERAL+", "NOTIFY"} {
		if !strings.Contains(after, " "+word) {
			t.Errorf("the OK of LOGIN lacks %s: %q", word, after)
		}
	}
	for _, word := range []string{"STARTTLS", "LOGINDISABLED", "AUTH=", "LOGIN-REFERRALS"} {
		if strings.Contains(after, word) {
			t.Errorf("the OK of LOGIN has %s: %q", word, after)
		}
	}
	c.logout()
}

// A client library of others gets in, by either command.
func TestLoginGoIMAP(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		for _, name := range []string{"LOGIN", "AUTHENTICATE"} {
			t.Run(name, func(t *testing.T) {
				c, err := imapclient.DialTLS(to.implicit, &imapclient.Options{TLSConfig: trust(t, to.name)})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				user := newUser()
				if name == "LOGIN" {
					err = c.Login(user, password).Wait()
				} else {
					err = c.Authenticate(sasl.NewPlainClient("", user, password))
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Select("INBOX", nil).Wait(); err != nil {
					t.Error(err)
				}
				if err := c.Logout().Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// curl gets in, over each kind of frontend, by each mechanism it has.
func TestLoginCurl(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	bothWays(t, func(t *testing.T, to endpoint) {
		ca := certs(t).file
		user := newUser()
		for _, args := range [][]string{
			{"imap://" + to.plain},
			{"--login-options", "AUTH=PLAIN", "imap://" + to.plain},
			{"--login-options", "AUTH=LOGIN", "imap://" + to.plain},
			{"--sasl-ir", "--login-options", "AUTH=PLAIN", "imap://" + to.plain},
			{"--ssl-reqd", "--cacert", ca, "imap://" + to.starttls},
			{"--cacert", ca, "imaps://" + to.implicit},
			{"--cacert", ca, "--login-options", "AUTH=OAUTHBEARER", "--oauth2-bearer", tokenFor(user), "imaps://" + to.implicit},
			{"--cacert", ca, "--login-options", "AUTH=XOAUTH2", "--oauth2-bearer", tokenFor(user), "imaps://" + to.implicit},
		} {
			args = append([]string{"-sS", "--max-time", "20", "--user", user + ":" + password, "-X", `LIST "" *`}, args...)
			out, err := exec.Command("curl", args...).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("INBOX")) {
				t.Errorf("curl %q: %v: %s", args[7:], err, out)
			}
		}
	})
}

// Commands other than a login are answered before it.
func TestLoginOtherCommands(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	c := greeted(t, l.plain)
	c.ok("NOOP")
	c.ok(`ID ("name" "test")`)
	c.ok("ID NIL")
	c.ok("ENABLE UTF8=ACCEPT")
	c.ok("CAPABILITY")
	c.refused("BAD", "SELECT INBOX")
	c.send("x AUTHENTICATE PLAIN\r\n")
	c.expect("+")
	c.send("*\r\n")
	c.expect("x BAD")
	c.logout()

	c = greeted(t, l.plain)
	c.send("GET / HTTP/1.1\r\nHost: evil\r\nCookie: x\r\n\r\n")
	if said := c.closed(patience); strings.Contains(said, "HTTP") || strings.Contains(said, "evil") || !strings.Contains(said, "* BYE") {
		t.Errorf("HTTP was answered with %q, want BAD and BYE without an echo", said)
	}
}
